"""The Chromium of this machine, for tests that use a page as a reader would."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WHY = (
    "no page was opened: {} not found; the Debian package `chromium` and the Python package "
    "`playwright` are needed"
)


def require_chromium() -> str:
    """Return the path of Chromium. Without it, skip the test, or fail it if CI=true."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    places = {"chromium": path, "playwright": find_spec("playwright")}
    missing = [name for name, place in places.items() if place is None]
    if path is not None and not missing:
        return path
    reason = WHY.format(" and ".join(missing))
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A playwright Browser."""
    path = require_chromium()
    from playwright.sync_api import sync_playwright

    # The sandbox refuses to run as root, which is what containers run tests as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
