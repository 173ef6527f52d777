"""Projects and keys as people and programs see them, and change them."""

from collections.abc import Callable

import msgspec

from threadline.contract.errors import InvalidPayload
from threadline.contract.projects import KeyRow, NewProject, ProjectChange, ProjectRow
from threadline.contract.times import format_ms, now_ms
from threadline.contract.zones import as_sentence, check_zone
from threadline.control import KINDS, Control, ControlError, Key, Project, Token, normalise_origin
from threadline.control.definitions import Settings
from threadline.control.keeping import Keeping, checked_by_event
from threadline.control.names import checked_name


def project_row(project: Project) -> ProjectRow:
    """All settings of a project but its rules."""
    return ProjectRow(
        project_id=project.project_id,
        name=project.name,
        origins=sorted(project.origins),
        stitch=project.stitch,
        subdomains=project.subdomains,
        visit_timeout_minutes=project.visit_timeout_minutes,
        timezone=project.timezone,
        keep_days=project.keep_days,
        keep_days_by_event=dict(project.keep_days_by_event),
        keep_first_touch=project.keep_first_touch,
    )


def key_row(key: Key, project: str) -> KeyRow:
    """`project`: the name of its project."""
    state = key.state(now_ms())
    return KeyRow(
        label=key.label,
        prefix=key.prefix,
        kind=key.kind,
        env=key.env,
        name=key.name,
        use=KINDS[key.kind],
        scopes=key.scope_names,
        project_id=key.project_id,
        project=project,
        state="active" if state in ("active", "ending") else state,
        created_at=format_ms(key.created_ms),
        last_used_at=_time(key.last_used_ms),
        revoked_at=_time(key.revoked_ms),
        ends_at=_time(key.expires_ms),
    )


def create_project(control: Control, wanted: NewProject) -> tuple[Project, dict[str, Token]]:
    """A project with a key of each kind. Raises `ControlError`, and `InvalidPayload` for an origin
    or a time zone that is none."""
    zone = _zone(wanted.timezone)
    by_event = checked_by_event(wanted.keep_days_by_event)
    project, tokens = control.create_project(
        wanted.name, _origins(wanted.origins), wanted.stitch, wanted.visit_timeout_minutes
    )
    if wanted.subdomains != project.subdomains:
        control.set_site(project.project_id, wanted.subdomains)
    if zone:
        set_timezone(control, project.project_id, zone)
    keeping = Keeping(wanted.keep_days, by_event, wanted.keep_first_touch)
    if keeping != project.keeping:
        set_keeping(control, project.project_id, lambda _: keeping)
    return control.project(project.project_id), tokens


def set_keeping(control: Control, project_id: str, change: Callable[[Keeping], Keeping]) -> Project:
    """Change how long a project keeps its events. Raises `ControlError`."""

    def changed(now: Settings) -> Settings:
        project, definitions = now
        days, by_event, first_touch = change(project.keeping)
        kept = project._replace(
            keep_days=days, keep_days_by_event=by_event, keep_first_touch=first_touch
        )
        return kept, definitions

    control.change_settings(project_id, changed)
    return control.project(project_id)


def set_timezone(control: Control, project_id: str, zone: str | None) -> Project:
    """Change by whose clocks days begin where a question does not say; None: by UTC. It counts for
    the next question. Raises `ControlError` for a zone that there is not."""
    try:
        wanted = None if zone is None else check_zone(zone)
    except ValueError as error:
        raise ControlError(as_sentence(str(error))) from None

    def changed(now: Settings) -> Settings:
        project, definitions = now
        return project._replace(timezone=wanted), definitions

    control.change_settings(project_id, changed)
    return control.project(project_id)


def change_project(control: Control, project_id: str, change: ProjectChange) -> Project:
    """All of the change, or nothing. Raises `ControlError` for a name that is taken or none, and
    `InvalidPayload` for an origin or a time zone that is none."""
    given = {
        name: value
        for name, value in msgspec.structs.asdict(change).items()
        if value is not msgspec.UNSET
    }
    if "name" in given:
        given["name"] = checked_name("project", given["name"])
    if "keep_days_by_event" in given:
        given["keep_days_by_event"] = checked_by_event(given["keep_days_by_event"])
    if "origins" in given:
        given["origins"] = frozenset(_origins(given["origins"]))
    if "timezone" in given:
        given["timezone"] = _zone(given["timezone"])

    def changed(now: Settings) -> Settings:
        project, definitions = now
        return project._replace(**given), definitions

    control.change_settings(project_id, changed)
    return control.project(project_id)


def _origins(given: list[str]) -> list[str]:
    try:
        return [normalise_origin(origin) for origin in given]
    except ValueError as error:
        message = str(error).rstrip(".")
        raise InvalidPayload(f"origins: {message}.", fieldErrors={"origins": [message]}) from None


def _zone(given: str | None) -> str | None:
    try:
        return None if given is None else check_zone(given)
    except ValueError as error:
        message = str(error)
        raise InvalidPayload(
            as_sentence(f"timezone: {message}"), fieldErrors={"timezone": [message]}
        ) from None


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_ms(ms)
