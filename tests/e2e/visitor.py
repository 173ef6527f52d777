"""A visitor with one tab, in any engine: as much as the core stories need of a browser."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from playwright.sync_api import Page
from selenium import webdriver
from selenium.common.exceptions import NoSuchFrameException
from selenium.webdriver.support.ui import WebDriverWait
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

from tests.e2e.browsers import WEBKIT_DRIVER, webkit

PATIENCE_S = 20


class Visitor(Protocol):
    def open(self, url: str) -> None:
        """Go there by hand, and wait until the page has loaded."""

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""

    def wait(self, script: str) -> None:
        """Until that is true, also on the next page."""

    def close(self) -> None:
        """The tab."""


class PlaywrightVisitor:
    """In Chromium or Firefox."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def open(self, url: str) -> None:
        self._page.goto(url)

    def run(self, script: str) -> Any:
        return self._page.evaluate(script)

    def wait(self, script: str) -> None:
        self._page.wait_for_function(script)

    def close(self) -> None:
        self._page.close()


class WebKitVisitor:
    def __init__(self, driver: webdriver.WebKitGTK) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        self._driver.get(url)

    def run(self, script: str) -> Any:
        return self._driver.execute_script(f"return {script}")

    def wait(self, script: str) -> None:
        # Of a page that is just being left there is no answer.
        leaving = (NoSuchFrameException,)
        WebDriverWait(self._driver, PATIENCE_S, 0.05, leaving).until(lambda _: self.run(script))

    def close(self) -> None:
        # The last window would end the browser, and with it what it still has to send.
        tab = self._driver.current_window_handle
        self._driver.switch_to.new_window("tab")
        other = self._driver.current_window_handle
        self._driver.switch_to.window(tab)
        self._driver.close()
        self._driver.switch_to.window(other)


@contextmanager
def screen() -> Iterator[str]:
    """A screen that nobody sees; its name."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert running.stdout
    try:
        yield f":{running.stdout.readline().decode().strip()}"
    finally:
        running.terminate()
        running.wait()


@contextmanager
def webkit_visitor(display: str, *settings: str) -> Iterator[WebKitVisitor]:
    """A fresh WebKitGTK, such as with `--enable-html5-local-storage=false`."""
    options = Options()
    options.binary_location = webkit() or ""
    for argument in ("--automation", *settings):
        options.add_argument(argument)
    # As root there is no sandbox to be had.
    env = {**os.environ, "DISPLAY": display, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
    service = Service(str(WEBKIT_DRIVER), env=env)
    driver = webdriver.WebKitGTK(options=options, service=service)
    try:
        yield WebKitVisitor(driver)
    finally:
        driver.quit()
