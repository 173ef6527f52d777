"""The first owner and, where there is none, the first project: all of it or nothing."""

from threadline.control.access import Member
from threadline.control.changes import ControlChanges, name_taken
from threadline.control.database import Conflict
from threadline.control.keys import Token
from threadline.control.members import insert_member
from threadline.control.sessions import SignedIn, refuse_members
from threadline.control.snapshot import Project


class FirstRun(ControlChanges):
    """What `threadline serve` prints a link for where nobody can sign in yet."""

    def set_up(
        self, token: str, owner: Member, project: str, origins: list[str], device: str
    ) -> tuple[SignedIn, Project | None, dict[str, Token]]:
        """The owner signed in, and the project with its keys; None and no keys where `project` is
        empty. Raises `InvalidLink`, `AlreadyExists`, and `ControlError` for a name or an origin."""
        wanted = self._new_project(project, origins) if project else None
        try:
            with self._write_and_tell() as db:
                refuse_members(db)
                self._use_link(db, token, ("setup",))
                db.execute("DELETE FROM one_time_links WHERE purpose = 'setup'")
                insert_member(db, owner)
                signed_in = self._begin_session(db, owner.member_id, "link", device)
                keys = self._insert_project(db, wanted) if wanted else {}
        except Conflict:
            raise name_taken(project) from None
        return signed_in, wanted and self.project(wanted.project_id), keys

    def new_owner(self, email: str, name: str, password_hash: str | None) -> Member:
        """Not kept yet. Raises `InvalidPayload`."""
        return self._new_member(email, name, "owner", password_hash)
