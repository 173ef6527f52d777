"""What the command line does to projects and keys."""

import base64
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from threadline.control.database import Conflict, Statements
from threadline.control.errors import ControlError
from threadline.control.keys import (
    SCOPED_KINDS,
    SCOPES,
    Key,
    Token,
    new_token,
    parse_named,
    secret_hash,
)
from threadline.control.names import checked_name
from threadline.control.origins import normalise_origin
from threadline.control.pepper import adopt_pepper, read_pepper
from threadline.control.share_links import ShareLinks
from threadline.control.snapshot import VISIT_TIMEOUT_MINUTES, Project

VISIT_TIMEOUTS = range(5, 241)
# The key of one command ends soon after a crash of it; while the command runs, it renews the key.
TEMPORARY_MS = 300_000
RENEW_EVERY_S = 60.0


# What a key is besides its project.
KEY_COLUMNS = (
    "prefix kind env secret_hash created_ms last_used_ms revoked_ms name expires_ms scopes".split()
)


def _kept(name: str, value: Any) -> Any:
    """A value of JSON, in which bytes are base64."""
    return base64.b64decode(value) if name == "secret_hash" else value


class Changes(ShareLinks):
    """Every change is one transaction, and is known everywhere when its method returns."""

    def projects(self) -> list[Project]:
        """All projects, by name."""
        return list(self.look().projects)

    def create_project(
        self,
        name: str,
        origins: list[str],
        stitch: str | None = None,
        visit_timeout_minutes: int = VISIT_TIMEOUT_MINUTES,
        project_id: str | None = None,
        with_keys: bool = True,
    ) -> tuple[Project, dict[str, Token]]:
        """A project with one live key of each kind pk, sk, rk. `project_id`: that it had elsewhere.
        `with_keys`: False where it brings its own.

        Raises `ControlError` if the name is none or taken, an origin is none, or visits of this
        project would end too soon or too late.
        """
        _check_timeout(visit_timeout_minutes)
        wanted = self._new_project(name, origins, stitch, visit_timeout_minutes)
        if project_id is not None:
            wanted = wanted._replace(project_id=project_id)
        try:
            with self._write_and_tell() as db:
                keys = self._insert_project(db, wanted, with_keys)
        except Conflict:
            raise name_taken(wanted.name) from None
        return self.project(wanted.project_id), keys

    def _new_project(
        self,
        name: str,
        origins: list[str],
        stitch: str | None = None,
        visit_timeout_minutes: int = VISIT_TIMEOUT_MINUTES,
    ) -> Project:
        """Not kept yet, and without hosts."""
        return Project(
            f"prj_{secrets.token_hex(6)}",
            checked_name("project", name),
            stitch,
            frozenset(_normalised(origins)),
            frozenset(),
            visit_timeout_minutes=visit_timeout_minutes,
        )

    def _insert_project(
        self, db: Statements, project: Project, with_keys: bool = True
    ) -> dict[str, Token]:
        """With its keys. Inside a transaction."""
        keys = {kind: new_token(kind, "live") for kind in ("pk", "sk", "rk") if with_keys}
        db.execute(
            "INSERT INTO projects (project_id, name, stitch, created_ms, visit_timeout_minutes)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                project.project_id,
                project.name,
                project.stitch,
                self._now_ms(),
                project.visit_timeout_minutes,
            ),
        )
        db.executemany(
            "INSERT INTO origins VALUES (?, ?)",
            [(project.project_id, origin) for origin in sorted(project.origins)],
        )
        for token in keys.values():
            self._insert_key(db, token, project.project_id)
        return keys

    def key_rows(self, project_id: str) -> list[dict[str, Any]]:
        """Its lasting keys as they are kept: hashes, of which nobody can make a key."""
        with self._write_and_tell() as db:
            found = db.execute(
                f"SELECT {', '.join(KEY_COLUMNS)} FROM keys WHERE project_id = ? AND temporary = 0"
                " ORDER BY prefix",
                (project_id,),
            ).fetchall()
        return [dict(zip(KEY_COLUMNS, row, strict=True)) for row in found]

    def adopt_pepper(self, text: str) -> None:
        """Take this pepper, in hexadecimal, if there is no key here yet."""
        if adopt_pepper(self.folder, self._db, text):
            self.pepper = read_pepper(self.folder, self._db.pepper_way_out)

    def adopt_keys(self, project_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Keys that `key_rows` gave, of a folder with the same pepper; how many are new here."""
        marks = ", ".join("?" * (len(KEY_COLUMNS) + 1))
        columns = ", ".join(("project_id", *KEY_COLUMNS))
        with self._write_and_tell() as db:
            return sum(
                db.execute(
                    f"INSERT INTO keys ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING",
                    (project_id, *(_kept(name, row[name]) for name in KEY_COLUMNS)),
                ).rowcount
                for row in rows
            )

    def project(self, wanted: str) -> Project:
        """A project by its id or name. Raises `ControlError` naming those there are."""
        projects = self.projects()
        for project in (*(p for p in projects if p.project_id == wanted), *projects):
            if wanted in (project.project_id, project.name):
                return project
        names = ", ".join(f"{p.project_id} ({p.name})" for p in projects) or "none yet"
        raise ControlError(f"There is no project {wanted!r}. Projects: {names}.")

    def set_origins(self, project_id: str, add: list[str], remove: list[str]) -> None:
        """Change where browser keys may be used from. Raises `ControlError` for what is none, and
        if one to remove is not there."""
        added = _normalised(add)
        origins = self.project(project_id).origins
        # What an older version took for an origin can go, too.
        kept = [origin for origin in remove if origin in origins]
        removed = kept + _normalised([origin for origin in remove if origin not in origins])
        for origin in removed:
            if origin not in origins:
                there = ", ".join(sorted(origins)) or "none"
                raise ControlError(f"{origin} is not an origin of the project; those are: {there}.")
        with self._write_and_tell() as db:
            db.executemany(
                "INSERT INTO origins VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(project_id, origin) for origin in added],
            )
            db.executemany(
                "DELETE FROM origins WHERE project_id = ? AND origin = ?",
                [(project_id, origin) for origin in removed],
            )

    def set_site(
        self, project_id: str, subdomains: str | None = None, rules: str | None = None
    ) -> None:
        """Change what decides where visitors come from; what is None stays as it is. It counts for
        the next event."""
        with self._write_and_tell() as db:
            db.execute(
                "INSERT INTO sites VALUES (?, 'same', '') ON CONFLICT DO NOTHING", (project_id,)
            )
            db.execute(
                "UPDATE sites SET subdomains = coalesce(?, subdomains), rules = coalesce(?, rules)"
                " WHERE project_id = ?",
                (subdomains, rules, project_id),
            )

    def set_visit_timeout(self, project_id: str, minutes: int) -> None:
        """How long nothing may happen until a visit is over. It counts for the next question, of
        the past, too. Raises `ControlError` for what is out of bounds."""
        _check_timeout(minutes)
        with self._write_and_tell() as db:
            db.execute(
                "UPDATE projects SET visit_timeout_minutes = ? WHERE project_id = ?",
                (minutes, project_id),
            )

    def create_key(
        self,
        project_id: str,
        kind: str,
        env: str = "live",
        name: str = "",
        scopes: Sequence[str] = (),
    ) -> Token:
        """A new key, returned once with its secret. Raises `ControlError` if `name` is none, or
        keys of this kind have no such scope."""
        name = name and checked_name("key", name)
        for scope in scopes:
            _check_scope(kind, scope)
        token = new_token(kind, env)
        with self._write_and_tell() as db:
            self._insert_key(db, token, project_id, name, scopes=_joined(scopes))
        return token

    def grant(self, named: str, scope: str) -> Key:
        """Let a key do more than others of its kind; again is no error. The key as it was before.
        Raises `ControlError` if there is no such key or scope."""
        key = self.find_key(named)
        _check_scope(key.kind, scope)
        self._set_scopes(key, [*key.scope_names, scope])
        return key

    def withdraw(self, named: str, scope: str) -> Key:
        """Take it back; again is no error. The key as it was before. Raises `ControlError`."""
        key = self.find_key(named)
        _check_scope(key.kind, scope)
        self._set_scopes(key, [name for name in key.scope_names if name != scope])
        return key

    def _set_scopes(self, key: Key, scopes: Sequence[str]) -> None:
        with self._write_and_tell() as db:
            db.execute("UPDATE keys SET scopes = ? WHERE prefix = ?", (_joined(scopes), key.prefix))

    def list_keys(self, project_id: str | None = None) -> list[Key]:
        """The keys of one project or of all, oldest first, revoked and expired ones too; without
        those that a command made for itself."""
        found = [
            key
            for key in self.look().keys.values()
            if project_id in (None, key.project_id) and not key.temporary
        ]
        return sorted(found, key=lambda key: (key.created_ms, key.prefix))

    def find_key(self, named: str) -> Key:
        """A key by what lists print (`sk_live_PREFIX`), its prefix, or the whole of it. Raises
        `ControlError` if there is none; the message never holds a secret."""
        parsed = parse_named(named)
        if not parsed:
            raise ControlError(
                "A key is named as `threadline key list` shows it (sk_live_PREFIX), by its PREFIX, "
                "or as a whole; what you gave is none of these."
            )
        key = self.look().keys.get(parsed.prefix)
        if not key:
            raise ControlError(f"There is no key {parsed.label}; `threadline key list` shows them.")
        if parsed.label not in (key.prefix, key.label):
            raise ControlError(f"There is no key {parsed.label}, but there is {key.label}.")
        return key

    def revoke_key(self, named: str) -> Key:
        """Revoke at once; again is no error. The key as it was before. Raises `ControlError` if
        there is no such key."""
        key = self.find_key(named)
        with self._write_and_tell() as db:
            _revoke(db, key, self._now_ms())
        return key

    def rotate_key(self, named: str, keep_ms: int = 0) -> tuple[Token, str]:
        """A new key like the one given, and the id of their project. The old one is revoked at
        once, or goes on for so many milliseconds. Raises `ControlError`."""
        old = self.find_key(named)
        token = new_token(old.kind, old.env)
        now_ms = self._now_ms()
        state = old.state(now_ms)
        if keep_ms and state in ("revoked", "expired"):
            raise ControlError(f"{old.label} is {state} already and cannot be kept any longer.")
        with self._write_and_tell() as db:
            self._insert_key(db, token, old.project_id, old.name, scopes=old.scopes)
            if keep_ms:
                ends_ms = min(now_ms + keep_ms, old.expires_ms or now_ms + keep_ms)
                _expire(db, old.prefix, ends_ms)
            else:
                _revoke(db, old, now_ms)
        return token, old.project_id

    @contextmanager
    def temporary_key(self, project_id: str, kind: str) -> Iterator[str]:
        """A key that lives for one command and leaves no trace; after a crash of the command, for
        some minutes."""
        token = new_token(kind, "live")
        with self._write_and_tell() as db:
            self._insert_key(
                db, token, project_id, expires_ms=self._now_ms() + TEMPORARY_MS, temporary=1
            )
        left = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(token.prefix, left), daemon=True)
        renewing.start()
        try:
            yield str(token)
        finally:
            left.set()
            renewing.join()
            # Where the file is locked, the key ends by itself, and housekeeping deletes it.
            with suppress(ControlError), self._write_and_tell() as db:
                db.execute("DELETE FROM keys WHERE prefix = ?", (token.prefix,))

    # -- inside -----------------------------------------------------------------------------

    def _renew(self, prefix: str, left: threading.Event) -> None:
        while not left.wait(RENEW_EVERY_S):
            with suppress(ControlError), self._write() as db:
                _expire(db, prefix, self._now_ms() + TEMPORARY_MS)

    def _insert_key(
        self,
        db: Statements,
        token: Token,
        project_id: str,
        name: str = "",
        expires_ms: int | None = None,
        temporary: int = 0,
        scopes: str = "",
    ) -> None:
        db.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?, ?)",
            (
                token.prefix,
                project_id,
                token.kind,
                token.env,
                secret_hash(self.pepper, token.secret),
                self._now_ms(),
                name,
                expires_ms,
                temporary,
                scopes,
            ),
        )


def _expire(db: Statements, prefix: str, at_ms: int) -> None:
    db.execute("UPDATE keys SET expires_ms = ? WHERE prefix = ?", (at_ms, prefix))


def _revoke(db: Statements, key: Key, now_ms: int) -> None:
    db.execute(
        "UPDATE keys SET revoked_ms = ? WHERE prefix = ? AND revoked_ms IS NULL",
        (now_ms, key.prefix),
    )


def _joined(scopes: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(scopes))


def _check_scope(kind: str, scope: str) -> None:
    if scope not in SCOPES:
        scopes = "; ".join(f"{name}: {use}" for name, use in SCOPES.items())
        raise ControlError(f"There is no scope {scope!r}. Scopes: {scopes}.")
    if kind not in SCOPED_KINDS:
        kinds = " and ".join(SCOPED_KINDS)
        raise ControlError(f"The scope {scope} is for {kinds} keys, and this is of kind {kind}.")


def name_taken(name: str) -> ControlError:
    """The error for a project's name that another one has."""
    return ControlError(f"There is a project named {name!r} already; choose another name.")


def _normalised(origins: list[str]) -> list[str]:
    try:
        return sorted({normalise_origin(origin) for origin in origins})
    except ValueError as error:
        raise ControlError(str(error)) from None


def _check_timeout(minutes: int) -> None:
    if minutes not in VISIT_TIMEOUTS:
        raise ControlError(
            f"A visit timeout of {minutes} minutes is not possible; choose from "
            f"{VISIT_TIMEOUTS[0]} to {VISIT_TIMEOUTS[-1]}."
        )
