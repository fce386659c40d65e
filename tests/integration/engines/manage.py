"""Django's command line for the suite in ``database``."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["channels"],
    ROOT_URLCONF="database.urls",
    SECRET_KEY="secret",
    STATIC_URL="/static/",
    USE_TZ=True,
    TEST_RUNNER="database.runner.Runner" if os.environ.get("GUARDED_BY") == "runner" else "django.test.runner.DiscoverRunner",
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
