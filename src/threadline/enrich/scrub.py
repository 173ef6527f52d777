"""Takes out of addresses what nobody meant to hand on: e-mail addresses, tokens, card numbers."""

import re
import tomllib
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import files
from urllib.parse import unquote_plus

REMOVED = "[removed]"
# Links inside of links come encoded again.
MAX_DECODED = 3

_LISTS = tomllib.loads((files("threadline.enrich") / "scrub.toml").read_text())
NAMES: tuple[str, ...] = tuple(_LISTS["names"])
VALUES = re.compile("|".join(f"(?:{pattern})" for pattern in _LISTS["values"].values()), re.ASCII)
EMAIL = re.compile(_LISTS["values"]["e-mail addresses"], re.ASCII)

# RFC 3986, appendix B: scheme, host, path, query, fragment. Matches any text.
ADDRESS = re.compile(r"([^:/?#]+:)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
PARAMETER = re.compile(r"(?:^|[?&#;])([^?&#;=]{1,128})=[^&#;]")

# What every address that may have to be changed has one of.
NAME = re.compile(r"[?&#;]([^?&#;=]{1,128})=")
TRACES = tuple("@ eyJ _live_ _test_ AKIA AIza xox ghp_ gho_ ghu_ ghs_ ghr_".split())
DIGITS = re.compile(r"\d(?:(?:[ +-]|%20)?\d){12}", re.ASCII)
ENCODED = re.compile(r"%(?:25)*(?:40|3d)", re.IGNORECASE)

# Numbers as card companies give them out; the last digit checks the others.
CARD = re.compile(
    r"(?<!\d)(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|35\d{14}|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15})(?!\d)",
    re.ASCII,
)
BETWEEN_DIGITS = re.compile(r"(?<=\d)[ -](?=\d)")


def scrubber(more_names: Iterable[str] = ()) -> Callable[[str], str]:
    """A function from an address to the same without what the lists name.

    `more_names`: parameters besides those of `scrub.toml`. Removed are the values of such
    parameters in query and fragment, values that look like what is listed, user names and passwords
    before the host, and e-mail addresses in the path. Nothing else of the address changes.
    """
    wanted = [*NAMES, *map(_plain, more_names)]
    exact = frozenset(name for name in wanted if not name.startswith("*"))
    endings = tuple(name[1:] for name in wanted if name.startswith("*"))

    @lru_cache(maxsize=4096)  # names repeat on every page
    def named(name: str) -> bool:
        plain = _plain(unquote_plus(name))
        return plain in exact or plain.endswith(endings)

    def suspect(address: str) -> bool:
        """Most addresses hold nothing of the kind, and are told apart in a microsecond or two."""
        return (
            any(map(named, NAME.findall(address)))
            or any(map(address.__contains__, TRACES))
            or DIGITS.search(address) is not None
            or ("%" in address and ENCODED.search(address) is not None)
        )

    def given_away(value: str) -> bool:
        for _ in range(MAX_DECODED):
            decoded = unquote_plus(value)
            if VALUES.search(decoded) or _holds_card(decoded):
                return True
            if any(map(named, PARAMETER.findall(decoded))):
                return True
            if decoded == value:
                break
            value = decoded
        return False

    def without(parameters: str) -> str:
        kept = []
        for parameter in parameters.split("&"):
            name, equals, value = parameter.partition("=")
            if value and (named(name) or given_away(value)):
                value = REMOVED
            elif not equals and given_away(name):
                name = REMOVED
            kept.append(f"{name}{equals}{value}")
        return "&".join(kept)

    @lru_cache(maxsize=4096)  # addresses repeat, but strangers may send long ones
    def scrub(address: str) -> str:
        if not suspect(address):
            return address
        scheme, host, path, query, fragment = (part or "" for part in _parts(address))
        if "@" in host:
            host = f"//{host.rpartition('@')[2]}"
        if EMAIL.search(unquote_plus(path)):
            parts = path.split("/")
            path = "/".join(REMOVED if EMAIL.search(unquote_plus(part)) else part for part in parts)
        if query:
            query = f"?{without(query[1:])}"
        if fragment:
            route, mark, parameters = fragment[1:].rpartition("?")
            fragment = f"#{route}{mark}{without(parameters)}"
        return f"{scheme}{host}{path}{query}{fragment}"

    return scrub


def _parts(address: str) -> tuple[str | None, ...]:
    match = ADDRESS.fullmatch(address)
    assert match, "it matches any text"
    return match.groups()


def _plain(name: str) -> str:
    return re.sub("[-_.]", "", name.strip().lower())


def _holds_card(text: str) -> bool:
    return any(_checks(number) for number in CARD.findall(BETWEEN_DIGITS.sub("", text)))


def _checks(number: str) -> bool:
    """Luhn's formula (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
