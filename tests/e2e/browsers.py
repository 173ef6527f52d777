"""Real browsers for the tests: `python -m tests.e2e.browsers` installs those that are missing."""

import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

# `THREADLINE_TEST_BROWSERS=chromium make test` does without the others.
ENGINES = os.environ.get("THREADLINE_TEST_BROWSERS", "chromium firefox webkit").split()
# Chromium without a window shows the same pages for a quarter of the CPU. It has no cache of pages
# that were left, and reads no settings of its owner's: tests of these take the one with windows.
WINDOWED = "chromium-windowed"
if "chromium" in ENGINES:
    ENGINES.append(WINDOWED)
HEADLESS_SHELL = "chromium-headless-shell"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Debian's packages, by engine; WebKit's driver needs a screen, which Xvfb pretends to be.
PACKAGES = {
    "chromium": [HEADLESS_SHELL],
    WINDOWED: ["chromium"],
    "firefox": ["firefox-esr"],
    "webkit": ["webkit2gtk-driver", "xvfb"],
}
WEBKIT_DRIVER = Path("/usr/bin/WebKitWebDriver")


def chromium(windowed: bool = False) -> str | None:
    """Its path; none for Playwright's own."""
    given = os.environ.get("THREADLINE_TEST_CHROMIUM")
    names = CHROMIUM_NAMES if windowed else (HEADLESS_SHELL, *CHROMIUM_NAMES)
    return given or next(filter(None, map(shutil.which, names)), None)


def firefox() -> str | None:
    """The path of Firefox ESR."""
    return os.environ.get("THREADLINE_TEST_FIREFOX") or shutil.which("firefox-esr")


def webkit() -> str | None:
    """The path of WebKitGTK's small browser, if its driver and a screen are there, too."""
    ready = WEBKIT_DRIVER.exists() and shutil.which("Xvfb")
    return next(iter(glob("/usr/lib/*/webkit2gtk-4.1/MiniBrowser")), None) if ready else None


def _playwrights_own() -> bool:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


def missing() -> list[str]:
    """The engines that tests are to run in, and that are not there."""
    there = {
        "chromium": lambda: chromium() or _playwrights_own(),
        WINDOWED: lambda: chromium(windowed=True) or _playwrights_own(),
        "firefox": firefox,
        "webkit": webkit,
    }
    return [engine for engine in ENGINES if not there[engine]()]


def install() -> None:
    """From the system's packages where that is allowed, else Playwright's own Chromium. Exits with
    what to do where that is not enough."""
    wanted = missing()
    by_packages = bool(shutil.which("apt-get")) and os.geteuid() == 0
    if by_packages and "chromium" in ENGINES and not shutil.which(HEADLESS_SHELL):
        wanted = ["chromium", *(engine for engine in wanted if engine != "chromium")]
    if not wanted:
        return
    packages = [name for engine in wanted for name in PACKAGES[engine]]
    print(f"Installing {', '.join(wanted)} for the tests ...", flush=True)
    if by_packages:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        for what in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            command = ["apt-get", "-qq", *what]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    elif "chromium" in wanted:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
    if wanted := missing():
        left = " ".join(engine for engine in ENGINES if engine not in (*wanted, WINDOWED))
        packages = [name for engine in wanted for name in PACKAGES[engine]]
        sys.exit(
            f"These browsers are missing: {', '.join(wanted)}. Install them, as root:\n"
            f"  apt-get install --no-install-recommends {' '.join(packages)}\n"
            f"or do without their tests: THREADLINE_TEST_BROWSERS='{left}' make test"
        )


if __name__ == "__main__":
    install()
