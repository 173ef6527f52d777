"""Where the store is: the setting, as a URL."""

from pathlib import Path
from urllib.parse import urlsplit

from threadline.store.errors import StoreError

# Whether the connection is encrypted.
SERVER_SCHEMES = {"clickhouse": False, "clickhouses": True}


def is_embedded(url: str) -> bool:
    """Whether the engine runs in this process."""
    return url.startswith("chdb:")


def store_url(setting: str, folder: Path) -> str:
    """The setting's URL; `chdb` alone means the folder `store` beside the other data.

    Raises `StoreError` for anything that is no store.
    """
    if setting == "chdb":
        return f"chdb://{(folder / 'store').resolve()}"
    if setting.startswith("chdb:///") or _is_server(setting):
        return setting
    raise StoreError(
        f"THREADLINE_STORE={without_password(setting)} is not supported: write chdb, "
        "chdb:///absolute/folder, or clickhouse://user:password@host:8123/database "
        "(clickhouses:// for TLS)."
    )


def _is_server(setting: str) -> bool:
    try:
        address = urlsplit(setting)
        return address.scheme in SERVER_SCHEMES and bool(address.hostname) and address.port != 0
    except ValueError:  # a port that is none, a bracket that is not closed
        return False


def without_password(url: str) -> str:
    """The same URL to show around."""
    try:
        address = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://***"
    if address.password is None:
        return url
    return url.replace(f":{address.password}@", ":***@", 1)
