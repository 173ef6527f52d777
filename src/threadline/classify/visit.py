"""What the rules look at: a visit, taken apart from its URL and referrer once."""

import re
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from publicsuffixlist import PublicSuffixList

from threadline.classify.hosts import Listed, listed
from threadline.classify.lists import read_list

SOURCES = read_list("utm/sources.txt")
MEDIUMS = read_list("utm/mediums.txt")
# In lower case, and as the networks write them.
CLICK_IDS = {name.lower(): name for name in read_list("click_ids.txt")}


# What nearly all URLs look like. Taking these apart here is three times faster than `urlsplit`,
# which gives the same of them; it is asked for all others.
PLAIN = re.compile(
    r"https?://([A-Za-z0-9.-]+)(?::[0-9]{1,5})?(/[^?#\s\x00-\x20]*)?(?:\?([^#\s\x00-\x20]*))?"
    r"(?:#([^\s\x00-\x20]*))?",
    re.ASCII,
)

Subdomains = Literal["same", "separate"]

# No more than a name may have (RFC 1035): whatever is longer is no host.
MAX_HOST = 253
MAX_LABELS = 127
# A public suffix has seven labels at the most, and the registrable domain one more.
DECIDING_LABELS = 8
# Links have a dozen or two.
MAX_PARAMETERS = 40


class Own(NamedTuple):
    """What is the site itself. `hosts`: the project's, `*.example.com` meaning every subdomain.
    `subdomains`: whether those of the page's domain are the `same` site."""

    hosts: frozenset[str] = frozenset()
    subdomains: Subdomains = "same"

    def lists(self, host: str) -> bool:
        """Whether the host is listed, itself or by a `*.` pattern above it."""
        if host in self.hosts:
            return True
        return any(entry.startswith("*.") and host.endswith(entry[1:]) for entry in self.hosts)


class Visit(NamedTuple):
    """Names of parameters and hosts are in lower case, utm values under the names of the lists."""

    params: dict[str, str]
    utm_source: str
    utm_medium: str
    page_host: str
    page_path: str
    referrer_host: str
    referred_by: Listed | None
    own: Own

    @property
    def click_ids(self) -> tuple[tuple[str, str], ...]:
        """Name and value of those in the URL."""
        if CLICK_IDS.keys().isdisjoint(self.params):
            return ()
        found = sorted(CLICK_IDS.keys() & self.params.keys())
        return tuple((CLICK_IDS[name], self.params[name]) for name in found if self.params[name])

    @property
    def utm(self) -> tuple[tuple[str, str], ...]:
        """Name and value of the URL's utm parameters."""
        return tuple(item for item in self.params.items() if item[0].startswith("utm_"))

    @property
    def paid(self) -> bool:
        return self.utm_medium == "paid"

    @property
    def internal(self) -> bool:
        """Whether it goes on from a page of the site itself."""
        host, page = self.referrer_host, self.page_host
        if not host:
            return False
        if host == page or self.own.lists(host):
            return True
        return self.own.subdomains == "same" and registrable_domain(host) == registrable_domain(
            page
        )


def read_visit(url: str, referrer: str, own: Own) -> Visit:
    """A visit to `url` that came from `referrer`. What cannot be parsed counts as absent."""
    query, page_host, page_path = _split(url)
    params: dict[str, str] = {}
    for parameter in query.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = parameter.partition("=")
        if value:
            if "%" in parameter or "+" in parameter:
                name, value = _decoded(name), _decoded(value)
            params.setdefault(name.lower(), value.strip())  # the first counts, as in browsers
    utm_source = params.get("utm_source", "").casefold()
    utm_medium = params.get("utm_medium", "").casefold()
    referrer_host = _split(referrer)[1]
    return Visit(
        params,
        utm_source=SOURCES.get(utm_source, utm_source),
        utm_medium=MEDIUMS.get(utm_medium, utm_medium),
        page_host=page_host,
        page_path=page_path,
        referrer_host=referrer_host,
        referred_by=listed(referrer_host),
        own=own,
    )


def _decoded(text: str) -> str:
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


def _split(url: str) -> tuple[str, str, str]:
    """Parameters, host (lower case, without `www.`) and path of a URL; empty where there is none.

    Some sites keep parameters behind the `#`, where single pages have their routes; those come
    after the query's.
    """
    if plain := PLAIN.fullmatch(url):
        host, path, query, fragment = plain.groups("")
        host = host.lower()
    else:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            return "", "", ""
        path, query, fragment = parts.path, parts.query, parts.fragment
    if "=" in fragment:
        query += "&" + fragment.rpartition("?")[2]
    host = host.rstrip(".").removeprefix("www.")
    if len(host) > MAX_HOST or host.count(".") >= MAX_LABELS:
        host = ""
    return query, host, path
