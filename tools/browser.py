"""Run the tests in a browser: install what they need into .venv, look for a Chromium, run them.

A machine without a browser, and without a way to get one, is no failure: one line says that nothing was run.
"""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests/browser"
PATIENCE = 300      # seconds, for a download; some networks answer nothing at all


def find_browser():
    """Return the path of a Chromium that starts: one on PATH, else the one that Playwright has downloaded, else None."""
    return next(filter(_starts, _candidates()), None)


def _candidates():
    yield from filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        downloaded = playwright.chromium.executable_path
    yield downloaded


def _starts(path):
    """Not where a library of the system is missing, nor where a package stands in for another one."""
    try:
        return subprocess.run([path, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def install(*command):
    """Run one installation. What it prints is of use only where it fails, and then one line of ours says more."""
    try:
        return subprocess.run([sys.executable, "-m", *command], capture_output=True, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main(arguments):
    os.chdir(ROOT)
    if not install("pip", "install", "--no-input", "--no-user", "-r", f"{TESTS}/requirements.txt"):
        return print(f"No Playwright: the browser tests were not run. Try: {sys.executable} -m pip install "
                     f"-r {TESTS}/requirements.txt")
    importlib.invalidate_caches()
    if not find_browser() and not (install("playwright", "install", "chromium") and find_browser()):
        return print("No browser: the browser tests were not run. Install Chromium, for example: apt install chromium")
    return subprocess.run([sys.executable, "-m", "pytest", TESTS, *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
