"""What `threadline import` says of a file before the first line goes in."""

import json
import time
from typing import Any

import typer
from rich.console import Console

from threadline.ingest.columns import IDS, Columns, map_hint
from threadline.ingest.lines import EventFile, FileError, Line

SHOWN_REJECTED = 10


def check_columns(file: EventFile, now: bool, no_ids: bool) -> None:
    """Raises `FileError` where a history would be stored as of now, or every event as a visitor of
    its own, without anybody having asked for it."""
    found, name = file.columns, file.path.name
    if not found.ours:
        return
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


def say_columns(file: EventFile, console: Console) -> None:
    """What is ignored, made anew, or missing."""
    found, name = file.columns, file.path.name
    if found.unknown:
        hints = {name: ours for name, ours in found.unknown.items() if ours not in found.ours}
        hint = map_hint(hints)
        perhaps = f" (perhaps {hint})" if hint else ""
        console.print(f"{name}: ignored, unknown here: {', '.join(found.unknown)}{perhaps}")
    if found.of_agents:
        console.print(f"{name}: an export; taken as it says: {', '.join(found.of_agents)}")
    if found.made:
        console.print(f"{name}: made anew by the server: {', '.join(found.made)}")
    if found.ours and not found.has_time:
        console.print(f"{name}: no times (timestamp); its events are stored as of now")
    if found.ours and not found.has_ids:
        ids = " or ".join(IDS)
        console.print(f"{name}: no ids ({ids}); each event is a visitor of its own")


def try_files(files: list[EventFile], as_json: bool) -> None:
    """What an import would do, without doing it."""
    tried = [_tried(file) for file in files]
    if as_json:
        typer.echo(json.dumps(tried))
        return
    for each in tried:
        typer.echo(f"{each['file']}: {each['format']} with {', '.join(each['columns'])}")
        typer.echo(f"  {each['accepted']:,} events would be accepted")
        typer.echo(f"  {each['rejected']:,} lines would be rejected")
        for line in each["first_rejected"]:
            typer.echo(f"    line {line['line']}: {line['reason']}")
    typer.echo("Nothing was imported.")


def _tried(file: EventFile) -> dict[str, Any]:
    accepted = 0
    rejected: list[Line] = []
    count = 0
    for line in file.lines(time.time_ns() // 1_000_000):
        if line.event is not None:
            accepted += 1
            continue
        count += 1
        if len(rejected) < SHOWN_REJECTED:
            rejected.append(line)
    return {
        "file": str(file.path),
        "format": file.format,
        "columns": [*file.columns.ours, *file.columns.of_agents],
        "ignored": [*file.columns.unknown, *file.columns.made],
        "accepted": accepted,
        "rejected": count,
        "first_rejected": [{"line": line.number, "reason": line.reason} for line in rejected],
    }


def _hint(found: Columns, *ours: str) -> str:
    hint = map_hint({name: found.unknown[name] for name in found.meaning(*ours)})
    return f" Perhaps {hint}?" if hint else ""


def _unknown(found: Columns) -> str:
    return f" Unknown here: {', '.join(found.unknown)}." if found.unknown else ""
