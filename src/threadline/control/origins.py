"""The origins a browser key works from: exact, or `https://*.example.com` for all subdomains.

They are kept as browsers send them: in lower case, in ASCII (punycode), without a default port.
"""

import re
from collections.abc import Iterable, Set
from functools import cache
from ipaddress import IPv4Address, IPv6Address

import idna
from publicsuffixlist import PublicSuffixList

MAX_HOST = 253
MAX_PORT = 65_535
MAX_ORIGIN = len("https://[]:65535") + MAX_HOST
DEFAULT_PORTS = {"http": 80, "https": 443}
# Reserved for private use: on no public list, and nobody can register a name under them.
PRIVATE_SUFFIXES = frozenset({"localhost", "test", "local", "internal", "lan", "home.arpa"})

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# What browsers take for an attempt at an IPv4 address: by the last label.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SENT = re.compile(rf"(https?)://({_HOST.pattern}|\[[0-9a-f:.]+\])(:[1-9][0-9]{{0,4}})?")
_WRITTEN = re.compile(
    r"(https?)://(\*\.)?([^\s/?#@\\%*:\[\]]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.IGNORECASE
)


def normalise_origin(text: str) -> str:
    """As browsers send it. Raises `ValueError` saying how one has to look."""
    shown = repr(text if len(text) <= 100 else f"{text[:100]}…")
    match = _WRITTEN.fullmatch(text.strip())
    if not match:
        raise ValueError(
            f"{shown} is not an origin: write https://example.com, https://*.example.com or "
            "http://localhost:3000, without a path."
        )
    scheme, star, host, port = match.groups(default="")
    scheme = scheme.lower()
    try:
        host = _host(host)
        written_port = _port(scheme, port)
        if star:
            _check_wildcard(host)
    except ValueError as error:
        raise ValueError(f"{shown} is not an origin: {error}") from None
    return f"{scheme}://{star}{host}{written_port}"


def origin_allowed(origin: str, allowed: Iterable[str]) -> bool:
    """Whether a request's `Origin` header is on the list. What no browser would send never is."""
    if len(origin) > MAX_ORIGIN or not origin.isascii():
        return False
    origin = origin.lower()
    match = _SENT.fullmatch(origin)
    if not match or len(match[2]) > MAX_HOST:
        return False
    entries = allowed if isinstance(allowed, Set) else frozenset(allowed)
    if origin in entries:
        return True
    scheme, host, port = match.groups(default="")
    dots = (at for at, letter in enumerate(host) if letter == ".")
    return any(f"{scheme}://*{host[at:]}{port}" in entries for at in dots)


def origin_host(origin: str) -> str:
    """`https://*.example.com:8443` to `*.example.com`, `http://[::1]:3000` to `::1`: as hosts are
    named where URLs are taken apart."""
    rest = origin.partition("://")[2]
    if rest.startswith("["):
        return rest[1:].partition("]")[0]
    return rest.partition(":")[0]


def _host(text: str) -> str:
    """Raises `ValueError` with the reason."""
    if text.startswith("["):
        return f"[{_ipv6(text[1:-1])}]"
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(text, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"its host is not a domain name ({error}).") from None
    if len(host) > MAX_HOST:
        raise ValueError(f"its host has {len(host)} characters; at most {MAX_HOST} are possible.")
    if not _HOST.fullmatch(host):
        raise ValueError(
            "each part of its host, between the dots, needs 1 to 63 letters, digits or hyphens "
            "inside."
        )
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            IPv4Address(host)
        except ValueError:
            raise ValueError("its host is not an IPv4 address such as 192.168.0.10.") from None
    return host


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("its host is not an IPv6 address such as [::1].") from None
    mapped = address.ipv4_mapped
    if mapped:  # browsers write hexadecimal digits here, too; Python does up to 3.12 only
        high, low = divmod(int(mapped), 0x10000)
        return f"::ffff:{high:x}:{low:x}"
    return address.compressed


def _port(scheme: str, digits: str) -> str:
    if not digits:
        return ""
    port = int(digits)
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"its port is not within 1 and {MAX_PORT}.")
    return "" if port == DEFAULT_PORTS[scheme] else f":{port}"


def _check_wildcard(host: str) -> None:
    """Under a public suffix anybody can have a name, and a browser key would work there."""
    if host.startswith("[") or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ValueError("an address has no subdomains; leave out the *.")
    if host not in PRIVATE_SUFFIXES and _public_suffixes().publicsuffix(host) == host:
        raise ValueError(
            f"anybody can have a name under {host}. Name a domain of your own, as in "
            f"https://*.example.{host}."
        )


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()
