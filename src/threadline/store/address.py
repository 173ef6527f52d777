"""Where the store is: the setting, as a URL."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from threadline.store.errors import StoreError

# Whether the connection is encrypted.
SERVER_SCHEMES = {"clickhouse": False, "clickhouses": True}
NAME = re.compile(r"[\w.-]+")
PORTS = {False: 8123, True: 8443}
# What is local to a node of a cluster has its own database beside the one that is asked.
LOCAL = "_local"
PARAMETERS = ("cluster", "secure")


class Address(NamedTuple):
    """A ClickHouse server, or a cluster with all its nodes. `hosts`: as they are written, mostly
    with the port of HTTP."""

    hosts: tuple[str, ...]
    user: str
    password: str
    database: str
    secure: bool
    cluster: str

    @property
    def nodes(self) -> list[str]:
        """The URL of each node, as of a server without a cluster."""
        scheme = "clickhouses" if self.secure else "clickhouse"
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        database = quote(f"{self.database}{LOCAL}", safe="")
        return [f"{scheme}://{login}@{host}/{database}" for host in self.hosts]


def server_address(url: str) -> Address:
    """What a server's URL says. Raises `ValueError` for one that is none."""
    scheme, _, rest = url.partition("://")
    where, _, query = rest.partition("?")
    authority, _, path = where.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    if unknown := given.keys() - set(PARAMETERS):
        raise ValueError(f"?{min(unknown)}= is not a parameter; there are {', '.join(PARAMETERS)}")
    secure = SERVER_SCHEMES[scheme] or given.get("secure") == "true"
    found = hosts.split(",")
    for host in found:
        host_and_port(host, secure)
    cluster = given.get("cluster", "")
    if "cluster" in given and not NAME.fullmatch(cluster):
        raise ValueError("?cluster= names a cluster of system.clusters")
    if len(found) > 1 and not cluster:
        raise ValueError("several hosts need ?cluster=NAME, the name they have in system.clusters")
    return Address(
        tuple(found),
        unquote(user or "default"),
        unquote(password),
        unquote(path.strip("/")) or "default",
        secure,
        cluster,
    )


def host_and_port(text: str, secure: bool) -> tuple[str, int]:
    """Of one of the hosts. Raises `ValueError` for what is none."""
    address = urlsplit(f"//{text}")
    if not address.hostname or address.port == 0:
        raise ValueError(f"{text!r} is not a host")
    return address.hostname, address.port or PORTS[secure]


def is_embedded(url: str) -> bool:
    """Whether the engine runs in this process."""
    return url.startswith("chdb:")


def store_url(setting: str, folder: Path) -> str:
    """The setting's URL; `chdb` alone means the folder `store` beside the other data.

    Raises `StoreError` for anything that is no store.
    """
    if setting == "chdb":
        return f"chdb://{(folder / 'store').resolve()}"
    if setting.startswith("chdb:///"):
        return setting
    why = ""
    if setting.partition("://")[0] in SERVER_SCHEMES:
        try:
            server_address(setting)
            return setting
        except ValueError as error:  # or a port that is none, a bracket that is not closed
            why = f" ({error})"
    raise StoreError(
        f"THREADLINE_STORE={without_password(setting)} is not supported{why}: write chdb, "
        "chdb:///absolute/folder, or clickhouse://user:password@host:8123/database "
        "(clickhouses:// for TLS); of a cluster all hosts, and its name: "
        "clickhouse://user:password@host1:8123,host2:8123/database?cluster=name."
    )


def without_password(url: str) -> str:
    """The same URL to show around."""
    scheme, there, rest = url.partition("://")
    login, _, where = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{there}{user}:***@{where}" if colon else url


def cluster_address(url: str) -> Address | None:
    """As `server_address`; None for a store that is no cluster."""
    address = None if is_embedded(url) else server_address(url)
    return address if address and address.cluster else None
