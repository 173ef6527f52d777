"""The options of a client, and what is wrong with them."""

import logging
import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from threadline.client.address import Address, parse

DEFAULT_HOST = "http://127.0.0.1:8787"
LONGEST_S = 30 * 86_400.0
WhenFull = Literal["drop_oldest", "drop_newest"]

# The least, and what to say.
NUMBERS = {
    "flush_at": (1, "a number of events"),
    "flush_bytes": (1, "a number of bytes"),
    "max_queue": (1, "a number of events"),
    "spool_max_bytes": (1, "a number of bytes"),
    "flush_interval_s": (0, "seconds"),
    "timeout_s": (0.001, "seconds"),
    "exit_timeout_s": (0, "seconds"),
}


def find_key(key: str | None, disabled: bool) -> str:
    """The one given, or the environment's. Raises `ValueError` for what is not one."""
    named = "key" if key else "THREADLINE_SDK_KEY"
    found = key or os.environ.get("THREADLINE_SDK_KEY", "")
    if not found and not disabled:
        raise ValueError("Client needs a key: Client('sk_live_…'), or set THREADLINE_SDK_KEY.")
    found = found.strip() if isinstance(found, str) else ""
    if not disabled and not (found and found.isascii() and found.isprintable()):
        raise ValueError(f"{named} has to be text like sk_live_…, as `threadline key` prints it.")
    return found


def find_host(host: str | None) -> Address:
    """The one given, or the environment's, or this machine. Raises `ValueError`."""
    if host:
        return parse(host)
    return parse(os.environ.get("THREADLINE_SDK_HOST") or DEFAULT_HOST, "THREADLINE_SDK_HOST")


def check(given: Mapping[str, Any]) -> None:
    """Raises `ValueError` for an option that cannot be meant."""
    for name, (least, what) in NUMBERS.items():
        value = given[name]
        whole = isinstance(least, int) and not name.endswith("_s")
        fit = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fit or not isfinite(value) or value < least or (not whole and value > LONGEST_S):
            raise ValueError(f"{name} has to be {what}, at least {least}, not {value!r}.")
    if given["when_full"] not in ("drop_oldest", "drop_newest"):
        raise ValueError(
            f"when_full has to be 'drop_oldest' or 'drop_newest', not {given['when_full']!r}."
        )
    if given["on_error"] is not None and not callable(given["on_error"]):
        raise ValueError("on_error has to be a function of an error and a list of events.")
    if given["sync"] and given["spool"] is not None:
        raise ValueError("sync and spool exclude each other: sync queues nothing.")
    if given["spool"] is not None and not isinstance(given["spool"], str | Path):
        raise ValueError(f"spool has to be a folder, not {given['spool']!r}.")


def log_to_stderr() -> None:
    """What `debug` asks for, unless the program takes our log already."""
    logger = logging.getLogger("threadline")
    logger.setLevel(logging.DEBUG)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("threadline: %(message)s"))
        logger.addHandler(handler)
