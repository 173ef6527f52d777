"""Referrer hosts that name a source. A host stands for itself and all its subdomains.

One file for each kind. Collected by hand from the sites' own addresses; what is missing is not
lost, it counts as `referral` under its registrable domain. Apps are here by their package name, as
Android gives it: `android-app://com.linkedin.android`.
"""

from functools import lru_cache
from typing import NamedTuple

from threadline.classify.lists import read_list

# Of each file the medium.
KINDS = {"social": "social", "search": "organic", "email": "email", "ai": "ai", "ads": "paid"}


class Listed(NamedTuple):
    """What a host stands for. `kind`: the file it is in."""

    kind: str
    source: str
    medium: str


def _all_hosts() -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    for kind, medium in KINDS.items():
        of_kind = read_list(f"hosts/{kind}.txt")
        if twice := found.keys() & of_kind.keys():
            raise ValueError(f"{', '.join(sorted(twice))}: listed in two files")
        found |= {host: Listed(kind, source, medium) for host, source in of_kind.items()}
    return found


HOSTS = _all_hosts()
MOST_LABELS = max(host.count(".") + 1 for host in HOSTS)


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def listed(host: str) -> Listed | None:
    """What this host, or the nearest domain above it that is listed, stands for."""
    labels = host.split(".")[-MOST_LABELS:] if host else []
    candidates = (".".join(labels[i:]) for i in range(len(labels)))
    return next((HOSTS[name] for name in candidates if name in HOSTS), None)
