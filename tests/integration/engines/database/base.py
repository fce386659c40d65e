"""What guards the suite's cases: the mixin, or nothing where Django's runner does it."""

import os

from leakguard import LeakGuardMixin

Guarded = LeakGuardMixin if os.environ.get("GUARDED_BY") == "mixin" else object
