"""`threadline backup`: make one, list them, read them back, and let old ones go."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from threadline.backup import listing
from threadline.backup.manifest import Manifest
from threadline.backup.targets import Target, open_target
from threadline.cli import folders, help
from threadline.cli.options import AsJson, Data
from threadline.cli.signals import ended_by_signals, exit_status
from threadline.cli.table import as_table, terminal_width
from threadline.contract.times import format_ms, now_ms
from threadline.contract.words import counted
from threadline.runtime.backing_up import back_up_folder, recipients_of

MAKE = "make"
Where = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="A folder, best on another disk, or s3://BUCKET/PREFIX."),
]
OfBackup = Annotated[
    str | None, typer.Option("--at", metavar="ID", help="Which backup. Default: the latest.")
]
Keep = Annotated[
    int, typer.Option(min=0, help="Keep the latest N backups, delete older ones. 0: all stay.")
]
KeepDays = Annotated[
    int, typer.Option(min=0, help="Keep the backups of the last N days. 0: all stay.")
]


class Backups(help.Defaulting):
    """`threadline backup TARGET` is `threadline backup make TARGET`."""

    default = MAKE


app = typer.Typer(
    cls=Backups,
    no_args_is_help=True,
    help="Back up a data folder while it is in use: `threadline backup TARGET`.\n\nExample: "
    "`threadline backup /mnt/backups --keep 14`",
)


@app.command(MAKE)
def make(
    target: Where,
    encrypt_to: Annotated[
        list[str] | None,
        typer.Option(metavar="AGE1…", help="Encrypt to this public key of age; may be repeated."),
    ] = None,
    keep: Keep = 0,
    keep_days: KeepDays = 0,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a backup of the data folder, as it is at one moment.

    Works whether the server runs or not, and does not hold up events or questions. Only what the
    target does not have yet is written, compressed with zstd, and read back. If it is stopped or
    killed, no half backup is left, and the same command reuses what was already written.

    Example: `threadline backup /mnt/backups --keep 14`
    """
    chosen = folders.load(data)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    where = open_target(target)
    recipients = recipients_of(chosen) if encrypt_to is None else encrypt_to
    started = time.monotonic()
    with stopped_by_signals("Stopped; no backup was made. The next one reuses what was written."):
        with bar("Backing up", console) as progressed:
            made = back_up_folder(chosen, where, recipients, progressed)
        gone, freed = _prune(where, keep, keep_days)
    if as_json:
        typer.echo(json.dumps({**_as_json(made), "pruned": [each.backup_id for each in gone]}))
        return
    typer.echo(
        f"{made.backup_id}: {_bytes(made.unpacked)} of {format_ms(made.moment.at_ms)};"
        f" {_bytes(made.added)} were new and lie in {where.where}, read back."
        f" {time.monotonic() - started:.1f} s."
    )
    _say_pruned(gone, freed)


@app.command("list")
def list_backups(target: Where, as_json: AsJson = False) -> None:
    """List the backups in a target: when each was made, how large it is, and how much it added.

    Example: `threadline backup list /mnt/backups`
    """
    found = listing.listed(open_target(target))
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in found.backups]))
    elif not found.backups:
        typer.echo(f"There is no backup in {target}.")
    else:
        names = "backup moment version data stored added encrypted".split()
        rows = [_cells(each) for each in found.backups]
        typer.echo(as_table(names, rows, terminal_width())[0])
    for problem in found.broken.values():
        typer.echo(problem, err=True)
    if found.broken:
        raise typer.Exit(1)


@app.command("check")
def check(
    target: Where,
    at: OfBackup = None,
    every: Annotated[bool, typer.Option("--all", help="All backups, not only the latest.")] = False,
) -> None:
    """Read a backup back and compare it with what was written, byte by byte.

    No decryption key is needed, because the stored files are compared as they are. `threadline
    restore --check` compares their contents.

    Example: `threadline backup check /mnt/backups`
    """
    where = open_target(target)
    found = listing.listed(where)
    problems = list(found.broken.values())
    wanted = found.backups if every else [listing.chosen(where, at)]
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for each in wanted:
        with bar(f"Reading {each.backup_id}", console) as progressed:
            wrong = listing.check(where, each, progressed)
        problems += wrong
        if not wrong:
            typer.echo(
                f"{each.backup_id}: whole, {_bytes(each.stored)} in {len(each.blobs):,} files."
            )
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        typer.echo(
            "A damaged backup cannot be restored. Make another backup, which writes the damaged "
            "files again, and delete this one: threadline backup prune TARGET --keep 1.",
            err=True,
        )
        raise typer.Exit(1)


@app.command("prune")
def prune(target: Where, keep: Keep = 0, keep_days: KeepDays = 0) -> None:
    """Delete old backups, and the files that only they needed. The latest always stays.

    Example: `threadline backup prune /mnt/backups --keep 14`
    """
    if not keep and not keep_days:
        raise typer.BadParameter("say how many to keep, or of how many days", param_hint="--keep")
    gone, freed = _prune(open_target(target), keep, keep_days)
    _say_pruned(gone, freed, always=True)


def _prune(target: Target, keep: int, keep_days: int) -> tuple[Sequence[Manifest], int]:
    if not keep and not keep_days:
        return [], 0
    with target.alone():
        gone = listing.outdated(listing.listed(target).backups, now_ms(), keep, keep_days)
        return gone, listing.prune(target, gone)


def _say_pruned(gone: Sequence[Manifest], freed: int, always: bool = False) -> None:
    if gone or always:
        typer.echo(f"Deleted {counted(len(gone), 'backup')}; {_bytes(freed)} are free again.")


@contextmanager
def stopped_by_signals(said: str) -> Iterator[None]:
    """On Ctrl-C and SIGTERM, this sentence and nothing else."""
    try:
        with ended_by_signals():
            yield
    except KeyboardInterrupt as interrupt:
        typer.echo(said, err=True)
        raise typer.Exit(exit_status(interrupt)) from None


@contextmanager
def bar(title: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of bytes."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with ExitStack() as opened:
        shown: list[tuple[Progress, TaskID]] = []

        def progressed(done: int, total: int) -> None:
            if not shown:  # what goes wrong before is said without a bar
                progress = opened.enter_context(Progress(*columns, console=console))
                shown.append((progress, progress.add_task(title, total=total)))
            progress, task = shown[0]
            progress.update(task, completed=done, total=total)

        yield progressed


def says_what_it_makes(console: Console) -> Callable[[str], None]:
    """Says of each state of identity that it is made anew: that may take as long as the rest."""
    return lambda state: console.print(f"Recomputing {state} on each node from its own events ...")


def _cells(each: Manifest) -> list[str]:
    moment = format_ms(each.moment.at_ms)[:19].replace("T", " ")
    sizes = [_bytes(size) for size in (each.unpacked, each.stored, each.added)]
    return [each.backup_id, moment, each.moment.version, *sizes, "yes" if each.recipients else "no"]


def _as_json(each: Manifest) -> dict[str, Any]:
    return {
        "backup_id": each.backup_id,
        "moment": format_ms(each.moment.at_ms),
        "data_bytes": each.unpacked,
        "stored_bytes": each.stored,
        "added_bytes": each.added,
        "files": len(each.blobs),
        "encrypted_to": each.recipients,
        **{
            name: value
            for name, value in msgspec.to_builtins(each.moment).items()
            if name in ("version", "engine", "written", "acked", "waiting", "schemas", "rows")
        },
    }


def _bytes(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
