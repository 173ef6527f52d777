"""Time zones, by their names in the IANA database."""

import difflib
from functools import cache
from zoneinfo import available_timezones


@cache
def zone_names() -> frozenset[str]:
    """All that this machine knows, without its own (`localtime`)."""
    # Looks through a folder, which takes as long as a short query.
    return frozenset(available_timezones() - {"localtime"})


def check_zone(name: str) -> str:
    """The same name. Raises `ValueError`, for the caller to read, where there is no such zone."""
    if name in zone_names():
        return name
    near = _near(name)
    hint = f"did you mean {near}?" if near else "write a name such as Europe/Berlin"
    raise ValueError(f"there is no time zone {name!r}; {hint}")


def as_sentence(said: str) -> str:
    """With a full stop, unless it ends in a question."""
    return said if said.endswith("?") else f"{said}."


def _near(name: str) -> str:
    by_lower = {each.lower(): each for each in zone_names()}
    found = difflib.get_close_matches(name.lower()[:64], by_lower, n=1, cutoff=0.8)
    return by_lower[found[0]] if found else ""
