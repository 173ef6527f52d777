"""Referrer hosts that name a source. A host stands for itself and all its subdomains.

One file for each kind, for people to read and to add to. Collected by hand from the sites' own
addresses; what is missing is not lost, it counts as `referral` under its registrable domain. Apps
are here by their package name, as Android gives it: `android-app://com.linkedin.android`.
"""

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

# Of each file the medium.
KINDS = {"social": "social", "search": "organic", "email": "email", "ai": "ai", "ads": "paid"}


class Listed(NamedTuple):
    """What a host stands for. `kind`: the file it is in."""

    kind: str
    source: str
    medium: str


def read_hosts(kind: str, text: str) -> dict[str, Listed]:
    """`source: host host …` by line; an indented line goes on with the one before. Raises
    `ValueError` for a host that comes twice."""
    hosts: dict[str, Listed] = {}
    source = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            source, _, line = line.partition(": ")
        for host in line.split():
            if host in hosts:
                raise ValueError(f"{host} is listed twice")
            hosts[host] = Listed(kind, source, KINDS[kind])
    return hosts


def _all_hosts() -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    for kind in KINDS:
        of_kind = read_hosts(kind, (files(__name__) / f"{kind}.txt").read_text())
        if twice := found.keys() & of_kind.keys():
            raise ValueError(f"{', '.join(sorted(twice))}: listed in two files")
        found |= of_kind
    return found


HOSTS = _all_hosts()


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def listed(host: str) -> Listed | None:
    """What this host, or the nearest domain above it that is listed, stands for."""
    labels = host.split(".") if host else []
    candidates = (".".join(labels[i:]) for i in range(len(labels)))
    return next((HOSTS[name] for name in candidates if name in HOSTS), None)
