"""Deleting a project: what the control plane has of it goes at once. What else is stored of it goes
by and by; until it has, the project's id stays listed."""

from threadline.control.errors import ControlError
from threadline.control.opened import OpenControl

# Every table that says something of projects; those that refer to others come first.
OF_PROJECTS = (
    "origins",
    "sites",
    "keys",
    "placeholder_ids",
    "segments",
    "goals",
    "annotations",
    "share_links",
    "insights",
    "boards",
    "projects",
)


class Deleting(OpenControl):
    """What is left of deleted projects."""

    def delete_project(self, project_id: str) -> None:
        """From the next request on nobody can send to it or ask it, and its name is free. Raises
        `ControlError` where there is none, or nothing can be written."""
        with self._write_and_tell() as db:
            found = db.execute("SELECT 1 FROM projects WHERE project_id = ?", (project_id,))
            if not found.fetchone():
                raise ControlError(f"There is no project {project_id}; it was deleted already.")
            for table in OF_PROJECTS:
                db.execute(f"DELETE FROM {table} WHERE project_id = ?", (project_id,))
            db.execute("INSERT INTO deleted_projects VALUES (?, ?)", (project_id, self._now_ms()))

    def deleted_projects(self) -> list[str]:
        """Those of which something may still be stored, oldest first."""
        return list(self._look_now().deleted)

    def deleted_at(self, project_id: str) -> int:
        """When that was, in milliseconds since 1970."""
        return self._look_now().deleted[project_id]

    def keep_touches(self, project_id: str, until_ms: int | None) -> None:
        """Up to when the project's first touches have outlived their events; None: they do not."""
        if self._look_now().touches_kept.get(project_id) == until_ms:
            return
        with self._write() as db:
            db.execute(
                "UPDATE projects SET touches_kept_ms = ? WHERE project_id = ?",
                (until_ms, project_id),
            )
        self._look_now()

    def touches_kept(self, project_id: str) -> int | None:
        """As it was said last."""
        return self._look_now().touches_kept.get(project_id)
