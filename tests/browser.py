"""A headless Chromium for the tests of the HTML report, driven by real input through its WebDriver."""

import os
import shutil
import tempfile
import unittest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAMS = ("chromium", "chromedriver")
NEEDED = "Debian's packages chromium and chromium-driver, and pip install unittest-leakguard[integration]"


def need():
    """Return selenium's webdriver; without it or a browser the tests skip, and fail where there is ``CI=true``.

    ``CI_NO_BROWSER`` says that this place cannot have a browser, and is the reason: then they skip there too.
    """
    reason = os.environ.get("CI_NO_BROWSER")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    try:
        if missing:
            raise ImportError(f"no program {' and '.join(missing)}")
        from selenium import webdriver
    except ImportError as error:
        if os.environ.get("CI") == "true" and not reason:
            raise AssertionError(f"a browser must be there where CI=true: {NEEDED} ({error})") from None
        raise unittest.SkipTest(f"{reason or error}: needs {NEEDED}") from None
    return webdriver


def start(add_cleanup):
    """Return a browser with a new and empty profile; `add_cleanup` is told what ends it."""
    webdriver = need()
    profile = tempfile.TemporaryDirectory(prefix="leakguard-browser-")
    add_cleanup(profile.cleanup)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile.name}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    add_cleanup(driver.quit)
    return driver
