"""`threadline rates …`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from threadline.cli import folders
from threadline.cli.opening import open_store
from threadline.cli.options import AsJson, Data
from threadline.cli.table import as_table, terminal_width
from threadline.ingest.exchange_rates import Loaded, RatesFile, loaded, save

app = typer.Typer()

NONE = (
    "No exchange rates are loaded. `threadline rates import FILE` loads them, for example "
    "eurofxref-hist.zip of the European Central Bank."
)


@app.callback(invoke_without_command=True)
def show_rates(context: typer.Context, data: Data = None, as_json: AsJson = False) -> None:
    """Show which exchange rates are loaded: questions with `currency=EUR` convert amounts with
    them.

    They apply to the whole installation. For a day without a rate, such as a Sunday, the last one
    of the seven days before is used. Works whether the server runs or not.

    Example: `threadline rates --json`
    """
    if context.invoked_subcommand:
        return
    with open_store(folders.load(data)) as store:
        found = loaded(store)
    if as_json:
        typer.echo(json.dumps(_as_json(found)))
    elif not found:
        typer.echo(NONE)
    else:
        _print(found)


@app.command("import")
def import_rates(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, or a ZIP archive with one CSV file.")
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Load exchange rates against the euro, as the European Central Bank publishes them.

    The first line is Date and currencies (Date,USD,JPY), each line below a day and how much one
    euro is on it; N/A where there is no rate. The bank's eurofxref-hist.zip is taken as it comes,
    and so is eurofxref.zip of one day. What is imported again is replaced, other days and
    currencies stay. A file with a wrong line is not imported at all. Works whether the server runs
    or not.

    Example: `threadline rates import eurofxref-hist.zip`
    """
    chosen = folders.load(data)
    source = RatesFile(file)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(file.name, total=None)
        rates = source.read(
            lambda: progress.update(bar, total=source.size, completed=source.bytes_read)
        )
        progress.update(bar, total=None, description="writing them")
        with open_store(chosen) as store:
            save(store, rates)
            found = loaded(store)
    if as_json:
        typer.echo(json.dumps(_as_json(found)))
        return
    days = {rate.day for rate in rates}
    currencies = {rate.currency for rate in rates}
    typer.echo(
        f"{file.name}: {len(days):,} days from {min(days)} to {max(days)},"
        f" {len(currencies) - 1} currencies."
    )
    if found:
        _print(found)


def _as_json(found: list[Loaded]) -> dict[str, object]:
    together, *each = found or [Loaded("", "", "", 0)]
    return {
        "days": together.days,
        "first": together.first or None,
        "last": together.last or None,
        "currencies": [currency._asdict() for currency in each],
    }


def _print(found: list[Loaded]) -> None:
    together, *each = found
    typer.echo(f"Loaded: {together.days:,} days from {together.first} to {together.last}.")
    rows = [[one.currency, one.first, one.last, f"{one.days:,}"] for one in each]
    typer.echo(as_table(["currency", "first", "last", "days"], rows, terminal_width())[0])
