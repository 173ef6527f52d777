"""`threadline dead-letter …`: events that the store refused."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Annotated

import typer

from threadline.cli import folders
from threadline.cli.options import AsJson, Data
from threadline.contract.times import format_ms
from threadline.ingest import dead_letters, row
from threadline.ingest.log import LogError, open_db

app = typer.Typer(
    help="Events that the store refused: list, show, retry, drop. All work while the server runs.",
    no_args_is_help=True,
)

LetterId = Annotated[str, typer.Argument(help="`threadline dead-letter list` shows it.")]
OneOrNone = Annotated[str | None, typer.Argument(help="One dead letter; or give --all.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


@app.command("list")
def list_dead_letters(data: Data = None, as_json: AsJson = False) -> None:
    """List dead letters with the reason the store gave, oldest first.

    Example: `threadline dead-letter list`
    """
    with _log(data) as db:
        letters = dead_letters.listed(db)
    if as_json:
        typer.echo(json.dumps([letter._asdict() for letter in letters]))
        return
    if not letters:
        typer.echo("No dead letters: the store took every event.")
    for letter in letters:
        state = "  (marked for a retry)" if letter.retry else ""
        typer.echo(
            f"{letter.letter_id}  {format_ms(letter.refused_ms)}  {letter.project_id}"
            f"  {letter.event_name} {letter.event_id}{state}\n    {letter.reason}"
        )


@app.command("show")
def show(letter_id: LetterId, data: Data = None) -> None:
    """Print one dead letter's event as JSON, column by column.

    Example: `threadline dead-letter show 01a2-7-0-1`
    """
    with _log(data) as db:
        encoded = dead_letters.body(db, letter_id)
    if encoded is None:
        raise _unknown(letter_id)
    columns = row.by_column(encoded)
    typer.echo(json.dumps(columns, indent=2, default=bytes.hex, ensure_ascii=False))


@app.command("retry")
def retry(letter_id: OneOrNone = None, everything: All = False, data: Data = None) -> None:
    """Send dead letters to the store again, once the reason for the refusal is gone.

    Example: `threadline dead-letter retry --all`
    """
    with _log(data) as db:
        marked = dead_letters.mark(db, _chosen(letter_id, everything))
    if not marked and letter_id is not None:
        raise _unknown(letter_id)
    typer.echo(f"{marked} marked; the server retries them within a second, or when it starts.")


@app.command("drop")
def drop(letter_id: OneOrNone = None, everything: All = False, data: Data = None) -> None:
    """Delete dead letters for good.

    Example: `threadline dead-letter drop 01a2-7-0-1`
    """
    with _log(data) as db:
        dropped = dead_letters.drop(db, _chosen(letter_id, everything))
    if not dropped and letter_id is not None:
        raise _unknown(letter_id)
    typer.echo(f"{dropped} dropped.")


def _unknown(letter_id: str) -> LogError:
    return LogError(f"There is no dead letter {letter_id}; see threadline dead-letter list.")


def _chosen(letter_id: str | None, everything: bool) -> str | None:
    """None means all of them."""
    if (letter_id is None) != everything:
        raise LogError("Give either the id of one dead letter or --all.")
    return letter_id


@contextmanager
def _log(data: str | None) -> Iterator[Connection]:
    folder = Path(folders.load(data, needs="log.db").data)
    with closing(open_db(folder)) as db:
        yield db
