"""Everything that can be configured: a field a setting, with its default and what it does."""

from pathlib import Path
from typing import Annotated

import msgspec

from threadline.settings_files import DEFAULT_FOLDER

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field a setting: `port` here is `port = …` in the file and `THREADLINE_PORT`."""

    host: Annotated[
        str,
        msgspec.Meta(
            description="Address to listen on: IPv4, IPv6 (`::` for all of both) or a name of this "
            "machine."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8787
    data: Annotated[
        str, msgspec.Meta(description="Folder that holds everything Threadline stores.")
    ] = DEFAULT_FOLDER
    public_url: Annotated[
        str,
        msgspec.Meta(
            description="Where people open the dashboard, such as `https://stats.example.com`: "
            "used in printed links and for signing in with OpenID Connect. Empty: the "
            "address that a request was sent to, or that the server listens on."
        ),
    ] = ""
    prefix: Annotated[
        str,
        msgspec.Meta(
            description="Path under which Threadline is served on an existing site, such as "
            "`/stats`. The proxy may keep it or remove it (docs/deploying.md)."
        ),
    ] = ""
    store: Annotated[
        str,
        msgspec.Meta(
            description="Where events live: `chdb` is the embedded engine inside the data folder, "
            "`chdb:///path` the same engine in another folder, "
            "`clickhouse://user:password@host:8123/database` a ClickHouse server "
            "(`clickhouses://` for TLS); for a cluster, name all hosts and add "
            "`?cluster=name` (docs/scaling.md)."
        ),
    ] = "chdb"
    control: Annotated[
        str,
        msgspec.Meta(
            description="Where projects, keys, members and salts are: `control.db` is a file in the"
            " data folder, `postgresql://user:password@host:5432/database` a PostgreSQL database "
            "(docs/scaling.md)."
        ),
    ] = "control.db"
    client_address_header: Annotated[
        str,
        msgspec.Meta(
            description="Header with the visitor's address, set by a proxy you trust "
            "(`X-Forwarded-For`: its last entry counts). Empty: the connection's address."
        ),
    ] = ""
    trusted_proxies: Annotated[
        Positive,
        msgspec.Meta(
            description="How many of your proxies add an entry to that header: with 2, such as a "
            "CDN and nginx, the second entry from the end is the visitor's address."
        ),
    ] = 1
    country_header: Annotated[
        str,
        msgspec.Meta(
            description="Headers with the visitor's two-letter country code, separated by commas, "
            "set by a proxy you trust, such as `CF-IPCountry`; the first one that has "
            "a country counts."
        ),
    ] = ""
    country_db: Annotated[
        str,
        msgspec.Meta(
            description="File in MaxMind's format (`.mmdb`) to look up countries that no header "
            "gives; read again when it is replaced."
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
            description="Additional URL parameters, separated by commas, whose values are "
            "removed: `member_no`; `*_ref` for all that end in `_ref`."
        ),
    ] = ""
    track_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: track and identify requests a second.")
    ] = 50
    track_burst: Annotated[
        Positive,
        msgspec.Meta(description="Browser keys: track and identify requests in one burst."),
    ] = 200
    batch_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: batch requests a second.")
    ] = 5
    batch_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: batch requests in one burst.")
    ] = 20
    events_per_second: Annotated[
        Positive,
        msgspec.Meta(description="Browser keys: events a second, in requests of any kind."),
    ] = 1000
    events_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: events in one burst.")
    ] = 20_000
    bytes_per_second: Annotated[
        Positive, msgspec.Meta(description="Browser keys: unpacked bytes a second.")
    ] = 1024**2
    bytes_burst: Annotated[
        Positive, msgspec.Meta(description="Browser keys: unpacked bytes in one burst.")
    ] = 32 * 1024**2
    mcp_per_second: Annotated[
        Positive, msgspec.Meta(description="Tool calls by agents a second, with one key.")
    ] = 50
    mcp_burst: Annotated[
        Positive, msgspec.Meta(description="Tool calls by agents in one burst, with one key.")
    ] = 500
    body_seconds: Annotated[
        Positive, msgspec.Meta(description="A request body that takes longer to arrive is cut off.")
    ] = 30
    placeholder_ids: Annotated[
        str,
        msgspec.Meta(
            description="Additional placeholder ids, separated by commas: what your callers send "
            "when they have no id. `undefined`, `null`, `guest` and similar words are "
            "known already."
        ),
    ] = ""
    dedup_days: Annotated[
        Positive,
        msgspec.Meta(
            description="An event_id that was already stored within this many days is not stored "
            "again; only days on which the server runs count."
        ),
    ] = 7
    log_max_bytes: Annotated[
        Positive,
        msgspec.Meta(
            description="Bytes of events waiting on disk for the store; above "
            "this, new events get a 503."
        ),
    ] = 4 * 1024**3
    query_seconds: Annotated[
        Positive, msgspec.Meta(description="A question that takes longer than this is stopped.")
    ] = 30
    query_memory: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Bytes of memory one question may take. 0: an eighth of the machine's; on "
            "a ClickHouse server, what is configured there.",
        ),
    ] = 0
    log_sql: Annotated[
        bool,
        msgspec.Meta(
            description="Log each SQL statement of a question with its values, its time and the "
            "rows it read. The values include user ids; each statement is planned a "
            "second time for this."
        ),
    ] = False
    backup_every: Annotated[
        str,
        msgspec.Meta(
            description="How often the server backs its folder up: `30m`, `24h`, `7d` "
            "(docs/backup.md). Empty: no automatic backups."
        ),
    ] = ""
    backup_to: Annotated[
        str,
        msgspec.Meta(
            description="Where automatic backups are written: a folder, best on another disk, or "
            "`s3://bucket/prefix`."
        ),
    ] = ""
    backup_keep: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="How many automatic backups are kept; the latest always is. 0: all."
        ),
    ] = 0
    backup_keep_days: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="For how many days automatic backups are kept. 0: for ever."
        ),
    ] = 0
    backup_encrypt_to: Annotated[
        str,
        msgspec.Meta(
            description="Public age keys (`age1…`), separated by commas, that automatic backups "
            "are encrypted to. Empty: they are not encrypted."
        ),
    ] = ""
    oidc_issuer: Annotated[
        str,
        msgspec.Meta(
            description="OpenID Connect provider with which people may sign in to the dashboard: "
            "its address, such as `https://accounts.google.com`, or that of its "
            "discovery document (docs/dashboard-access.md)."
        ),
    ] = ""
    oidc_client_id: Annotated[
        str,
        msgspec.Meta(
            description="The client id that the OpenID Connect provider gave to this server."
        ),
    ] = ""
    oidc_client_secret: Annotated[
        str,
        msgspec.Meta(
            description="The client secret that the provider gave to this server. Empty: "
            "a public client, which has none."
        ),
    ] = ""
    oidc_name: Annotated[
        str,
        msgspec.Meta(
            description="Name of the provider on the sign-in button. Empty: the provider's host."
        ),
    ] = ""
    oidc_domains: Annotated[
        str,
        msgspec.Meta(
            description="E-mail domains, separated by commas: people with an address there become "
            "viewers when they first sign in with OpenID Connect. Empty: only members "
            "may sign in."
        ),
    ] = ""
    metrics_open: Annotated[bool, msgspec.Meta(description="`/metrics` answers without a key.")] = (
        False
    )

    @property
    def control_in_folder(self) -> bool:
        """Whether projects and keys are a file of the data folder."""
        return self.control == DEFAULTS.control

    @property
    def is_one_of_several(self) -> bool:
        """Whether other Threadlines may write into the same store: they find each other in the
        control plane that they share."""
        return not self.control_in_folder and not self.store.startswith("chdb")

    @property
    def control_is_missing(self) -> bool:
        """Whether nothing was set up yet, as far as the data folder can tell. Of one that was moved
        into PostgreSQL, whoever opens it says so."""
        file = Path(self.data) / self.control
        return self.control_in_folder and not (
            file.exists() or file.with_name(f"{file.name}.moved").exists()
        )

    @property
    def root_path(self) -> str:
        """The prefix as it stands before paths: `/stats`, or nothing."""
        path = self.prefix.strip("/")
        return f"/{path}" if path else ""

    def base_url(self, url: str) -> str:
        """Where people find us, the prefix included. `url`: where that is if nobody has said."""
        return (self.public_url or url).rstrip("/") + self.root_path


DEFAULTS = Settings()
