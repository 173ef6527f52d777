"""Where requests go: the server's address, the proxy on the way there, and redirects."""

import base64
import ipaddress
import os
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

REDIRECTS = frozenset((301, 302, 307, 308))


class Address(NamedTuple):
    """The server, as a URL without a path at its end."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def origin(self) -> str:
        """As a URL without any path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")


class Proxy(NamedTuple):
    """`headers`: what it wants to know of who asks."""

    host: str
    port: int
    headers: dict[str, str]


def parse(url: str, named: str = "host") -> Address:
    """The address that the text is. Raises `ValueError`, which calls it `named`."""
    found = _split(url)
    plain = found and not found.query and not found.fragment and not found.username
    if not found or not plain or found.scheme not in ("http", "https"):
        example = "https://stats.example.com"
        raise ValueError(f"{named} has to look like {example}, not {url!r}")
    return Address(found.scheme, found.hostname or "", found.port, found.path.rstrip("/"))


def redirected(address: Address, path: str, location: str) -> tuple[Address, str] | None:
    """Where a redirect leads, as an address and a path; None where the key must not follow: to
    another host, or out of https."""
    found = _split(urljoin(address.origin + path, location))
    if not location or not found or found.scheme not in ("http", "https"):
        return None
    if found.hostname != address.host or (address.scheme, found.scheme) == ("https", "http"):
        return None
    target = found.path or "/"
    if found.query:
        target += f"?{found.query}"
    return Address(found.scheme, address.host, found.port, ""), target


def find_proxy(address: Address, option: str | None) -> Proxy | None:
    """By the option, else by the environment, unless that excepts the server; "" is for no proxy.

    The environment's is not used for the machine itself. Raises `ValueError` for what cannot be
    read as an address.
    """
    if option is not None:
        return _proxy(option, "proxy") if option else None
    if not any(name.lower().endswith("_proxy") for name in os.environ) or _is_local(address.host):
        return None
    # Here, because it takes longer to load than all the rest.
    from urllib.request import getproxies_environment, proxy_bypass

    proxies: Mapping[str, str] = getproxies_environment()
    found = proxies.get(address.scheme) or proxies.get("all")
    host = address.host + (f":{address.port}" if address.port else "")
    if not found or proxy_bypass(host):
        return None
    name = address.scheme if address.scheme in proxies else "all"
    return _proxy(found, f"{name.upper()}_PROXY")


def connect(address: Address, proxy: Proxy | None, timeout_s: float) -> HTTPConnection:
    """A connection to the server, not open yet; by https it goes through the proxy as a tunnel."""
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    if proxy is None:
        return kind(address.host, address.port, timeout=timeout_s)
    connection = kind(proxy.host, proxy.port, timeout=timeout_s)
    if address.scheme == "https":
        connection.set_tunnel(address.host, address.port, proxy.headers)
    return connection


def _proxy(url: str, named: str) -> Proxy:
    found = _split(url if "://" in url else f"http://{url}")
    if not found or found.scheme != "http":
        raise ValueError(f"{named} has to look like http://proxy.example:3128, not {url!r}")
    headers = {}
    if found.username:
        pair = f"{unquote(found.username)}:{unquote(found.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(found.hostname or "", found.port or 80, headers)


def _split(url: str) -> SplitResult | None:
    """None for what no connection can be made to."""
    try:
        found = urlsplit(url)
        name = found.hostname or ""
        name.encode("idna")
        usable = name and found.port != 0 and url.isprintable() and " " not in url
    except (ValueError, AttributeError):  # an impossible port or name, or not text
        return None
    return found if usable else None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
