"""The control plane: projects, origins, keys and salts in one SQLite file.

The command line writes to it while the server runs. The server keeps what it reads in memory and
asks SQLite every few milliseconds whether another process has committed since. Who writes waits
that long before saying that it is done; so a revoked key stops working with the next request.
"""

import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from threadline import migrations
from threadline.contract.errors import InvalidApiKey, KeyKindMismatch
from threadline.contract.times import DAY_MS
from threadline.control.keys import Token, new_token, parse_token, secret_hash
from threadline.control.origins import normalise_origin, origin_host

# Two whole days of hashes can still be compared; older ones are random bytes for ever.
SALT_DAYS = 2
# Asking at every request would cost a sixth of it.
LOOK_EVERY_S = 0.005


class ControlError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


class Project(NamedTuple):
    """`hosts`: the hosts of its origins, for telling internal referrers from others.
    `subdomains`: `same` or `separate`. `rules`: YAML, for sources that are its own."""

    project_id: str
    name: str
    stitch: str | None
    origins: frozenset[str]
    hosts: frozenset[str]
    subdomains: str = "same"
    rules: str = ""


class Key(NamedTuple):
    """A key as stored: everything but its secret. Times are milliseconds since 1970."""

    prefix: str
    project_id: str
    kind: str
    env: str
    secret_hash: bytes
    created_ms: int
    last_used_ms: int | None
    revoked_ms: int | None


class Control:
    """Opened once by the server, or for a moment by the command line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pepper = _pepper(folder / "pepper")
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            folder / "control.db", isolation_level=None, check_same_thread=False, timeout=10
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        # A salt that is deleted has to be gone from the file, too.
        self._db.execute("PRAGMA secure_delete = ON")
        migrations.migrate_sqlite("The control plane (control.db)", self._db, "threadline.control")
        self._seen_version = -1
        self._looked_at = 0.0
        self._projects: dict[str, Project] = {}
        self._keys: dict[str, Key] = {}
        self._used: dict[str, int] = {}
        self._placeholder_ids: Counter[str] = Counter()
        self._salt: tuple[int, bytes] = (-1, b"")
        self._salts_in_wal = True  # for all we know

    def close(self) -> None:
        self.save_uses()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- asked by the server ----------------------------------------------------------------

    def authenticate(self, text: str) -> tuple[Key, Project]:
        """The key and the project behind a bearer token.

        Raises `MalformedApiKey`, `InvalidApiKey` or `KeyKindMismatch`.
        """
        token = parse_token(text)
        if time.monotonic() - self._looked_at > LOOK_EVERY_S or token.prefix not in self._keys:
            self._refresh()
        key = self._keys.get(token.prefix)
        # The same work for an unknown prefix, so that the clock does not tell which exist.
        expected = key.secret_hash if key else bytes(32)
        matches = hmac.compare_digest(secret_hash(self.pepper, token.secret), expected)
        if not key or not matches or key.revoked_ms is not None or key.env != token.env:
            raise InvalidApiKey("This key does not exist or was revoked.")
        if key.kind != token.kind:
            raise KeyKindMismatch(f"This key was issued as {key.kind}, not as {token.kind}.")
        self._used[key.prefix] = _now_ms()
        return key, self._projects[key.project_id]

    def projects(self) -> list[Project]:
        """All projects, by name."""
        self._refresh()
        return sorted(self._projects.values(), key=lambda project: project.name)

    def salt(self) -> bytes:
        """Today's (UTC) salt."""
        day = _now_ms() // DAY_MS
        if self._salt[0] != day:
            with self._lock:
                self._db.execute(
                    "INSERT OR IGNORE INTO salts VALUES (?, ?)", (day, secrets.token_bytes(32))
                )
                (salt,) = self._db.execute(
                    "SELECT salt FROM salts WHERE day = ?", (day,)
                ).fetchone()
            self._salt = (day, salt)
        return self._salt[1]

    def destroy_old_salts(self) -> None:
        """Those of the day before yesterday and older: from the file, and from the write-ahead file
        beside it. Nothing can be compared with their hashes any more."""
        day = _now_ms() // DAY_MS
        with self._lock:
            gone = self._db.execute("DELETE FROM salts WHERE day <= ?", (day - SALT_DAYS,))
            if gone.rowcount or self._salts_in_wal:
                # Busy while another process reads; then again the next time.
                (self._salts_in_wal, *_) = self._db.execute(
                    "PRAGMA wal_checkpoint(TRUNCATE)"
                ).fetchone()
        if self._salt[0] <= day - SALT_DAYS:
            self._salt = (-1, b"")

    def count_placeholder_ids(self, project_id: str, ids: int = 1) -> None:
        """So many more ids of this project were none."""
        self._placeholder_ids[project_id] += ids

    def placeholder_ids(self, project_id: str) -> int:
        """How many ids of this project were none, ever."""
        with self._lock:
            (saved,) = self._db.execute(
                "SELECT total(refused) FROM placeholder_ids WHERE project_id = ?", (project_id,)
            ).fetchone()
        return int(saved) + self._placeholder_ids[project_id]

    def save_uses(self) -> None:
        """Write down when keys were last used, and what was counted; called now and then, and at
        the end."""
        used, self._used = self._used, {}
        counted, self._placeholder_ids = self._placeholder_ids, Counter()
        if not used and not counted:
            return
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE keys SET last_used_ms = ? WHERE prefix = ?",
                [(used_ms, prefix) for prefix, used_ms in list(used.items())],
            )
            self._db.executemany(
                "INSERT INTO placeholder_ids VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET refused = refused + excluded.refused",
                list(counted.items()),
            )
            self._db.execute("COMMIT")

    # -- asked by the command line ----------------------------------------------------------

    def create_project(
        self, name: str, origins: list[str], stitch: str | None = None
    ) -> tuple[Project, dict[str, Token]]:
        """A project with one live key of each kind pk, sk, rk.

        Raises `ControlError` if the name is taken or an origin is none.
        """
        listed = _normalised(origins)
        project_id = f"prj_{secrets.token_hex(6)}"
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(
                    "INSERT INTO projects VALUES (?, ?, ?, ?)",
                    (project_id, name, stitch, _now_ms()),
                )
                self._db.executemany(
                    "INSERT INTO origins VALUES (?, ?)", [(project_id, origin) for origin in listed]
                )
                self._db.execute("COMMIT")
            except sqlite3.IntegrityError:
                self._db.execute("ROLLBACK")
                raise ControlError(
                    f"There is a project named {name!r} already; choose another name."
                ) from None
        self._told()
        keys = {kind: self.create_key(project_id, kind) for kind in ("pk", "sk", "rk")}
        return self.project(project_id), keys

    def project(self, wanted: str) -> Project:
        """A project by its id or name. Raises `ControlError` naming those there are."""
        projects = self.projects()
        for project in projects:
            if wanted in (project.project_id, project.name):
                return project
        names = ", ".join(f"{p.project_id} ({p.name})" for p in projects) or "none yet"
        raise ControlError(f"There is no project {wanted!r}. Projects: {names}.")

    def set_origins(self, project_id: str, add: list[str], remove: list[str]) -> None:
        """Change where browser keys may be used from. Raises `ControlError` for what is none, and
        if one to remove is not there."""
        added, removed = _normalised(add), _normalised(remove)
        origins = self.project(project_id).origins
        for origin in removed:
            if origin not in origins:
                there = ", ".join(sorted(origins)) or "none"
                raise ControlError(f"{origin} is not an origin of the project; those are: {there}.")
        with self._lock:
            self._db.executemany(
                "INSERT OR IGNORE INTO origins VALUES (?, ?)",
                [(project_id, origin) for origin in added],
            )
            self._db.executemany(
                "DELETE FROM origins WHERE project_id = ? AND origin = ?",
                [(project_id, origin) for origin in removed],
            )
        self._told()

    def set_site(
        self, project_id: str, subdomains: str | None = None, rules: str | None = None
    ) -> None:
        """Change what decides where visitors come from; what is None stays as it is. It counts for
        the next event."""
        with self._lock:
            self._db.execute(
                "INSERT INTO sites VALUES (?1, coalesce(?2, 'same'), coalesce(?3, ''))"
                " ON CONFLICT DO UPDATE SET"
                " subdomains = coalesce(?2, subdomains), rules = coalesce(?3, rules)",
                (project_id, subdomains, rules),
            )
        self._told()

    def create_key(self, project_id: str, kind: str, env: str = "live") -> Token:
        """A new key, returned once with its secret."""
        token = new_token(kind, env)
        with self._lock:
            self._db.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    token.prefix,
                    project_id,
                    kind,
                    env,
                    secret_hash(self.pepper, token.secret),
                    _now_ms(),
                ),
            )
        self._told()
        return token

    def list_keys(self, project_id: str | None = None) -> list[Key]:
        """The keys of one project or of all, oldest first, revoked ones too."""
        self._refresh()
        found = [k for k in self._keys.values() if project_id in (None, k.project_id)]
        return sorted(found, key=lambda key: key.created_ms)

    def revoke_key(self, prefix: str) -> Key:
        """Revoke at once; again is no error. Raises `ControlError` if there is no such key."""
        self._refresh()
        key = self._keys.get(prefix)
        if not key:
            raise ControlError(
                f"There is no key with prefix {prefix!r}; `threadline key list` shows them."
            )
        with self._lock:
            self._db.execute(
                "UPDATE keys SET revoked_ms = ? WHERE prefix = ? AND revoked_ms IS NULL",
                (_now_ms(), prefix),
            )
        self._told()
        return key

    @contextmanager
    def passing_key(self, project_id: str, kind: str) -> Iterator[str]:
        """A key that lives for one command and leaves no trace."""
        token = self.create_key(project_id, kind)
        try:
            yield str(token)
        finally:
            with self._lock:
                self._db.execute("DELETE FROM keys WHERE prefix = ?", (token.prefix,))
            self._told()

    def rotate_key(self, prefix: str) -> tuple[Token, str]:
        """A new key like the one given, which is revoked; and the id of their project."""
        old = self.revoke_key(prefix)
        return self.create_key(old.project_id, old.kind, old.env), old.project_id

    # -- inside -----------------------------------------------------------------------------

    def _told(self) -> None:
        """Everybody knows of what was just committed: we at the next look, others by now."""
        self._seen_version = -1
        self._looked_at = 0.0
        time.sleep(LOOK_EVERY_S)

    def _refresh(self) -> None:
        """Read projects and keys again if any other connection has committed since."""
        with self._lock:
            self._looked_at = time.monotonic()
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version == self._seen_version:
                return
            origins: dict[str, set[str]] = {}
            for project_id, origin in self._db.execute("SELECT project_id, origin FROM origins"):
                origins.setdefault(project_id, set()).add(origin)
            self._projects = {
                project_id: Project(
                    project_id,
                    name,
                    stitch,
                    frozenset(origins.get(project_id, ())),
                    frozenset(map(origin_host, origins.get(project_id, ()))),
                    *site,
                )
                for project_id, name, stitch, *site in self._db.execute(
                    "SELECT project_id, name, stitch, coalesce(subdomains, 'same'),"
                    " coalesce(rules, '') FROM projects LEFT JOIN sites USING (project_id)"
                )
            }
            self._keys = {row[0]: Key(*row) for row in self._db.execute("SELECT * FROM keys")}
            self._seen_version = version


def _pepper(path: Path) -> bytes:
    """The secret that keys are hashed with: made once, beside the database but not inside it."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    pepper = bytes.fromhex(path.read_text())
    if len(pepper) != 32:
        raise ControlError(f"{path} is damaged: no key can be checked without it. Restore it.")
    return pepper


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _normalised(origins: list[str]) -> list[str]:
    try:
        return sorted({normalise_origin(origin) for origin in origins})
    except ValueError as error:
        raise ControlError(str(error)) from None
