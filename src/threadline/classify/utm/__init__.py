"""What people write as utm_source and utm_medium, under the names of the lists."""

import re
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from threadline.classify.hosts import APPS, ENTRIES, listed
from threadline.classify.lists import fold, glob, read_list, read_names

# Longer ones are nobody's spelling, and would fill the memory.
MAX_REMEMBERED = 128
# What no link may say of itself: who follows it has come from somewhere.
NOT_BY_LINK = frozenset({"return", "spam"})
# Kinds of hosts and apps whose names are names of sources.
NAMING = frozenset({"social", "search", "email", "ai", "ads", "product", "products"})
# Kinds of sources by which a channel is told, the more telling first.
TELLING = ("search", "social", "ai", "ads")
# What a link that names a source and nothing more counts as; not where a source has several.
OF_KIND = {"social": "social", "ai": "ai", "ads": "paid"}

# Nobody writes more; each is compared with each word of the lists.
MAX_WORDS = 16
WORD = re.compile(r"[^\W\d_]+")

SPELLINGS = read_list("utm/sources.txt")
MEDIUMS = read_list("utm/mediums.txt")
WORDS = read_names("utm/words.txt")
UNPAID, BY_POST = frozenset(WORDS.pop("unpaid")), frozenset(WORDS.pop("post"))
GIVEN = read_list("utm/source_mediums.txt")


def _kinds() -> dict[str, frozenset[str]]:
    """Of each name of a source, the kinds of files that have it."""
    found: dict[str, set[str]] = {}
    for by in (*ENTRIES.values(), *APPS.values()):
        if by.kind in NAMING:
            found.setdefault(by.source, set()).add(by.kind)
    return {source: frozenset(kinds) for source, kinds in found.items()}


KINDS = _kinds()
NAMES = {fold(name): name for name in (*KINDS, *GIVEN)} | SPELLINGS


class Medium(NamedTuple):
    """`words`: of what was written."""

    name: str
    words: frozenset[str]


class NamedSource(NamedTuple):
    """`medium`: the only one that the lists know for this source, or nothing."""

    source: str
    medium: str


NO_MEDIUM = Medium("", frozenset())
NO_SOURCE = NamedSource("", "")


def read_medium(written: str) -> Medium:
    """`Paid Social` is paid, e-mail is email; what is not known stays, in lower case."""
    if not written:
        return NO_MEDIUM
    return _medium(written) if len(written) <= MAX_REMEMBERED else _medium.__wrapped__(written)


@lru_cache(maxsize=4096)
def _medium(written: str) -> Medium:
    name = written.casefold()
    words = _words(name)
    folded = fold(name)
    medium = MEDIUMS.get(folded) or _by_words(words) or name
    return Medium("unknown" if medium in NOT_BY_LINK else medium, words)


def _words(text: str) -> frozenset[str]:
    return frozenset(found[0] for found in islice(WORD.finditer(text), MAX_WORDS))


def _by_words(words: frozenset[str]) -> str:
    for medium, patterns in WORDS.items():
        if (medium == "paid" and words & UNPAID) or (medium == "email" and words & BY_POST):
            continue
        if any(glob(pattern, word) for pattern in patterns for word in words):
            return medium
    return ""


def read_source(written: str) -> NamedSource:
    """`fb`, m.facebook.com and `Facebook` are facebook, https://chatgpt.com is chatgpt; what is not
    known stays, in lower case."""
    if not written:
        return NO_SOURCE
    return _source(written) if len(written) <= MAX_REMEMBERED else _source.__wrapped__(written)


@lru_cache(maxsize=4096)
def _source(written: str) -> NamedSource:
    name = written.casefold()
    source = NAMES.get(fold(name))
    if source is None and "." in name:
        host, _, path = name.removeprefix("https://").removeprefix("http://").partition("/")
        by = APPS.get(host) or listed(host.removeprefix("www."), f"/{path}")
        if by and by.kind in NAMING:
            return NamedSource(
                by.source, OF_KIND.get(by.kind) or ("email" if by.kind == "email" else "")
            )
    return NamedSource(source or name, _medium_of(source or name))


def _medium_of(source: str) -> str:
    if source in GIVEN:
        return GIVEN[source].replace("unknown", "")
    kinds = KINDS.get(source, frozenset())
    mediums = {OF_KIND.get(kind, "") for kind in kinds - {"email", "product", "products"}}
    if len(mediums) == 1:
        return mediums.pop()
    return "email" if _by_words(_words(source)) == "email" else ""


def kind_of(source: str) -> str:
    """What the lists know a source as: search, social, ai, ads, email, affiliate, sms or push."""
    kinds = KINDS.get(source, frozenset())
    for kind in TELLING:
        if kind in kinds:
            return kind
    given = GIVEN.get(source, "")
    return given if given != "unknown" else ""
