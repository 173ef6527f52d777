"""Guessing which of the names that there are was meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one that is most like it, whatever the case; of equal ones the first."""
    folded = {other.casefold().strip(): other for other in reversed(list(names))}
    near = difflib.get_close_matches(name.casefold().strip(), folded, n=1)
    return folded[near[0]] if near else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean 'signup'?`, or nothing."""
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near is not None else ""


def one_of(name: str, names: Iterable[str]) -> str:
    """What to write instead: those that there are, and the nearest of them."""
    known = list(names)
    near = nearest(name, known)
    return f"choose one of {', '.join(known)}{f'; did you mean {near}?' if near else ''}"
