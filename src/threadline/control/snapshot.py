"""All that requests need of the control plane, as it was at one moment."""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from threadline.control.keys import Key
from threadline.control.origins import origin_host
from threadline.control.salts import Clock

# As Google Analytics and Matomo have it.
VISIT_TIMEOUT_MINUTES = 30


class Project(NamedTuple):
    """`hosts`: the hosts of its origins, for telling internal referrers from others.
    `subdomains`: `same` or `separate`. `rules`: YAML, for sources that are its own.
    `visit_timeout_minutes`: a visit ends where nothing happens for longer."""

    project_id: str
    name: str
    stitch: str | None
    origins: frozenset[str]
    hosts: frozenset[str]
    subdomains: str = "same"
    rules: str = ""
    visit_timeout_minutes: int = VISIT_TIMEOUT_MINUTES


class Snapshot(NamedTuple):
    """Never changed, only replaced. `projects`: by name. `placeholder_ids`: saved ones by project.
    `pepper_hash`: of the pepper that goes with the keys."""

    projects: tuple[Project, ...]
    projects_by_id: Mapping[str, Project]
    origins: frozenset[str]
    keys: Mapping[str, Key]
    salts: Mapping[int, bytes]
    clock: Clock | None
    placeholder_ids: Mapping[str, int]
    pepper_hash: bytes


def read_snapshot(db: sqlite3.Connection) -> Snapshot:
    """Of one moment, as everything is read in one transaction. Raises `sqlite3.Error`."""
    db.execute("BEGIN")
    try:
        return _read(db)
    finally:
        # Not a single statement stays open: that would keep salts from being erased.
        db.execute("ROLLBACK")


def _read(db: sqlite3.Connection) -> Snapshot:
    origins: dict[str, set[str]] = {}
    for project_id, origin in db.execute("SELECT project_id, origin FROM origins"):
        origins.setdefault(project_id, set()).add(origin)
    projects = tuple(
        Project(
            project_id,
            name,
            stitch,
            frozenset(origins.get(project_id, ())),
            frozenset(map(origin_host, origins.get(project_id, ()))),
            *site,
        )
        for project_id, name, stitch, *site in db.execute(
            "SELECT project_id, name, stitch, coalesce(subdomains, 'same'), coalesce(rules, ''),"
            " visit_timeout_minutes"
            " FROM projects LEFT JOIN sites USING (project_id) ORDER BY name"
        )
    )
    keys = db.execute(
        "SELECT prefix, project_id, kind, env, secret_hash, created_ms, last_used_ms, revoked_ms,"
        " name, expires_ms, temporary, scopes FROM keys"
    )
    clock = db.execute("SELECT day, doubted_day, looks FROM clock").fetchone()
    pepper = db.execute("SELECT hash FROM pepper").fetchone()
    return Snapshot(
        projects=projects,
        projects_by_id={project.project_id: project for project in projects},
        origins=frozenset().union(*origins.values()),
        keys={row[0]: Key(*row) for row in keys},
        salts=dict(db.execute("SELECT day, salt FROM salts").fetchall()),
        clock=clock and Clock(*clock),
        placeholder_ids=dict(db.execute("SELECT project_id, refused FROM placeholder_ids")),
        pepper_hash=pepper[0] if pepper else b"",
    )
