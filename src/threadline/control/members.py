"""People who sign in to the dashboard: added, changed, removed. There is always an owner left."""

from threadline.contract.access import Role
from threadline.contract.errors import AlreadyExists, LastOwner, NotFound
from threadline.control.access import Member, new_id, read_email
from threadline.control.database import Conflict, ControlStatements
from threadline.control.definitions import Defining
from threadline.control.names import checked_name


class Members(Defining):
    """Every member sees every project; the role says what they may do there."""

    def members(self) -> list[Member]:
        """All of them, by e-mail address."""
        return sorted(self.look().members.values(), key=lambda member: member.email)

    def find_member(self, named: str) -> Member:
        """By id or e-mail address. Raises `NotFound`."""
        for member in self.look().members.values():
            if named.strip().lower() in (member.member_id, member.email):
                return member
        raise NotFound(
            f"There is no member {named}. `threadline dashboard members list` shows all of them."
        )

    def add_member(
        self, email: str, name: str, role: Role, password_hash: str | None = None
    ) -> Member:
        """Raises `InvalidPayload` for what is no address, `AlreadyExists`, and `LastOwner` where
        there would be no owner."""
        member = self._new_member(email, name, role, password_hash)
        with self._write_and_tell() as db:
            insert_member(db, member)
            if not _owners(db):
                raise LastOwner("The first member has to be an owner; nobody could add another.")
        return member

    def change_member(
        self, member_id: str, role: Role | None = None, name: str | None = None
    ) -> Member:
        """What is None stays. Raises `NotFound` and `LastOwner`."""
        name = name and checked_name("member", name)
        with self._write_and_tell() as db:
            _one(db, member_id)
            db.execute(
                "UPDATE members SET role = coalesce(?, role), name = coalesce(?, name)"
                " WHERE member_id = ?",
                (role, name, member_id),
            )
            _keep_an_owner(db)
        return self.find_member(member_id)

    def remove_member(self, member_id: str) -> None:
        """With all their sessions and links. Raises `NotFound` and `LastOwner`."""
        with self._write_and_tell() as db:
            _one(db, member_id)
            for table in ("sessions", "one_time_links", "members"):
                db.execute(f"DELETE FROM {table} WHERE member_id = ?", (member_id,))
            _keep_an_owner(db)

    def _new_member(
        self, email: str, name: str, role: Role, password_hash: str | None = None
    ) -> Member:
        email = read_email(email)
        name = checked_name("member", name.strip() or email.partition("@")[0])
        return Member(new_id("mem"), email, name, role, password_hash, self._now_ms(), None)


def insert_member(db: ControlStatements, member: Member) -> None:
    """Inside a transaction. Raises `AlreadyExists`."""
    try:
        db.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?)", member)
    except Conflict:
        raise AlreadyExists(
            f"There is a member with the e-mail address {member.email} already."
        ) from None


def _one(db: ControlStatements, member_id: str) -> None:
    found = db.execute("SELECT 1 FROM members WHERE member_id = ?", (member_id,)).fetchone()
    if not found:
        raise NotFound(f"There is no member {member_id}; GET /v1/members lists all of them.")


def _keep_an_owner(db: ControlStatements) -> None:
    if not _owners(db):
        raise LastOwner(
            "This is the last owner, so nobody could change anything afterwards. Make somebody "
            "else an owner first."
        )


def _owners(db: ControlStatements) -> int:
    (owners,) = db.execute("SELECT count(*) FROM members WHERE role = 'owner'").fetchone()
    return int(owners)
