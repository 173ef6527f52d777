"""Device, browser and operating system from a user agent string, and whether a program sent it."""

from functools import cache, lru_cache
from typing import Any, NamedTuple

import crawleruseragents
import re2
import ua_parser

# A user agent is free text from the open internet; real ones are far shorter.
MAX_LENGTH = 512

# Libraries are how servers and apps send what people do; they say nothing of who did it. The tag of
# one list, and what the other calls spiders.
LIBRARY = "http-library"
LIBRARIES = frozenset({"", "Python-urllib"})


class Agent(NamedTuple):
    """`device_type` is desktop, mobile, tablet, bot or empty; names as ua-parser's families.
    `is_bot`: a crawler, a browser without a person, or a service that watches whether sites are
    up."""

    device_type: str
    browser: str
    os: str
    is_bot: bool


DESKTOPS = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS"})
PHONES = frozenset({"iOS", "Android", "Windows Phone", "KaiOS"})


def read_agent(user_agent: str) -> Agent:
    """What the user agent says of itself; empty strings where it says nothing known."""
    return _read_agent(user_agent[:MAX_LENGTH])


@lru_cache(maxsize=4096)
def _read_agent(text: str) -> Agent:
    found = ua_parser.parse(text)
    browser = found.user_agent.family if found.user_agent else ""
    os = found.os.family if found.os else ""
    device = found.device.family if found.device else ""
    spider = device == "Spider" and browser not in LIBRARIES
    is_bot = spider or _bots().search(text) is not None
    return Agent("bot" if is_bot else _device_type(text, device, os), browser, os, is_bot)


def _device_type(text: str, device: str, os: str) -> str:
    # Android tablets differ from phones only by the missing word Mobile.
    if device == "iPad" or "Tablet" in text or (os == "Android" and "Mobile" not in text):
        return "tablet"
    if os in PHONES:
        return "mobile"
    return "desktop" if os in DESKTOPS else ""


@cache
def _bots() -> Any:
    """All patterns at once, in time that grows with the text only: more than a thousand of them,
    tried one after the other at each place of a long text, would take milliseconds."""
    known = crawleruseragents.CRAWLER_USER_AGENTS_DATA
    patterns = [bot["pattern"] for bot in known if LIBRARY not in bot["tags"]]
    options = re2.Options()
    options.max_mem = 64 * 1024**2
    return re2.compile("|".join(patterns), options)
