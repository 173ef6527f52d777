"""Device, browser and operating system from a user agent string."""

from functools import lru_cache
from typing import NamedTuple

import ua_parser

# A user agent is free text from the open internet; real ones are far shorter.
MAX_LENGTH = 1024


class Agent(NamedTuple):
    """`device_type` is desktop, mobile, tablet, bot or empty; names as ua-parser's families."""

    device_type: str
    browser: str
    os: str


DESKTOPS = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS"})
PHONES = frozenset({"iOS", "Android", "Windows Phone", "KaiOS"})


@lru_cache(maxsize=4096)
def read_agent(user_agent: str) -> Agent:
    """What the user agent says of itself; empty strings where it says nothing known."""
    text = user_agent[:MAX_LENGTH]
    found = ua_parser.parse(text)
    browser = found.user_agent.family if found.user_agent else ""
    os = found.os.family if found.os else ""
    device = found.device.family if found.device else ""
    return Agent(_device_type(text, device, os), browser, os)


def _device_type(text: str, device: str, os: str) -> str:
    if device == "Spider":
        return "bot"
    # Android tablets differ from phones only by the missing word Mobile.
    if device == "iPad" or "Tablet" in text or (os == "Android" and "Mobile" not in text):
        return "tablet"
    if os in PHONES:
        return "mobile"
    return "desktop" if os in DESKTOPS else ""
