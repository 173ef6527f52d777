"""All that requests need of the control plane, as it was at one moment."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from threadline.contract.definitions import (
    Annotation,
    Board,
    BoardTile,
    Definitions,
    GoalDefinition,
    Insight,
    Segment,
)
from threadline.control.access import Member, Session, ShareLink
from threadline.control.database import ControlStatements
from threadline.control.keeping import ByEvent, Keeping
from threadline.control.keys import Key
from threadline.control.origins import origin_host
from threadline.control.salts import Clock

# As Google Analytics and Matomo have it.
VISIT_TIMEOUT_MINUTES = 30

# The tables of what projects give names to, whose columns are the fields: what a row becomes, and
# the order. An annotation's date is before the times of its day.
DEFINED: Mapping[str, tuple[type[msgspec.Struct], str]] = {
    "segments": (Segment, "name"),
    "goals": (GoalDefinition, "name"),
    "annotations": (Annotation, "at, annotation_id"),
    "insights": (Insight, "name"),
    "boards": (Board, "name"),
}
AS_JSON: Mapping[str, Any] = {"params": dict[str, str], "insights": list[BoardTile]}

Row = TypeVar("Row", Member, Session, ShareLink)


class Project(NamedTuple):
    """`hosts`: the hosts of its origins, for telling internal referrers from others.
    `subdomains`: `same` or `separate`. `rules`: YAML, for sources that are its own.
    `visit_timeout_minutes`: a visit ends where nothing happens for longer. `keep_…`: see
    `Keeping`. `timezone`: by whose clocks days begin where a question does not say; None: UTC."""

    project_id: str
    name: str
    stitch: str | None
    origins: frozenset[str]
    hosts: frozenset[str]
    subdomains: str = "same"
    rules: str = ""
    visit_timeout_minutes: int = VISIT_TIMEOUT_MINUTES
    keep_days: int | None = None
    keep_days_by_event: ByEvent = ()
    keep_first_touch: bool = False
    timezone: str | None = None

    @property
    def keeping(self) -> Keeping:
        """How long its events are kept."""
        return Keeping(self.keep_days, self.keep_days_by_event, self.keep_first_touch)


class Snapshot(NamedTuple):
    """Never changed, only replaced. `projects`: by name. `placeholder_ids`: saved ones by project.
    `pepper_hash`: of the pepper that goes with the keys. `definitions`: by project, of those that
    have any; not a part of `Project`, which is compared for every event. `touches_kept`: by
    project, up to when first touches outlived their events. `deleted`: projects of which something
    may still be stored, and when that was."""

    projects: tuple[Project, ...]
    projects_by_id: Mapping[str, Project]
    origins: frozenset[str]
    keys: Mapping[str, Key]
    salts: Mapping[int, bytes]
    clock: Clock | None
    placeholder_ids: Mapping[str, int]
    pepper_hash: bytes
    definitions: Mapping[str, Definitions]
    members: Mapping[str, Member]
    sessions: Mapping[bytes, Session]
    share_links: Mapping[bytes, ShareLink]
    links_expire_ms: int | None
    touches_kept: Mapping[str, int]
    deleted: Mapping[str, int]


def read_projects(db: ControlStatements) -> tuple[Project, ...]:
    """All of them, by name. Inside a transaction."""
    origins: dict[str, set[str]] = {}
    for project_id, origin in db.execute("SELECT project_id, origin FROM origins"):
        origins.setdefault(project_id, set()).add(origin)
    found = db.execute(
        "SELECT project_id, name, stitch, coalesce(subdomains, 'same'), coalesce(rules, ''),"
        " visit_timeout_minutes, keep_days, keep_days_by_event, keep_first_touch, timezone"
        " FROM projects LEFT JOIN sites USING (project_id) ORDER BY name"
    )
    return tuple(
        Project(
            project_id,
            name,
            stitch,
            frozenset(origins.get(project_id, ())),
            frozenset(map(origin_host, origins.get(project_id, ()))),
            same,
            rules,
            timeout,
            days,
            _by_event(by_event),
            bool(touch),
            zone,
        )
        for project_id, name, stitch, same, rules, timeout, days, by_event, touch, zone in found
    )


def _by_event(text: str) -> ByEvent:
    return tuple(sorted(msgspec.json.decode(text, type=dict[str, int | None]).items()))


def read_definitions(db: ControlStatements) -> dict[str, Definitions]:
    """By project, of those that have any. Inside a transaction."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table, (kind, order) in DEFINED.items():
        columns = kind.__struct_fields__
        rows = db.execute(f"SELECT project_id, {', '.join(columns)} FROM {table} ORDER BY {order}")
        for project_id, key, *rest in rows:
            texts = zip(columns, (key, *rest), strict=True)
            of_project = found.setdefault(project_id, {}).setdefault(table, {})
            of_project[key] = kind(**{name: _read(name, text) for name, text in texts})
    return {project_id: Definitions(**tables) for project_id, tables in found.items()}


def _read(column: str, text: str) -> Any:
    return msgspec.json.decode(text, type=AS_JSON[column]) if column in AS_JSON else text


def read_snapshot(db: ControlStatements) -> Snapshot:
    """All of it. Inside a transaction, so that it is of one moment."""
    projects = read_projects(db)
    keys = db.execute(
        "SELECT prefix, project_id, kind, env, secret_hash, created_ms, last_used_ms, revoked_ms,"
        " name, expires_ms, temporary, scopes FROM keys"
    )
    clock = db.execute("SELECT day, doubted_day, looks FROM clock").fetchone()
    (links_expire_ms,) = db.execute("SELECT min(expires_ms) FROM one_time_links").fetchone()
    pepper = db.execute("SELECT hash FROM pepper").fetchone()
    return Snapshot(
        projects=projects,
        projects_by_id={project.project_id: project for project in projects},
        origins=frozenset().union(*(project.origins for project in projects)),
        keys={row[0]: Key(*row) for row in keys},
        salts=dict(db.execute("SELECT day, salt FROM salts").fetchall()),
        clock=clock and Clock(*clock),
        placeholder_ids=dict(db.execute("SELECT project_id, refused FROM placeholder_ids")),
        pepper_hash=pepper[0] if pepper else b"",
        definitions=read_definitions(db),
        members={member.member_id: member for member in _rows(db, "members", Member)},
        sessions={session.token_hash: session for session in _rows(db, "sessions", Session)},
        share_links={link.token_hash: link for link in _rows(db, "share_links", ShareLink)},
        links_expire_ms=links_expire_ms,
        touches_kept=dict(
            db.execute(
                "SELECT project_id, touches_kept_ms FROM projects WHERE touches_kept_ms IS NOT NULL"
            ).fetchall()
        ),
        deleted=dict(
            db.execute(
                "SELECT project_id, deleted_ms FROM deleted_projects ORDER BY 2, 1"
            ).fetchall()
        ),
    )


def _rows(db: ControlStatements, table: str, kind: type[Row]) -> list[Row]:
    """A table whose columns are the fields of a tuple."""
    columns = ", ".join(kind._fields)
    return [kind(*row) for row in db.execute(f"SELECT {columns} FROM {table}")]
