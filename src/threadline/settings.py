"""Everything that can be configured, read once from `threadline.toml` and the environment.

The environment wins over the file, command line options over both. A name that does not exist is
an error that says which one was probably meant.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

PREFIX = "THREADLINE_"
# What the tests and the Python SDK read, perhaps in the same shell.
OF_OTHERS = ("THREADLINE_TEST_", "THREADLINE_SDK_")
FILE = "threadline.toml"

Positive = Annotated[int, msgspec.Meta(ge=1)]


class SettingsError(Exception):
    """A setting is unknown or has a wrong value; the message says what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field a setting: `port` here is `port = …` in the file and `THREADLINE_PORT`."""

    host: Annotated[str, msgspec.Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8787
    data: Annotated[
        str, msgspec.Meta(description="Folder that holds everything Threadline stores.")
    ] = "threadline-data"
    store: Annotated[
        str,
        msgspec.Meta(
            description="Where events live: `chdb` is the embedded engine inside the data folder, "
            "`chdb:///path` the same elsewhere, `clickhouse://user:password@host:8123/database` a "
            "ClickHouse server (`clickhouses://` for TLS)."
        ),
    ] = "chdb"
    client_address_header: Annotated[
        str,
        msgspec.Meta(
            description="Header with the visitor's address, set by a proxy you trust "
            "(`X-Forwarded-For`: its last entry counts). Empty: the connection's address."
        ),
    ] = ""
    country_header: Annotated[
        str,
        msgspec.Meta(
            description="Headers with the visitor's two-letter country, by commas, set by a proxy "
            "you trust, such as `CF-IPCountry`; the first that says one counts."
        ),
    ] = ""
    country_db: Annotated[
        str,
        msgspec.Meta(
            description="File in MaxMind's format (`.mmdb`) to look countries up in where no "
            "header says it; read again when it is replaced."
        ),
    ] = ""
    scrub: Annotated[
        bool,
        msgspec.Meta(
            description="Remove e-mail addresses, tokens and card numbers from url, path and "
            "referrer before they are stored (docs/privacy.md)."
        ),
    ] = True
    scrub_params: Annotated[
        str,
        msgspec.Meta(
            description="URL parameters, by commas, whose values are removed besides: "
            "`member_no`; `*_ref` for all that end so."
        ),
    ] = ""
    track_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: track and identify requests a second.")
    ] = 50
    track_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: track and identify requests at once.")
    ] = 200
    batch_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: batch requests a second.")
    ] = 5
    batch_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: batch requests at once.")
    ] = 20
    events_per_second: Annotated[
        Positive,
        msgspec.Meta(description="Browser keys: events a second, in whatever requests."),
    ] = 1000
    events_burst: Annotated[Positive, msgspec.Meta(description="Browser keys: events at once.")] = (
        20_000
    )
    bytes_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: unpacked bytes a second.")
    ] = 1024**2
    bytes_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: unpacked bytes at once.")
    ] = 32 * 1024**2
    body_seconds: Annotated[
        Positive, msgspec.Meta(description="A request body that takes longer to arrive is cut off.")
    ] = 30
    placeholder_ids: Annotated[
        str,
        msgspec.Meta(
            description="Ids that are none, by commas, besides `undefined`, `null`, `guest` and "
            "their like: what your callers send when they have no id."
        ),
    ] = ""
    dedup_days: Annotated[
        Positive, msgspec.Meta(description="An event_id is stored once within this many days.")
    ] = 7
    log_max_bytes: Annotated[
        Positive, msgspec.Meta(description="Unwritten events on disk before new ones get a 503.")
    ] = 4 * 1024**3
    query_seconds: Annotated[
        Positive, msgspec.Meta(description="A question that takes longer is stopped.")
    ] = 30
    query_memory: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Bytes of memory one question may take. 0: an eighth of the machine's; on a"
            " ClickHouse server whatever is configured there.",
        ),
    ] = 0
    metrics_open: Annotated[bool, msgspec.Meta(description="`/metrics` answers without a key.")] = (
        False
    )


def load(environ: Mapping[str, str] | None = None, **given: object) -> Settings:
    """Settings from file and environment; `given` (those not None) win over both.

    Raises `SettingsError` for an unknown name or a value of the wrong kind.
    """
    environ = os.environ if environ is None else environ
    from_environ = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(OF_OTHERS)
    }
    values: dict[str, Any] = {**_from_file(Path(FILE)), **from_environ}
    known = [field.name for field in msgspec.structs.fields(Settings)]
    for name in values:
        if name not in known:
            origin = f"{PREFIX}{name.upper()}" if name in from_environ else f"{FILE}: {name}"
            raise SettingsError(f"There is no setting {origin}.{_nearest(name, known)}")
    values |= {name: value for name, value in given.items() if value is not None}
    for name, value in values.items():
        try:
            field = next(f for f in msgspec.structs.fields(Settings) if f.name == name)
            msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(f"Setting {name} = {value!r}: {error}.") from None
    return msgspec.convert(values, Settings, strict=False)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from None


def _nearest(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" Did you mean {PREFIX}{matches[0].upper()}?" if matches else ""
