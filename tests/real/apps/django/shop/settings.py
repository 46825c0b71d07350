"""Settings of a shop with one table.

The database lies where `SHOP_DB` says, so that a test can keep it out of the project's tree.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "not-a-secret-this-project-only-serves-tests"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["shop"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "shop.urls"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DB", str(BASE_DIR / "db.sqlite3")),
    }
}

# Django's own loggers stay as they are out of the box; only the shop's is added, with Python's basic format.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"basic": {"format": "%(levelname)s:%(name)s:%(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "basic"}},
    "loggers": {"shop": {"handlers": ["stderr"], "level": "DEBUG", "propagate": False}},
}
