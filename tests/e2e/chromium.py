"""A Chromium for the tests: `python -m tests.e2e.chromium` installs one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def chromium() -> str | None:
    """Its path; none for Playwright's own."""
    given = os.environ.get("THREADLINE_TEST_CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


def _playwrights_own() -> bool:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


def install() -> None:
    """From the system's packages where that is allowed, else Playwright's own."""
    if chromium() or _playwrights_own():
        return
    print("Installing Chromium for the tests ...", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        for what in ("update", "install -y --no-install-recommends chromium"):
            command = ["apt-get", "-qq", *what.split()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    install()
