"""Device, browser and operating system from a user agent string, and whether a program sent it.

Two packages know most of it, ua-parser what people use and crawler-user-agents what programs say;
`agents.toml` has the words for their names, and what they miss. RE2 takes time that grows with the
text only, whatever stands in it.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import crawleruseragents
import re2
import ua_parser

# A user agent is free text from the open internet; real ones are far shorter.
MAX_LENGTH = 512
MAX_NAME = 40

# What a bot is for; empty: a person.
Reason = Literal["", "ai_agent", "preview", "mail_scanner", "monitor", "headless", "crawler"]
# Of the tags of crawler-user-agents; whatever else they say is a crawler.
REASONS: Mapping[str, Reason] = {
    "ai-crawler": "ai_agent",
    "social-preview": "preview",
    "monitoring": "monitor",
    "browser-automation": "headless",
}
# Libraries are how servers and apps send what people do; they say nothing of who did it.
LIBRARY = "http-library"
T = TypeVar("T")


def _joined(lists: dict[str, Any]) -> dict[str, Any]:
    """The tables with each list of patterns as one."""
    return {
        name: _joined(value)
        if isinstance(value, dict)
        else f"(?i:{'|'.join(value)})"
        if isinstance(value, list) and name != "unused"
        else value
        for name, value in lists.items()
    }


_LISTS = _joined(tomllib.loads((files("threadline.enrich") / "agents.toml").read_text()))
SYSTEMS: Mapping[str, str] = _LISTS["systems"]
BROWSERS: Mapping[str, str] = _LISTS["browsers"]
DESKTOPS = frozenset({"windows", "macos", "linux", "chromeos", "freebsd", "openbsd", "netbsd"})
PHONES = frozenset({"ios", "android", "windows phone", "kaios", "harmonyos"})
# Words in ua-parser's families that tell devices apart and not browsers.
VARIANTS = re.compile(r"\b(?:mobile|tablet|ios|android|webview)\b ?", re.IGNORECASE)
SPACES = re.compile(r" +")
# Where a program that is in no list says its name.
NAMED = re.compile(
    r"(Google-[\w-]+|\w+-Google)|compatible; ?([^;/)+]{2,40})|^(?!Mozilla)([A-Za-z][\w. -]{1,39})"
    r"|([\w-]+)/[\d.]+[^/]*$"
)


class Agent(NamedTuple):
    """`device_type`: desktop, mobile, tablet, tv, console or other; empty only where there is no
    agent. `browser` and `os`: one word for a family on all devices, in lower case; of a bot its
    name. `is_bot`: a crawler, a browser without a person, or a service that looks at pages;
    `reason`: which kind."""

    device_type: str
    browser: str
    os: str
    is_bot: bool
    reason: Reason = ""


class _Patterns(Generic[T]):
    """Many patterns, and what each stands for. All are looked for at once: more than a thousand of
    them, tried one after the other at each place of a long text, would take milliseconds."""

    def __init__(self, patterns: Iterable[tuple[str, T]]) -> None:
        self._meanings: list[T] = []
        self._set = re2.Set.SearchSet(_options())
        for pattern, meaning in patterns:
            self._set.Add(pattern)
            self._meanings.append(meaning)
        self._set.Compile()

    def first(self, text: str) -> T | None:
        """What the first of the patterns that match stands for."""
        found = self._set.Match(text)
        return self._meanings[min(found)] if found else None


class Bot(NamedTuple):
    """`name`: empty where it is what `pattern` matches, or what the agent calls itself."""

    reason: Reason
    name: str = ""
    pattern: str = ""


def _bots() -> Iterator[tuple[str, Bot]]:
    """Patterns of both lists, ours before the package's, and of what is in neither."""
    others: list[Bot] = []
    for reason, named in _LISTS["bots"].items():
        for name, pattern in named.items():
            if name == "other":
                others.append(Bot(reason, pattern=pattern))
            else:
                yield pattern, Bot(reason, name)
    unused = set(_LISTS["people"]["unused"])
    for known in crawleruseragents.CRAWLER_USER_AGENTS_DATA:
        if LIBRARY not in known["tags"] and known["pattern"] not in unused:
            others.append(Bot(_reason(known["tags"]), pattern=known["pattern"]))
    order = [*REASONS.values(), "mail_scanner", "crawler"]
    for bot in sorted(others, key=lambda bot: order.index(bot.reason)):
        yield bot.pattern, bot
    for pattern in _LISTS["unnamed"].values():
        yield pattern, Bot("crawler")


def read_agent(user_agent: str) -> Agent:
    """What the user agent says of itself; empty strings where it says nothing known."""
    return _read_agent(user_agent[:MAX_LENGTH])


@lru_cache(maxsize=4096)
def _read_agent(text: str) -> Agent:
    lists = _lists()
    plain = _without_phone(text, lists)
    found = ua_parser.parse(plain)
    family = found.user_agent.family if found.user_agent else ""
    os = lists.systems.first(text) or os_word(found.os.family if found.os else "")
    if lists.libraries.search(text) is None:
        spider = found.device is not None and found.device.family == "Spider"
        if bot := _bot(plain, lists) or (Bot("crawler", _tidy(family)) if spider else None):
            return Agent("other", bot.name or _name(plain), os, True, bot.reason)
    browser = lists.apps.first(plain) or browser_word(family)
    device_type = lists.devices.first(text) or _device_type(text, browser, os)
    return Agent(device_type, browser, os, False)


def _without_phone(text: str, lists: "_Lists") -> str:
    """The agent of an Android browser without the name of the phone."""
    phone = lists.phone.search(text)
    if phone is None or lists.no_phone.search(phone.group()):
        return text
    return f"{phone.group(1)}Linux; U; Android 9; K){text[phone.end() :]}"


def _bot(text: str, lists: "_Lists") -> Bot | None:
    """The bot that says so."""
    bot = lists.bots.first(text)
    if bot is None or bot.name:
        return bot
    if bot.pattern:
        return bot._replace(name=_tidy(_pattern(bot.pattern).search(text).group()))
    return None if lists.compatible.search(text) else bot


def browser_word(family: str) -> str:
    """The word for a browser that ua-parser calls so."""
    plain = SPACES.sub(" ", VARIANTS.sub("", family)).strip().lower()
    return BROWSERS.get(plain, plain or family.lower())


def os_word(family: str) -> str:
    """The word for an operating system that ua-parser calls so."""
    plain = family.lower()
    return SYSTEMS.get(plain, plain)


def _device_type(text: str, browser: str, os: str) -> str:
    if os == "android":
        # Browsers on tablets differ from those on phones only by the missing word Mobile.
        return "tablet" if text.startswith("Mozilla/") and "Mobile" not in text else "mobile"
    if os in PHONES:
        return "mobile"
    if os in DESKTOPS:
        return "desktop"
    return "other" if text.strip() else ""


class _Lists(NamedTuple):
    """The patterns of `agents.toml`, compiled."""

    bots: _Patterns[Bot]
    apps: _Patterns[str]
    systems: _Patterns[str]
    devices: _Patterns[str]
    libraries: Any
    phone: Any
    no_phone: Any
    compatible: Any


@cache
def _lists() -> _Lists:
    words = [
        _Patterns((pattern, word) for word, pattern in _LISTS[name].items())
        for name in ("apps", "system_words", "devices")
    ]
    people = _LISTS["people"]
    names = ("libraries", "phone", "no_phone", "compatible")
    return _Lists(_Patterns(_bots()), *words, *(_pattern(people[name]) for name in names))


def _reason(tags: Iterable[str]) -> Reason:
    return next((reason for tag, reason in REASONS.items() if tag in tags), "crawler")


def _name(text: str) -> str:
    """What a program that is in no list calls itself."""
    found = NAMED.search(text)
    return _tidy(next(filter(None, found.groups()), "")) if found else ""


def _tidy(text: str) -> str:
    return text.strip(" \t/;:,.()[]").lower()[:MAX_NAME]


@cache
def _pattern(pattern: str) -> Any:
    return re2.compile(pattern, _options())


def _options() -> Any:
    options = re2.Options()
    options.max_mem = 64 * 1024**2
    return options
