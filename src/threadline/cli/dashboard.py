"""`threadline dashboard …`: who may sign in, and links that sign in once."""

import json
from pathlib import Path
from typing import Annotated

import typer

from threadline.cli import folders, help
from threadline.cli.options import AsJson, Data
from threadline.cli.projects import open_control
from threadline.cli.table import as_table, terminal_width
from threadline.contract.times import format_ms
from threadline.control import ROLES, Control, ControlError, Member, read_role
from threadline.control.access import LINK_MS, MINUTE_MS, Purpose
from threadline.http.listen import bracketed
from threadline.runtime.folder import running_server

app = typer.Typer(help="The dashboard: who may sign in, and sign-in links.", no_args_is_help=True)
members = typer.Typer(
    help="Who may sign in to the dashboard. All work while the server runs.", no_args_is_help=True
)

Who = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address, or id, of a member.")]
RoleName = Annotated[
    str,
    typer.Argument(
        metavar="ROLE",
        help="viewer (sees everything), editor (may also change goals, segments and boards) or "
        "owner (may do everything).",
    ),
]


@app.command("login-link")
def login_link(
    email: Annotated[
        str | None,
        typer.Option(help="Member to sign in; may be left out if there is only one owner."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs in to the dashboard, once.

    Where there is no member yet, the link leads to the page that sets the dashboard up. Works while
    the server runs.

    Example: `threadline dashboard login-link --email ada@example.com`
    """
    folder = Path(folders.load(data, needs=None).data)
    if not folder.exists():  # it may have been mistyped
        typer.echo(f"There was no folder {folders.shown(folder)}, so it was made.", err=True)
    with open_control(data, create=True) as control:
        if not control.members() and email is None:
            purpose: Purpose = "setup"
            token = control.setup_link()
        else:
            purpose = "sign_in"
            member = control.find_member(email) if email else _only_owner(control)
            token = control.make_link(member.member_id)
    _print_link(_link(data, purpose, token), purpose, as_json)


@members.command("list")
def list_members(data: Data = None, as_json: AsJson = False) -> None:
    """List all members.

    Example: `threadline dashboard members list`
    """
    with open_control(data) as control:
        found = control.members()
    if as_json:
        typer.echo(json.dumps([_as_row(member) for member in found], ensure_ascii=False))
        return
    if not found:
        typer.echo("There is no member yet; `threadline dashboard login-link` makes the first.")
        return
    rows = [
        (
            member.email,
            member.name,
            member.role,
            _time(member.last_seen_ms) or "never",
            "yes" if member.password_hash else "no",
        )
        for member in found
    ]
    table, _ = as_table(("email", "name", "role", "last seen", "password"), rows, terminal_width())
    typer.echo(table)


@members.command("add")
def add(
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "viewer",
    name: Annotated[str, typer.Option(help="Name that others see.")] = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Add a member, and print the link by which they sign in for the first time.

    Example: `threadline dashboard members add bo@example.com --role editor`
    """
    with open_control(data) as control:
        member = control.add_member(email, name, read_role(role))
        token = control.make_link(member.member_id, "invitation")
    if not as_json:
        typer.echo(f"{member.email} may sign in, as {member.role}. Send them this link:")
    _print_link(_link(data, "invitation", token), "invitation", as_json)


@members.command("remove")
def remove(member: Who, data: Data = None) -> None:
    """Remove a member. All their sessions end at once.

    Example: `threadline dashboard members remove bo@example.com`
    """
    with open_control(data) as control:
        found = control.find_member(member)
        control.remove_member(found.member_id)
    typer.echo(f"{found.email} can no longer sign in.")


@members.command("role")
def role(member: Who, role: RoleName, data: Data = None) -> None:
    """Give a member another role. It applies from the next request.

    Example: `threadline dashboard members role bo@example.com owner`
    """
    with open_control(data) as control:
        found = control.find_member(member)
        changed = control.change_member(found.member_id, role=read_role(role))
    typer.echo(f"{changed.email}: {changed.role}")


def link_to(base: str, purpose: Purpose, token: str) -> str:
    """The page of the dashboard that takes the token."""
    page = "setup" if purpose == "setup" else "link"
    return f"{base.rstrip('/')}/dashboard/{page}/{token}"


def lasts(purpose: Purpose) -> str:
    """How long such a link works, in words."""
    hours, minutes = divmod(LINK_MS[purpose] // MINUTE_MS, 60)
    if hours > 48:
        return f"{hours // 24} days"
    return f"{hours} hours" if hours else f"{minutes} minutes"


def _only_owner(control: Control) -> Member:
    owners = [member for member in control.members() if member.role == "owner"]
    if len(owners) > 1:
        there = ", ".join(member.email for member in owners)
        raise ControlError(f"Choose who is to sign in, with --email. The owners are: {there}.")
    return owners[0]


def _link(data: str | None, purpose: Purpose, token: str) -> str:
    """At the address that people open, as far as that is known."""
    chosen = folders.load(data, needs=None)
    running = running_server(Path(chosen.data))
    local = running.url if running else f"http://{bracketed(chosen.host)}:{chosen.port}"
    if not running:
        typer.echo("The server is not running; start it before you open the link.", err=True)
    return link_to(chosen.base_url(local), purpose, token)


def _print_link(link: str, purpose: Purpose, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"link": link, "purpose": purpose}))
        return
    typer.echo(link)
    typer.echo(f"It works once, within {lasts(purpose)}.", err=True)


def _as_row(member: Member) -> dict[str, object]:
    return {
        "member_id": member.member_id,
        "email": member.email,
        "name": member.name,
        "role": member.role,
        "has_password": member.password_hash is not None,
        "created_at": _time(member.created_ms),
        "last_seen_at": _time(member.last_seen_ms),
    }


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)


# Its commands are there now.
app.add_typer(help.with_our_help(members), name="members", cls=help.Commands)
