"""What a project gives names to : read with everything else, written as a whole.

What is allowed in them is decided above: whoever changes them gives a function from what there is
to what there is to be, which is called inside the transaction.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from threadline.contract.definitions import Definitions
from threadline.control.database import Conflict, ControlStatements
from threadline.control.deleting import Deleting
from threadline.control.errors import ControlError
from threadline.control.snapshot import DEFINED, Project, read_definitions, read_projects

NONE = Definitions()

Settings = tuple[Project, Definitions]


class Defining(Deleting):
    """What a project gives names to."""

    def definitions(self, project_id: str) -> Definitions:
        """Of this project, as of now."""
        return self.look().definitions.get(project_id, NONE)

    def define(self, project_id: str, change: Callable[[Definitions], Definitions]) -> Definitions:
        """What `change` makes of the project's definitions, kept; what it raises leaves all as it
        was. Raises `ControlError` if nothing can be written."""
        with self._write_and_tell() as db:
            before = read_definitions(db).get(project_id, NONE)
            after = change(before)
            _store(db, project_id, before, after)
        return after

    def change_settings(self, project_id: str, change: Callable[[Settings], Settings]) -> Settings:
        """The same of all settings of a project, in one transaction. Raises `ControlError` if its
        name is taken, or the file cannot be written."""
        wanted: Project | None = None
        try:
            with self._write_and_tell() as db:
                (project,) = (p for p in read_projects(db) if p.project_id == project_id)
                before = read_definitions(db).get(project_id, NONE)
                wanted, after = change((project, before))
                _store_project(db, project, wanted)
                _store(db, project_id, before, after)
        except Conflict:
            if wanted is None:
                raise
            raise ControlError(
                f"There is a project named {wanted.name!r} already; choose another name."
            ) from None
        return wanted, after


def _store(db: ControlStatements, project_id: str, before: Definitions, after: Definitions) -> None:
    for table, (kind, _) in DEFINED.items():
        columns = kind.__struct_fields__
        there, wanted = getattr(before, table), getattr(after, table)
        if there == wanted:
            continue
        db.execute(f"DELETE FROM {table} WHERE project_id = ?", (project_id,))
        rows: list[tuple[Any, ...]] = [
            (project_id, *(_kept(getattr(each, column)) for column in columns))
            for each in wanted.values()
        ]
        marks = ", ".join("?" * (len(columns) + 1))
        names = ", ".join(("project_id", *columns))
        db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


def _kept(value: object) -> str:
    """Texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _store_project(db: ControlStatements, before: Project, after: Project) -> None:
    project_id = before.project_id
    db.execute(
        "UPDATE projects SET name = ?, stitch = ?, visit_timeout_minutes = ?, keep_days = ?,"
        " keep_days_by_event = ?, keep_first_touch = ?, timezone = ? WHERE project_id = ?",
        (
            after.name,
            after.stitch,
            after.visit_timeout_minutes,
            after.keep_days,
            _kept(dict(after.keep_days_by_event)),
            int(after.keep_first_touch),
            after.timezone,
            project_id,
        ),
    )
    if (before.subdomains, before.rules) != (after.subdomains, after.rules):
        db.execute(
            "INSERT INTO sites VALUES (?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET"
            " subdomains = excluded.subdomains, rules = excluded.rules",
            (project_id, after.subdomains, after.rules),
        )
    db.executemany(
        "DELETE FROM origins WHERE project_id = ? AND origin = ?",
        [(project_id, origin) for origin in before.origins - after.origins],
    )
    db.executemany(
        "INSERT INTO origins VALUES (?, ?)",
        [(project_id, origin) for origin in after.origins - before.origins],
    )
