"""What `threadline import` says of a file before the first line goes in."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from threadline.cli.table import as_table
from threadline.contract.times import format_ms, parse_ms
from threadline.ingest.columns import IDS, Columns, map_hint, said_tool
from threadline.ingest.lines import EventFile, FileError, Line

SHOWN_REJECTED = 10


def check_columns(file: EventFile, now: bool, no_ids: bool, refuse: bool = True) -> None:
    """Raises `FileError` where a history would be stored as of now, every event as a visitor of its
    own, or a column left out, without anybody having asked for it. `refuse`: for the last."""
    found, name = file.columns, file.path.name
    if not found.ours:
        return
    if not (found.has_time or found.has_ids or (now and no_ids)):
        times, ids = found.meaning_inside("timestamp"), found.meaning_inside(*IDS)
        if times and ids:
            raise FileError(
                f"{name} has neither times nor ids where an event has them: they are in its"
                f" properties, as {', '.join([*times, *ids])}.{said_tool(found.tool)}"
                " docs/moving.md has a small program that makes events of such lines. With --now"
                " and --no-ids its events are stored as of now, and each is a visitor of its own."
            )
    # A line of NDJSON may leave its time out, as a request may; a table's column is forgotten.
    if not (now or found.has_time) and (file.format == "csv" or found.meaning("timestamp")):
        raise FileError(
            f"{name} has no times: nothing in it is called timestamp.{_hint(found, 'timestamp')}"
            f" With --now its events are stored as of now.{_unknown(found)}"
        )
    if not (no_ids or found.has_ids) and found.unknown:
        raise FileError(
            f"{name} has no ids: nothing in it is called {' or '.join(IDS)}.{_hint(found, *IDS)}"
            f" With --no-ids each event is a visitor of its own.{_unknown(found)}"
        )
    if found.unknown and refuse:
        raise FileError(_say_unknown(name, found))


def _say_unknown(name: str, found: Columns) -> str:
    """What to write for each column, so that nothing is lost without anybody having said so."""
    options = [
        map_hint({theirs: ours}) if ours and ours not in found.ours else f"--ignore {theirs}"
        for theirs, ours in found.unknown.items()
    ]
    return (
        f"{name} has columns that are not known here: {', '.join(found.unknown)}."
        f"{said_tool(found.tool)} Say what each is, such as"
        f" {' '.join(options)}; what belongs to an event goes into its properties."
    )


def say_columns(file: EventFile, console: Console) -> None:
    """What is ignored, made anew, or missing."""
    found, name = file.columns, file.path.name
    if found.ignored:
        console.print(f"{name}: ignored, as you said: {', '.join(found.ignored)}")
    if found.of_agents:
        console.print(f"{name}: an export; taken as it says: {', '.join(found.of_agents)}")
    if found.made:
        console.print(f"{name}: made anew by the server: {', '.join(found.made)}")
    if found.ours and not found.has_time:
        console.print(f"{name}: no times (timestamp); its events are stored as of now")
    if found.ours and not found.has_ids:
        ids = " or ".join(IDS)
        console.print(f"{name}: no ids ({ids}); each event is a visitor of its own")


def try_files(files: list[EventFile], as_json: bool) -> bool:
    """What an import would do, without doing it; whether it would take all files."""
    tried = [_tried(file) for file in files]
    taken = not any(file.columns.unknown for file in files)
    if as_json:
        typer.echo(json.dumps(tried))
        return taken
    for each in tried:
        typer.echo(f"{each['file']}: {each['format']} with {', '.join(each['columns'])}")
        rows = [[what, shown(each)] for what, shown in TABLE.items()]
        typer.echo(as_table(("", "would be"), rows, None)[0])
        for line in each["first_rejected"]:
            typer.echo(f"    line {line['line']}: {line['reason']}")
    for file in files:
        if file.columns.unknown:
            typer.echo(f"It would be refused: {_say_unknown(file.path.name, file.columns)}")
    typer.echo("Nothing was imported.")
    return taken


def _share(each: dict[str, Any], name: str) -> str:
    events = each["accepted"]
    return f"{each[name]:,}" + (f" ({each[name] / events:.0%})" if events else "")


# Of a file that was tried: what, and how it is said.
TABLE: dict[str, Callable[[dict[str, Any]], str]] = {
    "events accepted": lambda each: f"{each['accepted']:,}",
    "lines rejected": lambda each: f"{each['rejected']:,}",
    "first event": lambda each: each["first"] or "–",
    "last event": lambda each: each["last"] or "–",
    "with a user": lambda each: _share(each, "with_user"),
    "with an address": lambda each: _share(each, "with_url"),
    "without a time, stored as of now": lambda each: _share(each, "untimed"),
    "columns not known": lambda each: ", ".join(each["unknown"]) or "none",
    "columns ignored, or made anew": lambda each: ", ".join(each["ignored"]) or "none",
    "looks like an export of": lambda each: each["tool"] or "–",
}


def _tried(file: EventFile) -> dict[str, Any]:
    found: Counter[str] = Counter()
    rejected: list[Line] = []
    first = last = ""
    for line in file.lines(time.time_ns() // 1_000_000):
        event = line.event
        if event is None:
            found["rejected"] += 1
            if len(rejected) < SHOWN_REJECTED:
                rejected.append(line)
            continue
        found["accepted"] += 1
        found["with_user"] += bool(event.user_id)
        found["with_url"] += bool(event.url)
        found["untimed"] += event.timestamp is None
        if event.timestamp:
            at = format_ms(parse_ms(event.timestamp))
            first, last = min(first or at, at), max(last, at)
    return {
        "file": str(file.path),
        "format": file.format,
        "columns": [*file.columns.ours, *file.columns.of_agents],
        "unknown": [*file.columns.unknown],
        "ignored": [*file.columns.ignored, *file.columns.made],
        "tool": file.columns.tool or None,
        "accepted": found["accepted"],
        "rejected": found["rejected"],
        "first_rejected": [{"line": line.number, "reason": line.reason} for line in rejected],
        "first": first or None,
        "last": last or None,
        **{name: found[name] for name in ("with_user", "with_url", "untimed")},
    }


def _hint(found: Columns, *ours: str) -> str:
    hint = map_hint({name: found.unknown[name] for name in found.meaning(*ours)})
    return f" Perhaps {hint}?" if hint else ""


def _unknown(found: Columns) -> str:
    return f" Unknown here: {', '.join(found.unknown)}." if found.unknown else ""
