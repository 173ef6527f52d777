"""`threadline project …`."""

import json
import shlex
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from threadline.cli import folders
from threadline.cli.options import AsJson, Data, check_stitch
from threadline.contract.policies import POLICIES
from threadline.contract.zones import as_sentence, check_zone
from threadline.control import Control, ControlError, normalise_origin
from threadline.control.keeping import Keeping, checked_by_event, read_days, said
from threadline.control.snapshot import VISIT_TIMEOUT_MINUTES
from threadline.runtime.projects import project_row, set_keeping, set_timezone

app = typer.Typer(
    help="Projects: a site or product with its own events, origins and keys.", no_args_is_help=True
)

SUBDOMAINS = ("same", "separate")
DEFAULT = "default"

Subdomains = Annotated[
    str | None,
    typer.Option(
        help="Whether a referrer on another subdomain of the page's domain counts as the `same` "
        "site (the default) or a `separate` one. The project's origins always count as the "
        "same site."
    ),
]

VisitTimeout = Annotated[
    int | None,
    typer.Option(
        metavar="MINUTES",
        help="A visit ends after this many minutes without an event: 5 to 240, default 30. It "
        "applies to every question from now on, also about the past.",
    ),
]


TimeZone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Time zone in which days begin where a question has no tz, such as Europe/Berlin; "
        "`none`: UTC.",
    ),
]
KeepDays = Annotated[
    str | None,
    typer.Option(
        metavar="DAYS",
        help="Delete events older than this many days, once a day; `never`: delete none.",
    ),
]
KeepEvent = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=DAYS",
        help="The same for events of this name; NAME=never: delete none of them, NAME=default: as "
        "--keep-days says. Repeat for more.",
    ),
]
KeepFirstTouch = Annotated[
    bool | None,
    typer.Option(
        help="Whether links and first touches (the source that a person came from) are kept when "
        "their events are deleted."
    ),
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Site that browser keys (pk) may be used from: https://example.com or "
            "https://*.example.com. Repeat for more.",
        ),
    ] = None,
    stitch: Annotated[
        str | None,
        typer.Option(
            help=f"Default policy of this project: {', '.join(POLICIES)}."
            " Default: each question's own."
        ),
    ] = None,
    subdomains: Subdomains = None,
    visit_timeout: VisitTimeout = None,
    timezone: TimeZone = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a project with a pk (pages), an sk (servers) and an rk key (read).

    Works while the server runs. The keys are shown once; only hashes of them are kept.

    Example: `threadline project create shop --origin https://shop.example.com`
    """
    check_stitch(stitch)
    _check_subdomains(subdomains)
    zone = _zone(timezone)
    with open_control(data, create=True) as control:
        timeout = VISIT_TIMEOUT_MINUTES if visit_timeout is None else visit_timeout
        project, tokens = control.create_project(name, origin or [], stitch, timeout)
        if subdomains is not None:
            control.set_site(project.project_id, subdomains)
        if zone:
            set_timezone(control, project.project_id, zone)
    _say_how_kept(origin or [])
    keys = {kind: str(token) for kind, token in tokens.items()}
    if as_json:
        typer.echo(json.dumps({"project_id": project.project_id, "keys": keys}))
        return
    typer.echo(f"Project {project.name}: {project.project_id}")
    typer.echo(f"  pk  {keys['pk']}   for browsers, from {_origins(project.origins)}")
    typer.echo(f"  sk  {keys['sk']}   for servers; keep it secret")
    typer.echo(f"  rk  {keys['rk']}   for dashboards and agents, read only")
    typer.echo("The keys are not shown again.")


@app.command("set")
def set_project(
    project: Annotated[str, typer.Argument(help="Project id or name.")],
    add_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Add a site that browser keys may be used from."),
    ] = None,
    remove_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Remove this site from the list."),
    ] = None,
    subdomains: Subdomains = None,
    visit_timeout: VisitTimeout = None,
    timezone: TimeZone = None,
    keep_days: KeepDays = None,
    keep_event: KeepEvent = None,
    keep_first_touch: KeepFirstTouch = None,
    data: Data = None,
) -> None:
    """Change a project. Works while the server runs; applies from the next event or question.

    Example: `threadline project set shop --add-origin https://shop.example.de`
    """
    _check_subdomains(subdomains)
    zone = _zone(timezone)
    keeping = _keeping(keep_days, keep_event or [], keep_first_touch)
    with open_control(data) as control:
        chosen = control.project(project)
        control.set_origins(chosen.project_id, add_origin or [], remove_origin or [])
        control.set_site(chosen.project_id, subdomains)
        if visit_timeout is not None:
            control.set_visit_timeout(chosen.project_id, visit_timeout)
        if timezone is not None:
            set_timezone(control, chosen.project_id, zone)
        if keeping:
            set_keeping(control, chosen.project_id, keeping)
        chosen = control.project(chosen.project_id)
    _say_how_kept(add_origin or [])
    typer.echo(
        f"{chosen.name}: {_origins(chosen.origins)}; subdomains {chosen.subdomains}; "
        f"visits end after {chosen.visit_timeout_minutes} minutes; "
        f"days as in {chosen.timezone or 'UTC'}; {said(chosen.keeping)}"
    )


def _keeping(
    days: str | None, events: list[str], first_touch: bool | None
) -> Callable[[Keeping], Keeping] | None:
    """What becomes of what was said before; None: it stays. Raises `ControlError`."""
    if days is None and not events and first_touch is None:
        return None
    wanted = None if days is None else read_days(days)
    named: dict[str, int | None] = {}
    as_others = set()
    for text in events:
        name, equals, said_days = text.rpartition("=")
        if not equals:
            raise ControlError(f"--keep-event {text}: write NAME=DAYS, such as $pageview=90.")
        if said_days == DEFAULT:
            as_others.add(name)
            continue
        try:
            named[name] = read_days(said_days)
        except ControlError as error:
            raise ControlError(
                f"--keep-event {text}: {error} {name}={DEFAULT} keeps them as long as all others."
            ) from error

    def change(before: Keeping) -> Keeping:
        after = {**dict(before.by_event), **named}
        return Keeping(
            before.days if days is None else wanted,
            checked_by_event({name: kept for name, kept in after.items() if name not in as_others}),
            before.first_touch if first_touch is None else first_touch,
        )

    return change


@app.command("delete")
def delete_project(
    project: Annotated[str, typer.Argument(help="Project id or name.")],
    yes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The project's name again, to confirm that this one is to be deleted.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Delete a project and everything that is stored in it. This cannot be undone.

    Its keys stop working at once; then events, people, definitions, share links and everything else
    are deleted, also from the disk. Other projects stay as they are. A running server does the
    work, otherwise this command does; if it is interrupted, the next server or the same command
    continues. `threadline jobs` shows the progress.

    Example: `threadline project delete shop --yes shop`
    """
    from threadline.cli.deleting import delete_stored

    with open_control(data) as control:
        chosen = control.project(project)
        if yes != chosen.name:
            wrong = "" if yes is None else f", not {yes}"
            raise ControlError(
                f"Nothing was deleted. To delete {chosen.name} ({chosen.project_id}) with "
                "everything stored in it, repeat its name: --yes "
                f"{shlex.quote(chosen.name)}{wrong}."
            )
        control.delete_project(chosen.project_id)
    typer.echo(
        f"{chosen.name} is deleted: its keys have stopped working. Deleting what is stored …"
    )
    delete_stored(folders.load(data), chosen.project_id)
    typer.echo("Done: nothing of it is stored any more.")


def _zone(given: str | None) -> str | None:
    """Raises `ControlError` for a zone that there is not."""
    try:
        return None if given in (None, "none") else check_zone(str(given))
    except ValueError as error:
        raise ControlError(as_sentence(f"--timezone {given}: {error}")) from None


def _check_subdomains(given: str | None) -> None:
    if given not in (None, *SUBDOMAINS):
        raise ControlError(f"--subdomains {given}: choose one of {', '.join(SUBDOMAINS)}.")


@app.command("list")
def list_projects(data: Data = None, as_json: AsJson = False) -> None:
    """List all projects.

    Example: `threadline project list`
    """
    with open_control(data) as control:
        projects = control.projects()
    if as_json:
        rows = msgspec.to_builtins([project_row(project) for project in projects])
        typer.echo(json.dumps(rows))
        return
    if not projects:
        typer.echo("There are no projects yet; `threadline project create NAME` makes one.")
    for project in projects:
        typer.echo(f"{project.project_id}  {project.name}  {_origins(project.origins)}")


def open_control(data: str | None, create: bool = False, only_revoking: bool = False) -> Control:
    """The control plane of the folder that options, environment and file name. Raises `FolderError`
    or `ControlError` if there is none, unless it may `create` one."""
    chosen = folders.load(data, needs=None if create else "control.db")
    return Control.of(chosen, create, only_revoking)


def _say_how_kept(origins: list[str]) -> None:
    """Punycode does not look like what was written."""
    for origin in origins:
        if not origin.isascii():
            typer.echo(
                f"{origin} is kept as browsers send it: {normalise_origin(origin)}", err=True
            )


def _origins(origins: frozenset[str]) -> str:
    return ", ".join(sorted(origins)) or "no origin yet"
