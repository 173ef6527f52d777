"""Copies of pages in caches, translators and archives, and the sites that they are copies of."""

import re
from functools import lru_cache

from threadline.classify.address import MAX_HOST, Address, decoded
from threadline.classify.lists import read_names

_COPIES = read_names("copies.txt")
ENCODED = tuple(f".{host}" for host in _COPIES["encoded"])
NAMED = tuple(f".{host}" for host in _COPIES["named"])
BARE = tuple(host.removeprefix(".") for host in (*ENCODED, *NAMED))
ALL = (*ENCODED, *NAMED)

# A site in an address: of a cache `cache:id:shop.example/page`, of the others with its scheme or
# behind AMP's /s/.
SITE = re.compile(
    r"(?:https?:/{1,2}|cache:(?:[\w-]{1,64}:)?(?:https?://)?|/[vcai]/(?:s/)?)"
    r"((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,63})(?![\w.-])",
    re.IGNORECASE | re.ASCII,
)


@lru_cache(maxsize=16_384)  # hosts repeat even where pages do not
def is_copy(host: str) -> bool:
    """Whether pages of this host are copies of others."""
    return host.endswith(ALL) or host in BARE


def original(address: Address) -> str:
    """The host of the page of which this is a copy; empty where the address does not say."""
    found = SITE.search(decoded(f"{address.path}?{address.query}"))
    if found:
        host = found[1].lower().removeprefix("www.")
        return host if len(host) <= MAX_HOST else ""
    for ending in ENCODED:
        if address.host.endswith(ending):
            name = address.host.removesuffix(ending)
            host = name.replace("--", "\0").replace("-", ".").replace("\0", "-")
            return host.removeprefix("www.") if "." in host else ""
    return ""
