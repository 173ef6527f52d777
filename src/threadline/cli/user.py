"""`threadline user`: one person's story as a timeline in the terminal."""

import json
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from threadline.cli import folders, journey
from threadline.cli.ask import questions
from threadline.cli.journey import Answer, Zone, place, visible
from threadline.cli.options import AsJson, Data, ProjectName, check_stitch
from threadline.contract.policies import POLICIES
from threadline.control import ControlError


def user(
    user_id: Annotated[str, typer.Argument(help="The user id, as given to identify.")],
    project: ProjectName = None,
    stitch: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(POLICIES)}: who owns the events without a user id on a device with "
            "users. Default: the project's, else any."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Events to show, oldest first.")] = 50,
    tz: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Time zone of all times shown: Europe/Berlin. Default: the project's, else UTC.",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a user's first touch, devices and journey, the time before signing in included.

    Each device has a thread of its own, dotted while nobody knew whose it was. Works whether the
    server runs or not. With --json times are UTC.

    Example: `threadline user user_42 --tz Europe/Berlin`
    """
    check_stitch(stitch)
    chosen = None if tz is None else _zone(tz)
    with questions(folders.load(data), project) as ask:
        zone = chosen or _zone(ask.project.timezone or "UTC")
        whose = {"user_id": user_id, "stitch": stitch}
        profile = ask.ask("profile", whose)
        shown = ask.ask("journey", {**whose, "limit": limit})
    if as_json:
        typer.echo(json.dumps({"profile": profile, "journey": shown}))
        return
    console = Console(highlight=False)
    _print_profile(console, profile, zone)
    _print_journey(console, profile, shown, zone)


def _print_profile(console: Console, profile: Answer, zone: Zone) -> None:
    first, last = profile["first_touch"], profile["last_touch"]
    waited = zone.moment(profile["known_since"]) - zone.moment(first["timestamp"])
    known = [zone.when(profile["known_since"])]
    rows = [
        ("first touch", [journey.source(first), zone.when(first["timestamp"]), place(first)]),
        ("known since", [*known, journey.later(waited)] if waited else known),
        ("last seen", [zone.when(last["timestamp"]), place(last)]),
    ]
    for device in profile["devices"]:
        shared = "shared with others" if device["shared"] else ""
        rows.append(("device", [visible(device["anonymous_id"]), shared]))
    for trait, value in profile["traits"].items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((visible(trait), [visible(text)]))
    rows.append(("times", [zone.name]))
    console.print(Text.assemble("\n", (visible(profile["user_id"]), "bold"), "\n"))
    width = max(13, *(cell_len(label) for label, _ in rows))
    for label, parts in rows:
        line = Text.assemble("  ", (label.ljust(width), "dim"), " ", ", ".join(filter(None, parts)))
        console.print(line, overflow="ellipsis", no_wrap=True)
    console.print()


def _print_journey(console: Console, profile: Answer, shown: Answer, zone: Zone) -> None:
    for line in journey.draw(profile, shown, zone, console.width):
        console.print(line, overflow="ellipsis", no_wrap=True)
    if shown["next_cursor"]:
        console.print("  [dim]… more; raise --limit[/]")
    if shown["shared_devices"]:
        shared = escape(visible(", ".join(shown["shared_devices"])))
        console.print(
            f"\n[yellow]Shared devices took part:[/] {shared}."
            f" Compare --stitch {', '.join(POLICIES)}."
        )
    console.print()


def _zone(name: str) -> Zone:
    """Raises `ControlError` for one that does not exist."""
    try:
        return Zone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ControlError(
            f"--tz {name}: there is no such time zone; write one such as Europe/Berlin."
        ) from None
