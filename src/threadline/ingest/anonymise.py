"""In the place of a person's events, the same of somebody random, so that sums stay.

Forgetting finds what there is of a person and writes it down; then come the copies, and what it
found goes as ever. Copies have a token each, so that after a crash none comes twice. What they are
called follows from a random secret, which goes with the plan: nobody can tell afterwards who it
was.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from threadline.identity.resolution import PROJECT
from threadline.ingest import row
from threadline.ingest.forget_plan import EVENTS, Share
from threadline.store import Store
from threadline.store.states import ACCOUNT_ID, SAYS_ACCOUNT

SECRET_BYTES = 32
ROWS_AT_ONCE = 20_000
REMOVED = "[removed]"
# Named as it was when it came: what it followed from is not there any more.
VERSION = "anonymised"
# What only they came by tells of them; what others came by, too, does not.
COMPARED = ("path", "campaign", "term", "content")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
# Numbers under such names are somebody's, however small.
PERSONAL = re.compile(
    r"(^|[_.-])(id|ids|no|nr|number|phone|mobile|zip|postcode|age|birth\w*|lat|lon"
    r"|latitude|longitude|ip|iban|card|account|customer|user|order)$|(Id|ID)$"
)
CURRENCY = re.compile(r"[A-Za-z]{3}")
NUMBER = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,6})?")
# Longer ones are numbers of telephones, orders, customers.
MOST = 10_000_000

ALL = {
    **{name: name for name in row.COLUMNS},
    "timestamp": "toUnixTimestamp64Milli(timestamp)",
    "received_at": "toUnixTimestamp64Milli(received_at)",
    "ip_hash": "''",
}
READ = f"""
    SELECT {", ".join(f"{sql} AS {name}_" for name, sql in ALL.items())}
    FROM events
    WHERE {EVENTS}
    ORDER BY visitor, timestamp, event_id"""
THEIRS = f"""
    SELECT {", ".join(f"groupUniqArray(toString({name})) AS {name}_" for name in COMPARED)}
    FROM events
    WHERE {EVENTS}"""
OF_OTHERS = f"""
    SELECT {
    ", ".join(
        f"groupUniqArrayIf(toString({name}), {name} IN {{{name}:Array(String)}}) AS {name}_"
        for name in COMPARED
    )
}
    FROM events
    WHERE {PROJECT} AND NOT ({EVENTS})"""
ACCOUNTS = f"""
    SELECT DISTINCT {ACCOUNT_ID} AS account_id
    FROM events AS e
    WHERE {EVENTS} AND {SAYS_ACCOUNT}"""
ACCOUNTS_OF_OTHERS = f"""
    SELECT DISTINCT account_id FROM account_links
    WHERE {PROJECT} AND account_id IN {{accounts:Array(String)}} AND NOT ({EVENTS})"""

Shared = Mapping[str, frozenset[str]]
_rows = msgspec.json.Decoder(list[Any])


def copy(store: Store, share: Share) -> None:
    """Insert the copies, before what was found is deleted. However often it is done until then,
    each is there once. Raises `StoreError`."""
    token = blake2b(b"token", key=share.secret, digest_size=16).hexdigest()
    several = len(list(share.slices())) > 1
    for number, bound in enumerate(share.slices()):
        # Whoever has that many devices: what the others did is not looked up.
        shared = {} if several else _shared(store, bound)
        copying = _Copying(share.secret, shared)
        lines = store.query_bytes(READ, bound, "JSONCompactEachRow").splitlines()
        for part in range(0, len(lines), ROWS_AT_ONCE):
            rows = [_rows.decode(line) for line in lines[part : part + ROWS_AT_ONCE]]
            body = b"".join(row.encode(made) for made in copying.all(rows))
            store.insert("events", row.COLUMNS, "MsgPack", body, f"{token}-{number}-{part}")


def _shared(store: Store, bound: dict[str, object]) -> Shared:
    """Which of their texts others came by, too."""
    (theirs,) = store.query(THEIRS, bound)
    named = {name: [text for text in theirs[f"{name}_"] if text] for name in COMPARED}
    (found,) = store.query(OF_OTHERS, {**bound, **named})
    accounts = [each["account_id"] for each in store.query(ACCOUNTS, bound)]
    there = store.query(ACCOUNTS_OF_OTHERS, {**bound, "accounts": accounts}) if accounts else []
    return {
        **{name: frozenset(found[f"{name}_"]) for name in COMPARED},
        "account_id": frozenset(each["account_id"] for each in there),
    }


class _Copying:
    def __init__(self, secret: bytes, shared: Shared) -> None:
        self._secret = secret
        self._shared = shared
        self._user = self._name("user", "")

    def all(self, rows: Sequence[Sequence[Any]]) -> Iterator[row.Row]:
        for values in rows:
            yield list(self._one(dict(zip(row.COLUMNS, values, strict=True))).values())

    def _one(self, event: dict[str, Any]) -> dict[str, Any]:
        ids = [event[name] for name in ("user_id", "anonymous_id", "session_id") if event[name]]
        event["timestamp"], event["received_at"] = (
            int(event["timestamp"]),
            int(event["received_at"]),
        )
        for name in ("anonymous_id", "session_id", "event_id"):
            event[name] = self._name(name, str(event[name]))
        if event["user_id"] is not None:
            event["user_id"] = self._user
        for name in COMPARED:
            if not self._may_stay(name, event[name], ids):
                event[name] = ""
        for name in ("source", "medium"):
            if "@" in event[name] or _holds(event[name], ids):
                event[name] = ""
        event["url"], event["path"] = _address(event["url"], event["path"])
        event["referrer"] = _host(event["referrer"])
        event["properties"] = self._properties(event["event_name"], event["properties"])
        event["ip_hash"] = bytes(16)
        event["classifier_version"] = VERSION
        return event

    def _name(self, kind: str, of: str) -> str:
        return blake2b(f"{kind}\0{of}".encode(), key=self._secret, digest_size=16).hexdigest()

    def _may_stay(self, name: str, text: str, ids: Sequence[str]) -> bool:
        return text in self._shared.get(name, ()) and "@" not in text and not _holds(text, ids)

    def _properties(self, event_name: str, text: str) -> str:
        """Numbers and truths, so that sums stay, and the account where others are in it, too."""
        try:
            given: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError:
            return "{}"
        kept = {} if event_name == "$identify" else _numbers(given)
        for name in ("account_id", "group_id"):
            if str(given.get(name, "")) in self._shared.get("account_id", ()):
                kept[name] = given[name]
        return msgspec.json.encode(kept).decode()


def _numbers(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in given.items():
        if KEY.fullmatch(name) and not PERSONAL.search(name):
            found = _number(name, value)
            if found is not None:
                kept[name] = found
    return kept


def _number(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _numbers(value) or None
    if isinstance(value, list):
        return [found for each in value if (found := _number(name, each)) is not None] or None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < MOST else None
    if isinstance(value, str):
        is_money = "currency" in name.lower() and CURRENCY.fullmatch(value)
        return value if is_money or NUMBER.fullmatch(value) else None
    return None


def _holds(text: str, ids: Sequence[str]) -> bool:
    return any(id_ in text or quote(id_) in text for id_ in ids)


def _address(url: str, path: str) -> tuple[str, str]:
    """Of the address host and path. `path`: empty where it may not stay."""
    if not url:
        return "", path
    host = _host(url)
    if path:
        return f"{host.rstrip('/')}{path}" if path.startswith("/") else host, path
    return (f"{host}{REMOVED}", f"/{REMOVED}") if host else ("", "")


def _host(address: str) -> str:
    """The address without path and query; nothing of one that has no host."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}/" if parts.scheme and host else ""
