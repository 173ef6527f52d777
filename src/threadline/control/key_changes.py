"""What the command line does to keys."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from threadline.control.database import ControlStatements
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
from threadline.control.share_links import ShareLinks

# The key of one command ends soon after a crash of it; while the command runs, it renews the key.
TEMPORARY_MS = 300_000
RENEW_EVERY_S = 60.0


class KeyChanges(ShareLinks):
    """Every change is one transaction, and is known everywhere when its method returns."""

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
        db: ControlStatements,
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


def _expire(db: ControlStatements, prefix: str, at_ms: int) -> None:
    db.execute("UPDATE keys SET expires_ms = ? WHERE prefix = ?", (at_ms, prefix))


def _revoke(db: ControlStatements, key: Key, now_ms: int) -> None:
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
