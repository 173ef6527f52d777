"""Ids are opaque, case-sensitive strings; the only thing known about them is which are not ids."""

from collections.abc import Iterable
from importlib.resources import files

Placeholders = frozenset[str]


def read_placeholders(more: Iterable[str] = ()) -> Placeholders:
    """Those of `placeholders.txt`, and more."""
    lines = (files("threadline.contract") / "placeholders.txt").read_text().splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    return frozenset(name.strip().casefold() for name in ("", *listed, *more))


PLACEHOLDERS = read_placeholders()


def is_placeholder(identifier: str, placeholders: Placeholders = PLACEHOLDERS) -> bool:
    """Whether this id would merge every caller with the same bug into one person. The id itself is
    never changed."""
    return identifier.strip().casefold() in placeholders
