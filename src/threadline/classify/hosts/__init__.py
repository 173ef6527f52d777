"""Referrer hosts, and apps, that name a source.

A host stands for itself and all its subdomains; a host with a path, for all that is below. In a
host's first name `*` stands for any letters and `#` for digits. What is nearest decides:
`mail.google.com` before `google.com`. One file for each kind, collected by hand from the sites' own
addresses, and beside it, in `merged/`, what a public list knows more (`python -m tools.sources`).
What is missing is not lost, it counts as `referral` under its registrable domain.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from threadline.classify.address import registrable_domain
from threadline.classify.lists import label_like, read_list, read_names

# Of each file the medium. `return`: people come back from there.
MEDIUMS = {
    "hosts/social": "social",
    "hosts/search": "organic",
    "hosts/email": "email",
    "hosts/ai": "ai",
    "hosts/ads": "paid",
    "hosts/spam": "spam",
    "returns/login": "return",
    "returns/payment": "return",
}
# What a public list knows besides. Where ours has an entry as well, ours counts.
MERGED = {
    "hosts/merged/social": "social",
    "hosts/merged/search": "organic",
    "hosts/merged/email": "email",
    "hosts/merged/ads": "paid",
}
APP_MEDIUMS = {
    "apps/social": "social",
    "apps/search": "organic",
    "apps/email": "email",
    "apps/ai": "ai",
    "apps/products": "referral",
    "apps/browsers": "direct",
}


class Listed(NamedTuple):
    """What a host stands for. `kind`: the name of the file it is in."""

    kind: str
    source: str
    medium: str


def _all(mediums: dict[str, str]) -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    for name, medium in mediums.items():
        kind = name.rpartition("/")[2]
        of_kind = read_list(f"{name}.txt")
        if twice := found.keys() & of_kind.keys():
            raise ValueError(f"{', '.join(sorted(twice))}: listed in two files")
        found |= {entry: Listed(kind, source, medium) for entry, source in of_kind.items()}
    return found


ENTRIES = _all(MERGED) | _all(MEDIUMS)
APPS = _all(APP_MEDIUMS)

HOSTS: dict[str, Listed] = {}
# By the domain above the name, or by the host: patterns, the more exact first.
NAMES: dict[str, list[tuple[str, Listed]]] = {}
PATHS: dict[str, list[tuple[str, Listed]]] = {}
for _entry, _by in sorted(ENTRIES.items(), key=lambda item: -len(item[0])):
    _host, _slash, _path = _entry.partition("/")
    if _slash and "*" not in _host:
        PATHS.setdefault(_host, []).append((f"/{_path}", _by))
    elif "*" in _host or "#" in _host:
        _name, _, _above = _host.partition(".")
        NAMES.setdefault(_above, []).append((f"{_name}/{_path}" if _slash else _name, _by))
    else:
        HOSTS[_host] = _by

MOST_LABELS = max(host.count(".") + 2 for host in (*HOSTS, *NAMES, *PATHS))

# What searches below an engine's hosts, and what does not search on them.
SEARCHING = {name: frozenset(entries) for name, entries in read_names("hosts/products.txt").items()}
PRODUCT_PATHS = read_names("hosts/product_paths.txt")

LABELS = read_names("hosts/labels.txt")
LABEL_MEDIUMS = {"social": "social", "payment": "return", "login": "return"}


class Known(NamedTuple):
    """`found`: what a host stands for. `paths`: of pages on it that are something else; the number
    of the group that matches is that of what they are in `by`, from 1."""

    found: Listed | None
    paths: re.Pattern[str] | None
    by: tuple[Listed, ...]


def listed(host: str, path: str = "") -> Listed | None:
    """What this page, its host or the nearest domain above that is listed, stands for."""
    return page_listed(host, path) or known(host).found


def page_listed(host: str, path: str) -> Listed | None:
    """What this page stands for, if that is something else than its host."""
    _, paths, by = known(host)
    if paths is not None and (match := paths.match(path)):
        return by[(match.lastindex or 1) - 1]
    return None


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def known(host: str) -> Known:
    """What the host, or the nearest domain above it that is listed, stands for."""
    pages: list[tuple[str, Listed]] = []
    labels = host.split(".")[-MOST_LABELS:] if host else []
    for at in range(len(labels)):
        domain = ".".join(labels[at:])
        pages += PATHS.get(domain, ())
        found = HOSTS.get(domain)
        for pattern, by in NAMES.get(".".join(labels[at + 1 :]), ()):
            name, slash, path = pattern.partition("/")
            if label_like(name, labels[at]):
                if slash:
                    pages.append((f"/{path}", by))
                else:
                    found = found or by
        if found:
            pages += _not_searching(found)
            return _known(_product(found, labels[:at]), pages)
    return _known(None, pages)


def _known(found: Listed | None, pages: list[tuple[str, Listed]]) -> Known:
    if not pages:
        return Known(found, None, ())
    return Known(found, _paths(tuple(path for path, _ in pages)), tuple(by for _, by in pages))


@lru_cache(maxsize=1024)
def _paths(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """The first of these that a path is, or is below. `*` stands for any text."""
    each = (f"({re.escape(path).replace(chr(92) + '*', '.*')})" for path in patterns)
    return re.compile(f"(?:{'|'.join(each)})(?:/|$)", re.IGNORECASE)


def _product(found: Listed, below: list[str]) -> Listed:
    """Some engines' owners run other things below the same domain."""
    searching = SEARCHING.get(found.source)
    if found.kind != "search" or not below or searching is None or searching & {".".join(below)}:
        return found
    return Listed("product", found.source, "referral")


def _not_searching(found: Listed) -> Iterator[tuple[str, Listed]]:
    if found.kind == "search":
        for path in PRODUCT_PATHS.get(found.source, ()):
            yield path, Listed("product", found.source, "referral")


@lru_cache(maxsize=16_384)
def guessed(host: str) -> Listed | None:
    """What a host that no list knows is by the name that it has below its domain."""
    domain = registrable_domain(host)
    label, _, rest = host.removesuffix(f".{domain}").partition(".")
    if rest or host == domain:  # deeper down it may be anything, such as an imitation
        return None
    for name, patterns in LABELS.items():
        if any(label_like(pattern, label) for pattern in patterns):
            kind, _, source = name.partition(" ")
            return Listed(kind, domain if source == "-" else source, LABEL_MEDIUMS[kind])
    return None
