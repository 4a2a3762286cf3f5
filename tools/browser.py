"""Run the tests in a browser: install what they need into .venv, look for a Chromium, run them: make test-browser

On a machine of one's own, a missing browser is no failure: one line says that nothing was run. With the variable CI set it is
one, because a green run must have opened a browser.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys

from project import ROOT

TESTS = "tests/browser"
PATIENCE = 300      # seconds, for a download; some networks answer nothing at all


def find_browser() -> str | None:
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


def missing(sentence):
    """Say why no test was run; return the exit code."""
    print(sentence)
    return 1 if os.environ.get("CI") else 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, epilog="All other options are pytest's.")
    _, options = parser.parse_known_args(arguments)
    os.chdir(ROOT)
    if not install("pip", "install", "--no-input", "--no-user", "-r", f"{TESTS}/requirements.txt"):
        return missing("No Playwright: the browser tests were not run. Try: python -m pip install "
                       f"-r {TESTS}/requirements.txt")
    importlib.invalidate_caches()
    if not find_browser() and not (install("playwright", "install", "--with-deps", "chromium") and find_browser()):
        return missing("No browser: the browser tests were not run. Install Chromium, for example: apt install chromium")
    return subprocess.run([sys.executable, "-m", "pytest", TESTS, *options]).returncode


if __name__ == "__main__":
    sys.exit(main())
