"""Who is signed in: sessions of cookies, and links that sign in once."""

from typing import NamedTuple

from threadline.contract.errors import AlreadyExists, InvalidLink, NotFound
from threadline.control.access import (
    LINK_MS,
    MINUTE_MS,
    Member,
    Purpose,
    Session,
    SignedInBy,
    new_id,
    new_secret,
    token_hash,
)
from threadline.control.database import ControlStatements
from threadline.control.members import Members

# The device is what a browser says of itself.
MAX_DEVICE = 100


class SignedIn(NamedTuple):
    """`token`: for the cookie, shown this once."""

    token: str
    session: Session
    member: Member


class Sessions(Members):
    """What is used is noted in memory, and written down by housekeeping."""

    _sessions_used: dict[str, int]

    def member_of(self, token: str) -> tuple[Session, Member] | None:
        """Whose cookie this is; None where the session has ended or never was."""
        snapshot = self.look()
        session = snapshot.sessions.get(token_hash(self.pepper, "session", token))
        now_ms = self._now_ms()
        if not session:
            return None
        used_ms = self._sessions_used.get(session.session_id, session.last_used_ms)
        session = session._replace(last_used_ms=max(used_ms, session.last_used_ms))
        if now_ms >= session.expires_ms:
            return None
        self._sessions_used[session.session_id] = now_ms
        return session._replace(last_used_ms=now_ms), snapshot.members[session.member_id]

    def sign_in(self, member: Member, by: SignedInBy, device: str) -> SignedIn:
        """A new session. Raises `InvalidLink` if the member was removed meanwhile."""
        with self._write_and_tell() as db:
            return self._begin_session(db, member.member_id, by, device)

    def sign_in_by_link(self, token: str, device: str) -> SignedIn:
        """A new session for a link that was not used yet. Raises `InvalidLink`."""
        with self._write_and_tell() as db:
            member_id = self._use_link(db, token, ("sign_in", "invitation"))
            return self._begin_session(db, member_id or "", "link", device)

    def make_link(self, member_id: str, purpose: Purpose = "sign_in") -> str:
        """The token of a link that signs this member in, once. Raises `NotFound`."""
        self.find_member(member_id)
        with self._write_and_tell() as db:
            return self._insert_link(db, purpose, member_id)

    def setup_link(self) -> str:
        """The token of a link to the first owner's page. Raises `AlreadyExists` where there are
        members."""
        with self._write_and_tell() as db:
            refuse_members(db)
            return self._insert_link(db, "setup", None)

    def sessions_of(self, member_id: str) -> list[Session]:
        """Those that have not ended, the last used first."""
        now_ms, used = self._now_ms(), self._sessions_used
        found = (
            session._replace(
                last_used_ms=max(session.last_used_ms, used.get(session.session_id, 0))
            )
            for session in self.look().sessions.values()
            if session.member_id == member_id
        )
        living = [session for session in found if session.expires_ms > now_ms]
        return sorted(living, key=lambda session: -session.last_used_ms)

    def end_session(self, member_id: str, session_id: str) -> None:
        """One of this member's. Raises `NotFound`."""
        with self._write_and_tell() as db:
            ended = db.execute(
                "DELETE FROM sessions WHERE member_id = ? AND session_id = ?",
                (member_id, session_id),
            )
            if not ended.rowcount:
                raise NotFound(f"You have no session {session_id}; it may have ended already.")

    def end_sessions(self, member_id: str, but: str = "") -> int:
        """All of this member's, `but` one, and their unused links. How many sessions that were."""
        with self._write_and_tell() as db:
            return _end_sessions(db, member_id, but)

    def set_password(self, member_id: str, password_hash: str, but: str = "") -> None:
        """Whoever knew the one before is signed out. `but`: the session that goes on."""
        with self._write_and_tell() as db:
            db.execute(
                "UPDATE members SET password_hash = ? WHERE member_id = ?",
                (password_hash, member_id),
            )
            _end_sessions(db, member_id, but)

    # -- inside a transaction -----------------------------------------------------------------

    def _begin_session(
        self, db: ControlStatements, member_id: str, by: SignedInBy, device: str
    ) -> SignedIn:
        found = db.execute(
            "SELECT member_id, email, name, role, password_hash, created_ms, last_seen_ms"
            " FROM members WHERE member_id = ?",
            (member_id,),
        ).fetchone()
        if not found:
            raise InvalidLink("The person it belonged to is no longer a member. Ask an owner.")
        token, now_ms = new_secret(), self._now_ms()
        hashed = token_hash(self.pepper, "session", token)
        session = Session(new_id("ses"), member_id, hashed, by, device[:MAX_DEVICE], now_ms, now_ms)
        db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", session)
        db.execute("UPDATE members SET last_seen_ms = ? WHERE member_id = ?", (now_ms, member_id))
        return SignedIn(token, session, Member(*found))

    def _insert_link(self, db: ControlStatements, purpose: Purpose, member_id: str | None) -> str:
        token = new_secret()
        hashed = token_hash(self.pepper, "link", token)
        expires_ms = self._now_ms() + LINK_MS[purpose]
        db.execute(
            "INSERT INTO one_time_links VALUES (?, ?, ?, ?)",
            (hashed, purpose, member_id, expires_ms),
        )
        return token

    def _use_link(
        self, db: ControlStatements, token: str, purposes: tuple[Purpose, ...]
    ) -> str | None:
        """Whose it is. Raises `InvalidLink`."""
        found = db.execute(
            "SELECT purpose, member_id, expires_ms FROM one_time_links WHERE token_hash = ?",
            (token_hash(self.pepper, "link", token),),
        ).fetchone()
        if not found or found[0] not in purposes:
            raise InvalidLink(
                "This link has been used already, or never existed. Ask an owner for another, or "
                "run `threadline dashboard login-link` where the server runs."
            )
        purpose, member_id, expires_ms = found
        if self._now_ms() >= expires_ms:
            minutes = LINK_MS[purpose] // MINUTE_MS
            raise InvalidLink(
                f"This link has expired: it works for {_spoken(minutes)}. Ask an owner for another,"
                " or run `threadline dashboard login-link` where the server runs."
            )
        db.execute(
            "DELETE FROM one_time_links WHERE token_hash = ?",
            (token_hash(self.pepper, "link", token),),
        )
        return None if member_id is None else str(member_id)


def refuse_members(db: ControlStatements) -> None:
    """Inside a transaction. Raises `AlreadyExists` where there are members."""
    if db.execute("SELECT 1 FROM members LIMIT 1").fetchone():
        raise AlreadyExists(
            "This server is set up already. Sign in, or run `threadline dashboard login-link` "
            "where the server runs."
        )


def _end_sessions(db: ControlStatements, member_id: str, but: str) -> int:
    db.execute("DELETE FROM one_time_links WHERE member_id = ?", (member_id,))
    return db.execute(
        "DELETE FROM sessions WHERE member_id = ? AND session_id != ?", (member_id, but)
    ).rowcount


def _spoken(minutes: int) -> str:
    for unit, size in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes % size == 0:
            many = minutes // size
            return f"{many} {unit}{'s' if many > 1 else ''}"
    raise AssertionError(minutes)
