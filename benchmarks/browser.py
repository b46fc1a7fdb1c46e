"""Debian's Chromium without a window, for what only a browser can tell."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROGRAMS = ("chromium", "chromedriver")


def missing() -> str | None:
    """Reason why there is no browser to drive, None if there is one."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {' or '.join(absent)} (Debian: chromium, chromium-driver)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return None


@contextlib.contextmanager
def browser(
    *, width: int = 1280, height: int = 900, dark: bool = False, downloads: Path | None = None
) -> Iterator[Chrome]:
    """Start a browser that logs to its console's reader.

    Parameters
    ----------
    width, height
        Of the window, px.
    dark
        What it answers to ``prefers-color-scheme``.
    downloads
        Folder that files are saved in.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", f"--window-size={width},{height}"):  # fmt: skip
        options.add_argument(argument)
    # with both paths given, selenium's own manager, which would look them up in the net, stays off
    program, driver = (shutil.which(name) for name in PROGRAMS)
    options.binary_location = program or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if downloads is not None:
        preferences = {"download.default_directory": str(downloads)}
        options.add_experimental_option("prefs", preferences)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield chrome
    finally:
        chrome.quit()
