"""Links by which somebody without an account sees one page, until they are revoked."""

from threadline.contract.errors import InvalidLink, NotFound
from threadline.control.access import SHARE, ShareLink, new_id, new_secret, token_hash
from threadline.control.names import checked_name
from threadline.control.sessions import Sessions
from threadline.control.snapshot import Project


class ShareLinks(Sessions):
    """What is used is noted in memory, and written down by housekeeping."""

    _shares_used: dict[str, int]

    def share_links(self, project_id: str) -> list[ShareLink]:
        """Those of a project, the oldest first."""
        found = [link for link in self.look().share_links.values() if link.project_id == project_id]
        return sorted(found, key=lambda link: (link.created_ms, link.share_id))

    def create_share_link(
        self, project_id: str, name: str, page: str, query: str, by: str
    ) -> tuple[ShareLink, str]:
        """The link, and its token, which is shown this once. Raises `ControlError` for a name that
        is none."""
        token = SHARE + new_secret()
        hashed = token_hash(self.pepper, "share", token)
        name = checked_name("share link", name)
        now_ms = self._now_ms()
        link = ShareLink(new_id("shr"), project_id, hashed, name, page, query, by, now_ms, None)
        with self._write_and_tell() as db:
            db.execute("INSERT INTO share_links VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", link)
        return link, token

    def revoke_share_link(self, project_id: str, share_id: str) -> None:
        """It is refused by the next request. Raises `NotFound`."""
        with self._write_and_tell() as db:
            revoked = db.execute(
                "DELETE FROM share_links WHERE project_id = ? AND share_id = ?",
                (project_id, share_id),
            )
            if not revoked.rowcount:
                raise NotFound(
                    f"The project has no share link {share_id}; GET /v1/share-links lists them."
                )

    def share_link_of(self, token: str) -> tuple[ShareLink, Project]:
        """Raises `InvalidLink`."""
        snapshot = self.look()
        link = snapshot.share_links.get(token_hash(self.pepper, "share", token))
        if not link:
            raise InvalidLink(
                "This page is not shared any more. Ask whoever sent you the link for another."
            )
        self._shares_used[link.share_id] = self._now_ms()
        return link, snapshot.projects_by_id[link.project_id]
