"""`threadline key …`."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from threadline.cli import folders
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.projects import open_control
from threadline.contract.projects import KeyRow
from threadline.contract.times import format_ms
from threadline.control import (
    ENVS,
    KINDS,
    SCOPES,
    Control,
    ControlError,
    Key,
    Project,
    Token,
    new_pepper,
)
from threadline.control.keys import parse_keep_for
from threadline.runtime.projects import key_row

app = typer.Typer(
    help="API keys: create, list, revoke, rotate. All work while the server runs.",
    no_args_is_help=True,
)

Named = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="As `threadline key list` shows it (sk_live_PREFIX), its PREFIX, or the whole key.",
    ),
]


@app.command("create")
def create(
    kind: Annotated[
        str, typer.Option(help="pk (pages), sk (servers), rk (read) or ak (all projects, by MCP).")
    ],
    project: ProjectName = None,
    env: Annotated[str, typer.Option(help="live or test: a label, written into the key.")] = "live",
    name: Annotated[str, typer.Option(help="What the key is for; lists show it.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="Extra permission: sql (docs/sql.md).")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it once.

    Example: `threadline key create --project shop --kind rk --name dashboard`
    """
    if kind not in KINDS:
        kinds = "; ".join(f"{name} ({use})" for name, use in KINDS.items())
        raise ControlError(f"There is no kind {kind!r} of keys. Choose one of: {kinds}.")
    if env not in ENVS:
        raise ControlError(f"--env {env}: choose live or test.")
    with open_control(data) as control:
        owner = chosen_project(control, project)
        token = control.create_key(owner.project_id, kind, env, name, scope or ())
    if kind == "ak":
        typer.echo(
            "This key reads all projects of the server, by /mcp/account and nowhere else.",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(_made(token, owner, name)))
        return
    typer.echo(f"{token}\nIt is for project {_project(owner)}, and is not shown again.")


@app.command("list")
def list_keys(
    project: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="ID", help="Only keys of this project (id or name). Default: all."
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List keys: purpose, project, state, and when they were created and last used.

    Times are UTC.

    Example: `threadline key list --project shop`
    """
    with open_control(data) as control:
        project_id = control.project(project).project_id if project else None
        names = {each.project_id: each.name for each in control.projects()}
        rows = [key_row(key, names[key.project_id]) for key in control.list_keys(project_id)]
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(rows)))
        return
    if not rows:
        typer.echo("No keys yet; `threadline project create NAME` makes a project with some.")
        return
    lines = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@app.command("grant")
def grant(
    named: Named,
    scope: Annotated[str, typer.Option(help="The extra permission: sql.")],
    data: Data = None,
) -> None:
    """Give a key an extra permission. It applies from the next request.

    Example: `threadline key grant rk_live_5fK2bQx0Za --scope sql`
    """
    with open_control(data) as control:
        key = control.grant(named, scope)
        owner = control.project(key.project_id)
    already = " already" if scope in key.scope_names else ""
    typer.echo(
        f"{key.label}{_called(key)} of project {_project(owner)} may{already} {SCOPES[scope]}."
    )


@app.command("withdraw")
def withdraw(
    named: Named,
    scope: Annotated[str, typer.Option(help="The permission to take away: sql.")],
    data: Data = None,
) -> None:
    """Take away a permission that `grant` gave. The key itself keeps working.

    Example: `threadline key withdraw rk_live_5fK2bQx0Za --scope sql`
    """
    with open_control(data) as control:
        key = control.withdraw(named, scope)
        owner = control.project(key.project_id)
    typer.echo(f"{key.label}{_called(key)} of project {_project(owner)} may not {SCOPES[scope]}.")


@app.command("revoke")
def revoke(named: Named, data: Data = None) -> None:
    """Revoke a key. It stops working with the next request.

    Example: `threadline key revoke sk_live_5fK2bQx0Za`
    """
    with open_control(data, only_revoking=True) as control:
        key = control.revoke_key(named)
        owner = control.project(key.project_id)
    whose = f"{key.label}{_called(key)} of project {_project(owner)}"
    if key.revoked_ms is None:
        typer.echo(f"Revoked {whose}. It does not work any more.")
    else:
        typer.echo(f"Revoked already at {format_ms(key.revoked_ms)}: {whose}.")


@app.command("rotate")
def rotate(
    named: Named,
    keep_for: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long the old key keeps working: 30m, 24h or 7d. Default: not at all.",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key: a new one like it is shown once, the old one stops working.

    Example: `threadline key rotate sk_live_5fK2bQx0Za --keep-for 24h`
    """
    with open_control(data) as control:
        token, project_id = control.rotate_key(named, _keep_ms(keep_for))
        old, owner = control.find_key(named), control.project(project_id)
    ends_ms = old.expires_ms if old.revoked_ms is None else None
    if as_json:
        ends_at = ends_ms and format_ms(ends_ms)
        was = {"prefix": old.prefix, "works_until": ends_at}
        typer.echo(json.dumps({**_made(token, owner, old.name), "old": was}))
        return
    typer.echo(f"{token}\nIt is for project {_project(owner)}, and is not shown again.")
    if ends_ms:
        typer.echo(f"The old key, {old.label}{_called(old)}, works until {format_ms(ends_ms)}.")
    else:
        typer.echo(f"The old key, {old.label}{_called(old)}, does not work any more.")


@app.command("replace-pepper")
def replace_pepper(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    data: Data = None,
) -> None:
    """Replace a pepper that is lost or damaged. All keys stop working for good.

    The file `pepper` in the data folder is what secrets of keys are hashed with. Restore it from a
    copy if there is one; this is for when there is none. Events stay as they are.

    Example: `threadline key replace-pepper --yes`
    """
    chosen = folders.load(data, needs=None)
    folder = Path(chosen.data)
    if not yes:
        typer.confirm(f"All keys of {folder} stop working for good. Continue?", abort=True)
    count = new_pepper(folder, chosen.control)
    typer.echo(f"{folder / 'pepper'} is new. {count} keys are revoked; make others with")
    typer.echo("  threadline key create --project NAME --kind KIND")


def chosen_project(control: Control, wanted: str | None) -> Project:
    """The project named, or the only one there is. Raises `ControlError`."""
    if wanted is not None:
        return control.project(wanted)
    projects = control.projects()
    if len(projects) == 1:
        return projects[0]
    if not projects:
        raise ControlError("There is no project yet; `threadline project create NAME` makes one.")
    names = ", ".join(project.name for project in projects)
    raise ControlError(f"There are several projects; choose with --project: {names}.")


def _keep_ms(text: str | None) -> int:
    """Raises `ControlError`."""
    try:
        return 0 if text is None else parse_keep_for(text, "--keep-for")
    except ValueError as error:
        raise ControlError(f"{error}.") from None


def _made(token: Token, owner: Project, name: str) -> dict[str, str]:
    return {
        "key": str(token),
        "prefix": token.prefix,
        "kind": token.kind,
        "project_id": owner.project_id,
        "project": owner.name,
        "name": name,
    }


def _project(project: Project) -> str:
    return f"{project.name} ({project.project_id})"


def _called(key: Key) -> str:
    return f" ({key.name})" if key.name else ""


def _cells(row: KeyRow) -> list[str]:
    """A line of the list; times to the minute."""

    def minute(at: str | None) -> str:
        return (at or "")[:16].replace("T", " ")

    states = {
        "revoked": f"revoked {minute(row.revoked_at)}",
        "expired": f"expired {minute(row.ends_at)}",
        "active": f"active until {minute(row.ends_at)}" if row.ends_at else "active",
    }
    return [
        row.label,
        states[row.state],
        f"last used {minute(row.last_used_at)}" if row.last_used_at else "never used",
        f"created {minute(row.created_at)}",
        f"{row.project} ({row.project_id})",
        " ".join([row.use, *(f"+ {scope}" for scope in row.scopes)]),
        row.name,
    ]
