"""The origins a browser key works from: exact, or `https://*.example.com` for all subdomains."""

import re
from collections.abc import Iterable

_SHAPE = re.compile(r"(https?)://(\*\.)?([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def normalise_origin(text: str) -> str:
    """Lower case, no path, no default port. Raises `ValueError` saying how one has to look."""
    match = _SHAPE.fullmatch(text.strip().rstrip("/").lower())
    if not match:
        raise ValueError(
            f"{text!r} is not an origin: write https://example.com, https://*.example.com or "
            "http://localhost:3000, without a path."
        )
    scheme, star, host, port = match.groups(default="")
    return f"{scheme}://{star}{host}{'' if port == DEFAULT_PORTS[scheme] else port}"


def origin_allowed(origin: str, allowed: Iterable[str]) -> bool:
    """Whether a request's `Origin` header is on the list."""
    scheme, separator, rest = origin.lower().partition("://")
    host, colon, port = rest.partition(":")
    labels = host.split(".")
    wildcards = {f"{scheme}://*.{'.'.join(labels[i:])}{colon}{port}" for i in range(1, len(labels))}
    return bool(separator) and any(entry == origin or entry in wildcards for entry in allowed)


def origin_host(origin: str) -> str:
    """`https://*.example.com:8443` to `*.example.com`."""
    return origin.partition("://")[2].partition(":")[0]
