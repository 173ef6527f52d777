"""Ids are opaque, case-sensitive strings; the only thing known about them is which are not ids."""

from collections.abc import Iterable
from importlib.resources import files

Placeholders = frozenset[str]


def _listed(file: str) -> Placeholders:
    lines = (files("threadline.contract") / file).read_text().splitlines()
    return frozenset(line.strip().casefold() for line in ("", *lines) if not line.startswith("#"))


OF_ACCOUNTS = _listed("placeholders.txt")
OF_PEOPLE = OF_ACCOUNTS | _listed("placeholders_of_people.txt")


def read_placeholders(more: Iterable[str] = ()) -> Placeholders:
    """Those of people that are listed, and more."""
    return OF_PEOPLE | {name.strip().casefold() for name in more}


PLACEHOLDERS = read_placeholders()


def is_placeholder(identifier: str, placeholders: Placeholders = PLACEHOLDERS) -> bool:
    """Whether this id would merge every caller with the same bug into one person. The id itself is
    never changed."""
    return identifier.strip().casefold() in placeholders
