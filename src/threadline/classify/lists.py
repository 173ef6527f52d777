"""Lists that the rules go by, as text files that people read and add to."""

import re
from importlib.resources import files

DIGITS = re.compile(r"\d+")


def read_text(name: str) -> str:
    """A file of this package."""
    return (files("threadline.classify") / name).read_text(encoding="utf-8")


def read_list(name: str) -> dict[str, str]:
    """A file of this package, as `parse_list` reads it."""
    return parse_list(read_text(name))


def read_names(name: str) -> dict[str, tuple[str, ...]]:
    """The entries of each name in a file of this package; here an entry may come twice."""
    found: dict[str, tuple[str, ...]] = {}
    for each, entries in _lines(read_text(name)):
        found[each] = (*found.get(each, ()), *entries)
    return found


def parse_list(text: str) -> dict[str, str]:
    """Each entry with the name it stands for, from lines `name: entry entry …`.

    An indented line goes on with the one before; `#` begins a comment. Raises `ValueError` for an
    entry that comes twice.
    """
    found: dict[str, str] = {}
    for name, entries in _lines(text):
        for entry in entries:
            if entry in found:
                raise ValueError(f"{entry} is listed twice")
            found[entry] = name
    return found


def _lines(text: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
        found.append((name, line.split()))
    return found


def glob(pattern: str, text: str) -> bool:
    """Whether the text is like the pattern, in which `*` stands for any text, also none.

    In time that grows with the text only: a regular expression could be made to take for ever.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return text == first
    *middle, last = parts
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return text.endswith(last)


def label_like(pattern: str, label: str) -> bool:
    """Whether one name of a host is like the pattern: `*` for any letters, `#` for digits."""
    if "#" in pattern:
        pattern, label = DIGITS.sub("#", pattern), DIGITS.sub("#", label)
    return glob(pattern, label)


def fold(written: str) -> str:
    """What people write as one thing, under one spelling: `Google Ads`, google_ads, google-ads."""
    return "-".join(written.casefold().replace("_", " ").split())
