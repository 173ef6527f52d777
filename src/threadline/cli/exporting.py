"""`threadline export`: events into files."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console

from threadline.cli import folders
from threadline.cli.archives import export_archive, is_archive
from threadline.cli.ask import questions
from threadline.cli.options import Data, ProjectName
from threadline.cli.signals import ended_by_signals, exit_status
from threadline.contract.words import counted
from threadline.control import ControlError
from threadline.private import named_when_whole
from threadline.questions.export import MEDIA_TYPES, Export

FORMATS = tuple(MEDIA_TYPES)
ENDINGS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}


def export_file(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="ndjson, csv or parquet. Default: by FILE's name, or ndjson.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="ISO 8601, inclusive.")] = None,
    to: Annotated[str | None, typer.Option(help="ISO 8601, exclusive.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    source: Annotated[str | None, typer.Option(help="Only events from this source.")] = None,
    medium: Annotated[str | None, typer.Option(help="Only events of this medium.")] = None,
    user_id: Annotated[
        str | None, typer.Option(help="Only events that carry this user id.")
    ] = None,
    anonymous_id: Annotated[str | None, typer.Option(help="Only events of this device.")] = None,
    include_bots: Annotated[
        bool, typer.Option("--include-bots", help="Include events of crawlers and other programs.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With FILE.zip: export all projects.")
    ] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="With FILE.zip: include the hashes of keys.")
    ] = False,
    project: ProjectName = None,
    data: Data = None,
) -> None:
    """Export stored events as NDJSON, CSV or Parquet. Times are UTC.

    FILE.zip exports whole projects instead: every event as it is stored, bots included, decisions
    about identity, settings, segments, goals, boards and exchange rates. `threadline import
    FILE.zip` imports it, here or elsewhere.

    Works whether the server runs or not; an export of any size needs little memory, and no disk
    space beyond FILE. `threadline import` reads NDJSON and CSV. FILE appears only when it is
    complete.

    Example: `threadline export --from 2026-01-01 --to 2026-02-01 -o january.parquet`
    """
    given = {
        "format": None if out is not None and is_archive(out) else _format(out, format),
        "from": from_,
        "to": to,
        "event": event,
        "source": source,
        "medium": medium,
        "user_id": user_id,
        "anonymous_id": anonymous_id,
        "include_bots": "true" if include_bots else None,
    }
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    whole = out is not None and is_archive(out)
    if whole:
        asked = {**given, "format": format, "include_bots": None}
        filters = [f"--{name.replace('_', '-')}" for name, text in asked.items() if text]
        if filters:
            raise ControlError(f"{out} exports whole projects: leave out {', '.join(filters)}.")
    elif every or keys:
        raise ControlError("--all and --keys go with a FILE that ends in .zip.")
    try:
        if out is not None and whole:
            with ended_by_signals():
                export_archive(out, folders.load(data), project, every, keys, console)
            return
        with ended_by_signals(), questions(folders.load(data), project) as ask:
            exported = ask.export({name: text for name, text in given.items() if text is not None})
            with exported.file, target(out) as file:
                shutil.copyfileobj(exported.file, file)
    except KeyboardInterrupt as interrupt:
        console.print("Stopped; nothing was written." if out else "Stopped.")
        raise typer.Exit(exit_status(interrupt)) from None
    _say(exported, out, console)


def _format(out: Path | None, format: str | None) -> str:
    """Raises `ControlError` for one that there is not."""
    if format is not None and format not in FORMATS:
        raise ControlError(f"--format {format}: choose one of {', '.join(FORMATS)}.")
    ending = out.suffix.lower() if out else ""
    by_name = ENDINGS.get(ending)
    if format is None and ending and by_name is None:
        raise ControlError(
            f"{out}: what format is {ending}? Names that end in {', '.join(ENDINGS)} are"
            f" understood; for another name give --format {', '.join(FORMATS)}."
        )
    if format and by_name and format != by_name:
        raise ControlError(f"{out} would hold {by_name} by its name, and --format says {format}.")
    return format or by_name or "ndjson"


@contextmanager
def target(out: Path | None) -> Iterator[IO[bytes]]:
    """Where to write. A file gets its name when all is in it, so that half of one has none."""
    if out is None:
        yield sys.stdout.buffer
        return
    path = out.resolve()
    if path.exists() and not path.is_file():  # a device or a pipe stays what it is
        with path.open("wb") as device:
            yield device
        return
    with named_when_whole(path, f".{path.name}.") as file:
        yield file


def _say(exported: Export, out: Path | None, console: Console) -> None:
    for warning in exported.warnings:
        console.print(warning, markup=False)
    size = f", {out.stat().st_size:,} bytes" if out and out.is_file() else ""
    line = f"{out or 'Exported'}: {counted(exported.events, 'event')}{size}."
    if exported.bots == 1:
        line += " One event of a bot was left out; --include-bots includes it."
    elif exported.bots:
        line += f" {exported.bots:,} events of bots were left out; --include-bots includes them."
    console.print(line, markup=False)
