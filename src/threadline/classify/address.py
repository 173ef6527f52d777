"""What the rules read of an address: its parameters, and whose page it is."""

import re
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from publicsuffixlist import PublicSuffixList

# What nearly all URLs look like. Taking these apart here is three times faster than `urlsplit`,
# which gives the same of them; it is asked for all others.
PLAIN = re.compile(
    r"https?://([A-Za-z0-9.-]+)(?::[0-9]{1,5})?(/[^?#\s\x00-\x20]*)?(?:\?([^#\s\x00-\x20]*))?"
    r"(?:#([^\s\x00-\x20]*))?",
    re.ASCII,
)

# No more than a name may have (RFC 1035): whatever is longer is no host.
MAX_HOST = 253
MAX_LABELS = 127
# A public suffix has seven labels at the most, and the registrable domain one more.
DECIDING_LABELS = 8
# Links have a dozen or two.
MAX_PARAMETERS = 40
# What a link's & becomes where it was escaped for HTML and never unescaped.
ESCAPED = ("amp;", "038;", "38;", "#038;", "#38;", "x26;")


class Address(NamedTuple):
    """Taken apart; empty where there is none. `host`: in lower case, without `www.`"""

    scheme: str
    query: str
    host: str
    path: str


NOWHERE = Address("", "", "", "")


def split(url: str) -> Address:
    """Some sites keep parameters behind the `#`, where single pages have their routes; those come
    after the query's."""
    if plain := PLAIN.fullmatch(url):
        host, path, query, fragment = plain.groups("")
        scheme, host = "https", host.lower()
    else:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            return NOWHERE
        scheme, path, query, fragment = parts.scheme, parts.path, parts.query, parts.fragment
    if "=" in fragment:
        query += "&" + fragment.rpartition("?")[2]
    host = host.rstrip(".").removeprefix("www.")
    if len(host) > MAX_HOST or host.count(".") >= MAX_LABELS:
        host = ""
    return Address(scheme, query, host, path)


def parameters(query: str) -> dict[str, str]:
    """Names in lower case; the first of each counts, as in browsers."""
    found: dict[str, str] = {}
    for parameter in query.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = parameter.partition("=")
        if value:
            if "%" in parameter or "+" in parameter:
                name, value = decoded(name), decoded(value)
            if ";" in name:
                name = _unescaped(name)
            found.setdefault(name.lower(), value.strip())
    return found


def _unescaped(name: str) -> str:
    """A parameter's name without what is left of an `&amp;` before it."""
    for _ in range(3):  # some links were escaped again and again
        for escape in ESCAPED:
            name = name.removeprefix(escape)
    return name


def decoded(text: str) -> str:
    """As `urllib.parse.unquote_plus`, several times faster where much is encoded."""
    if "%" not in text:
        return text.replace("+", " ")
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def registrable_domain(host: str) -> str:
    """`blog.example.co.uk` to `example.co.uk`; an address or a bare name stays as it is."""
    try:
        ip_address(host)
    except ValueError:
        deciding = ".".join(host.split(".")[-DECIDING_LABELS:])
        return _suffixes().privatesuffix(deciding) or host
    return host


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
