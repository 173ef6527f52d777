"""Takes out of addresses what nobody meant to hand on: e-mail addresses, tokens, card numbers."""

import re
import tomllib
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any
from urllib.parse import unquote_to_bytes

import re2

REMOVED = "[removed]"
# Links inside of links come encoded again.
MAX_DECODED = 3
# So many values of an address are looked at closely. Past that, what looks like one of those listed
# counts as one: nobody's link has as many, but a stranger's could keep the server busy.
MAX_LOOKED_AT = 8
# Nor is any as long as this and worth reading.
MAX_LENGTH = 512

_LISTS = tomllib.loads((files("threadline.enrich") / "scrub.toml").read_text())
NAMES: tuple[str, ...] = tuple(_LISTS["names"])
# RE2 takes time that grows with the text only, whatever stands in it.
_VALUES = "|".join(f"(?:{each})" for each in _LISTS["values"].values())
VALUES: Any = re2.compile(_VALUES)
EMAIL: Any = re2.compile(_LISTS["values"]["e-mail addresses"])

# RFC 3986, appendix B: scheme, host, path, query, fragment. Matches any text.
ADDRESS = re.compile(r"([^:/?#]+:)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
PARAMETER = re.compile(r"(?:^|[?&#;])([^?&#;=]{1,128})=[^&#;]")
NAME = re.compile(r"[?&#;]([^?&#;=]{1,128})=")

# What every value that may have to be removed has one of: all that marks such values, thirteen
# digits, or an @ or = that was encoded.
TRACE = (
    r"@|eyJ|_live_|_test_|AKIA|AIza|xox|gh[pousr]_"
    r"|\d(?:(?:[ +-]|%20)?\d){12}|%(?:25)*(?:40|3[dD])"
)
SUSPECT: Any = re2.compile(TRACE)
# The same for short texts, which costs less than asking RE2.
SUSPECT_SHORT = re.compile(TRACE, re.ASCII)
VALUES_SHORT = re.compile(_VALUES, re.ASCII)
SHORT = 200

# Numbers as card companies give them out; the last digit checks the others.
CARD = re.compile(
    r"(?<!\d)(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|35\d{14}|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12,15})(?!\d)",
    re.ASCII,
)
# Links have a dozen or two.
MAX_PARAMETERS = 40
SEPARATOR = re.compile("[?&#;]")
BETWEEN_DIGITS = str.maketrans("", "", " -")


def scrubber(more_names: Iterable[str] = ()) -> Callable[[str], str]:
    """A function from an address to the same without what the lists name.

    `more_names`: parameters besides those of `scrub.toml`. Removed are the values of such
    parameters in query and fragment, values that look like what is listed, user names and passwords
    before the host, and e-mail addresses in the path. Nothing else of the address changes.
    """
    return _Scrubber(more_names).scrub


class _Scrubber:
    def __init__(self, more_names: Iterable[str]) -> None:
        wanted = [*NAMES, *map(_plain, more_names)]
        self._exact = frozenset(name for name in wanted if not name.startswith("*"))
        self._endings = tuple(name[1:] for name in wanted if name.startswith("*"))
        # Names repeat on every page.
        self._is_named = lru_cache(maxsize=4096)(self._matches)

    def scrub(self, address: str) -> str:
        if not self._is_suspect(address):
            return address
        scheme, host, path, query, fragment = (part or "" for part in _parts(address))
        if "@" in host:
            host = f"//{host.rpartition('@')[2]}"
        if EMAIL.search(_decoded(path)):
            path = _without_mails(path)
        if query:
            query = f"?{self._without(query[1:])}"
        if fragment:
            route, mark, parameters = fragment[1:].rpartition("?")
            fragment = f"#{route}{mark}{self._without(parameters)}"
        return f"{scheme}{host}{path}{query}{fragment}"

    def _matches(self, name: str) -> bool:
        plain = _plain(_decoded(name))
        return plain in self._exact or plain.endswith(self._endings)

    def _is_suspect(self, address: str) -> bool:
        """Most addresses hold nothing of the kind, and are told apart in a microsecond or two."""
        if SUSPECT.search(address) is not None:
            return True
        return any(map(self._is_named, NAME.findall(address)))

    def _without(self, parameters: str) -> str:
        kept, looked_at = [], 0
        for parameter in parameters.split("&"):
            name, equals, value = parameter.partition("=")
            if value and self._is_named(name):
                value = REMOVED
            elif _is_suspect_value(value or name):
                looked_at += 1
                if looked_at > MAX_LOOKED_AT or self._gives_away(value or name):
                    name, value = (name, REMOVED) if value else (REMOVED, "")
            kept.append(f"{name}{equals}{value}")
        return "&".join(kept)

    def _gives_away(self, value: str) -> bool:
        if len(value) > MAX_LENGTH:
            return True
        texts = [_decoded(value)]
        while "%" in texts[-1] and len(texts) < MAX_DECODED:
            texts.append(_decoded(texts[-1]))
        text = "&".join(texts)
        values = VALUES_SHORT if len(text) < SHORT else VALUES
        return (
            values.search(text) is not None
            or _holds_card(text)
            or any(map(self._is_named, PARAMETER.findall(text)))
        )


def _is_suspect_value(value: str) -> bool:
    pattern = SUSPECT_SHORT if len(value) < SHORT else SUSPECT
    return pattern.search(value) is not None or "=" in value


def cut_parameters(address: str) -> str:
    """The address without the parameters after the 40th."""
    if sum(map(address.count, "?&#;")) <= MAX_PARAMETERS:
        return address
    past = next(islice(SEPARATOR.finditer(address), MAX_PARAMETERS, None))
    return address[: past.start()]


def _decoded(text: str) -> str:
    """As `urllib.parse.unquote_plus`, several times faster where much is encoded."""
    if "%" not in text:
        return text.replace("+", " ")
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def _without_mails(path: str) -> str:
    """The path without the parts that hold an e-mail address, and without its end after many."""
    kept: list[str] = []
    removed = 0
    for part in path.split("/"):
        if EMAIL.search(_decoded(part)):
            part, removed = REMOVED, removed + 1
        kept.append(part)
        if removed == MAX_LOOKED_AT:
            break
    return "/".join(kept)


def _parts(address: str) -> tuple[str | None, ...]:
    match = ADDRESS.fullmatch(address)
    assert match, "it matches any text"
    return match.groups()


def _plain(name: str) -> str:
    return re.sub("[-_.]", "", name.strip().lower())


def _holds_card(text: str) -> bool:
    found = CARD.findall(text.translate(BETWEEN_DIGITS))
    return len(found) > MAX_LOOKED_AT or any(map(_checks, found))


def _checks(number: str) -> bool:
    """Luhn's formula (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
