"""`threadline key …`."""

import json
from typing import Annotated

import typer

from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.projects import open_control
from threadline.contract.times import format_ms
from threadline.control import ENVS, KINDS, Control, ControlError, Key, Project, Token

app = typer.Typer(
    help="API keys: create, list, revoke, rotate. All work while the server runs.",
    no_args_is_help=True,
)

Prefix = Annotated[
    str, typer.Argument(help="The third part of the key; `threadline key list` shows it.")
]


@app.command("create")
def create(
    kind: Annotated[str, typer.Option(help="pk, sk, rk or ak.")],
    project: ProjectName = None,
    env: Annotated[str, typer.Option(help="live or test: a label, written into the key.")] = "live",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it once.

    Example: `threadline key create --project shop --kind rk`
    """
    if kind not in KINDS:
        kinds = "; ".join(f"{name}: {use}" for name, use in KINDS.items())
        raise ControlError(f"There is no kind {kind!r}. Kinds: {kinds}.")
    if env not in ENVS:
        raise ControlError(f"--env {env}: choose live or test.")
    with open_control(data) as control:
        project_id = chosen_project(control, project).project_id
        _show(control.create_key(project_id, kind, env), project_id, as_json)


@app.command("list")
def list_keys(project: ProjectName = None, data: Data = None, as_json: AsJson = False) -> None:
    """List keys: prefix, kind, when last used, whether revoked.

    Example: `threadline key list --project shop`
    """
    with open_control(data) as control:
        project_id = control.project(project).project_id if project else None
        keys = control.list_keys(project_id)
    if as_json:
        typer.echo(json.dumps([_as_row(key) for key in keys]))
        return
    if not keys:
        typer.echo("No keys yet; `threadline project create NAME` makes a project with some.")
    for row in map(_as_row, keys):
        state = f"revoked {row['revoked_at']}" if row["revoked_at"] else "active"
        used = f"last used {row['last_used_at']}" if row["last_used_at"] else "never used"
        typer.echo(
            f"{row['kind']}_{row['env']}_{row['prefix']}  {row['project_id']}  {state}  {used}"
        )


@app.command("revoke")
def revoke(prefix: Prefix, data: Data = None) -> None:
    """Revoke a key. It stops working with the next request.

    Example: `threadline key revoke 5fK2bQx0Za`
    """
    with open_control(data) as control:
        key = control.revoke_key(prefix)
    typer.echo(f"Revoked {key.kind}_{key.env}_{key.prefix}.")


@app.command("rotate")
def rotate(prefix: Prefix, data: Data = None, as_json: AsJson = False) -> None:
    """Replace a key: a new one like it is shown once, the old one stops working.

    Example: `threadline key rotate 5fK2bQx0Za`
    """
    with open_control(data) as control:
        token, project_id = control.rotate_key(prefix)
        _show(token, project_id, as_json)


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


def _show(token: Token, project_id: str, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "key": str(token),
                    "prefix": token.prefix,
                    "kind": token.kind,
                    "project_id": project_id,
                }
            )
        )
    else:
        typer.echo(f"{token}\nIt is not shown again.")


def _as_row(key: Key) -> dict[str, str | None]:
    return {
        "prefix": key.prefix,
        "kind": key.kind,
        "env": key.env,
        "project_id": key.project_id,
        "created_at": format_ms(key.created_ms),
        "last_used_at": key.last_used_ms and format_ms(key.last_used_ms),  # type: ignore[dict-item]
        "revoked_at": key.revoked_ms and format_ms(key.revoked_ms),  # type: ignore[dict-item]
    }
