"""What is said on the way: to the logger ``leakguard``, and as warnings that change no outcome."""

from __future__ import annotations

import sys
import warnings

__unittest = True


def log(level: str, message: str) -> None:
    """Log to ``leakguard``; logging is imported only when there is something to say."""
    import logging

    try:
        logging.getLogger("leakguard").log(getattr(logging, level), "%s", message)
    except Exception as error:  # a handler of the user's may raise anything: no outcome may change for it
        if sys.stderr is not None:
            sys.stderr.write(f"leakguard: logging raised {type(error).__name__}, so here it is: {message}\n")


def warn(message: str) -> None:
    """Give a RuntimeWarning and log it; where warnings are errors, the log alone: an outcome must not change."""
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except Exception:  # RuntimeWarning where it is an error, and whatever broken filters and hooks of the user's raise
        log("WARNING", message)
