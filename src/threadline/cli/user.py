"""`threadline user`: one person's story as a timeline in the terminal."""

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from threadline import settings
from threadline.cli.ask import questions
from threadline.cli.options import AsJson, Data, ProjectName
from threadline.cli.projects import POLICIES
from threadline.control import ControlError
from threadline.identity.ground import Policy

# A pause worth a line of its own in the timeline.
LONG_PAUSE = timedelta(hours=12)

DOTTED, SOLID = "[dim]┊[/]", "[green]┃[/]"

Answer = dict[str, Any]


def user(
    user_id: Annotated[str, typer.Argument(help="The id given to identify.")],
    project: ProjectName = None,
    stitch: Annotated[
        str | None,
        typer.Option(help="any, first or next: whose are untagged events on a shared device?"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Events to show, oldest first.")] = 50,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a user's first touch, devices and journey, the time before signing in included.

    Works whether the server runs or not.

    Example: `threadline user user_42 --stitch next`
    """
    if stitch not in (None, *POLICIES):
        raise ControlError(f"--stitch {stitch}: choose one of {', '.join(POLICIES)}.")
    policy = cast(Policy | None, stitch)
    with questions(settings.load(data=data), project) as ask:
        profile = ask.profile(user_id, policy)
        journey = ask.journey(user_id, policy, limit)
    if as_json:
        typer.echo(json.dumps({"profile": profile, "journey": journey}))
        return
    console = Console(highlight=False)
    _print_profile(console, profile)
    _print_journey(console, profile, journey)


def _print_profile(console: Console, profile: Answer) -> None:
    first, last = profile["first_touch"], profile["last_touch"]
    waited = _moment(profile["known_since"]) - _moment(first["timestamp"])
    known = f"{_day(profile['known_since'])}, {_clock(profile['known_since'])}"
    rows = [
        ("first touch", f"[bold]{_source(first)}[/], {_when(first)}, {_place(first)}"),
        ("known since", f"{known}[dim], {_later(waited)}[/]" if waited else known),
        ("last seen", _when(last)),
    ]
    for device in profile["devices"]:
        shared = "[yellow], shared with others[/]" if device["shared"] else ""
        rows.append(("device", f"{escape(device['anonymous_id'])}{shared}"))
    for trait, value in profile["traits"].items():
        rows.append((escape(trait), escape(value if isinstance(value, str) else json.dumps(value))))
    console.print(f"\n[bold]{escape(profile['user_id'])}[/]\n")
    for label, text in rows:
        console.print(f"  [dim]{label:<13}[/] {text}")
    console.print()


def _print_journey(console: Console, profile: Answer, journey: Answer) -> None:
    """Dotted while anonymous; where the thread is tied, it becomes a solid line."""
    known_since, known_as = journey["known_since"], escape(profile["user_id"])
    tied = False
    day = ""
    before: datetime | None = None
    for row in journey["rows"]:
        now = _moment(row["timestamp"])
        thread = SOLID if tied else DOTTED
        if before and now - before >= LONG_PAUSE:
            console.print(f"  {thread}  [dim]{_later(now - before)}[/]")
        if _day(row["timestamp"]) != day:
            day = _day(row["timestamp"])
            console.print(f"  {thread}  [bold]{day}[/]")
        if not tied and row["timestamp"] >= known_since:
            tied = True
            thread = SOLID
            console.print(f"  [green]┢━━ {escape(row['anonymous_id'])} is {known_as} ━━[/]")
        console.print(f"  {thread}  {_event(row)}", overflow="ellipsis", no_wrap=True)
        before = now
    if journey["next_cursor"]:
        console.print("  [dim]… more; raise --limit[/]")
    if journey["shared_devices"]:
        shared = escape(", ".join(journey["shared_devices"]))
        console.print(
            f"\n[yellow]Shared devices took part:[/] {shared}."
            " Compare --stitch any, first and next."
        )
    console.print()


def _event(row: Answer) -> str:
    direct = row["source"] in ("direct", "internal")
    source = "" if direct else _source(row)
    device = " · ".join(part for part in (row["device_type"], row["browser"]) if part)
    return (
        f"[dim]{_clock(row['timestamp'])}[/]  {escape(row['event_name']):<18} "
        f"[cyan]{source:<20}[/] {_place(row):<14} [dim]{escape(device)}[/]"
    ).rstrip()


def _source(touch: Answer) -> str:
    return escape(f"{touch['source']} / {touch['medium']}")


def _place(touch: Answer) -> str:
    try:
        return escape(urlsplit(touch["url"] or "").path)
    except ValueError:
        return ""


def _when(touch: Answer) -> str:
    return f"{_day(touch['timestamp'])}, {_clock(touch['timestamp'])}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _day(text: str) -> str:
    moment = _moment(text)
    return f"{moment:%A} {moment.day} {moment:%B %Y}"


def _clock(text: str) -> str:
    return f"{_moment(text):%H:%M}"


def _later(span: timedelta) -> str:
    """`5 days 21 hours later`: the two largest units that are not zero."""
    total = int(span.total_seconds())
    parts = [
        ("day", total // 86_400),
        ("hour", total // 3600 % 24),
        ("minute", total // 60 % 60),
        ("second", total % 60),
    ]
    named = [f"{count} {unit}{'' if count == 1 else 's'}" for unit, count in parts if count]
    return f"{' '.join(named[:2])} later" if named else "at once"
