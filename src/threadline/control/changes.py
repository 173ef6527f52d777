"""What the command line does to projects and keys."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from threadline.control.database import Conflict, ControlStatements
from threadline.control.errors import ControlError
from threadline.control.key_changes import KeyChanges
from threadline.control.keys import (
    Token,
    new_token,
)
from threadline.control.names import checked_name
from threadline.control.origins import normalise_origin
from threadline.control.pepper import adopt_pepper, read_pepper
from threadline.control.snapshot import VISIT_TIMEOUT_MINUTES, Project

VISIT_TIMEOUTS = range(5, 241)
# What a key is besides its project.
KEY_COLUMNS = (
    "prefix kind env secret_hash created_ms last_used_ms revoked_ms name expires_ms scopes".split()
)


def _kept(name: str, value: Any) -> Any:
    """A value of JSON, in which bytes are base64."""
    return base64.b64decode(value) if name == "secret_hash" else value


class ControlChanges(KeyChanges):
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
        self, db: ControlStatements, project: Project, with_keys: bool = True
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
