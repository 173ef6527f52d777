"""`threadline doctor`: is everything well, and if not, what to do?"""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from threadline import settings_given
from threadline.cli.checks import examine
from threadline.cli.finding import Finding
from threadline.cli.opening import open_store
from threadline.cli.options import Data
from threadline.contract.words import counted
from threadline.identity import states
from threadline.ingest.recovery import outliving
from threadline.settings import Settings


def doctor(
    data: Data = None,
    verify_identity: Annotated[
        bool,
        typer.Option(help="Recompute links and first touches from the events, and compare."),
    ] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="With --verify-identity: check one in N users and visitors."
        ),
    ] = 1,
) -> None:
    """Check settings, data folder, who may read it, engine, disk, clock, log and more.

    Exits with status 1 if anything needs fixing; each such line says how. Changes nothing.

    Example: `threadline doctor --data /var/lib/threadline`
    """
    console = Console(highlight=False)
    healthy = True
    findings = examine(data)
    if verify_identity:
        findings = chain(findings, verify(settings_given.load(data=data), sample))
    for name, finding in findings:
        healthy = healthy and not finding.mend
        mark = "[red]✗[/]" if finding.mend else "[green]✓[/]"
        console.print(f"{mark} {name:<10} {escape(finding.found)}", soft_wrap=True)
        if finding.mend:
            console.print(f"    {escape(finding.mend)}", soft_wrap=True)
    raise typer.Exit(0 if healthy else 1)


def verify(chosen: Settings, sample: int) -> Iterator[tuple[str, Finding]]:
    """Every state of identity against the events."""
    with open_store(chosen) as store:
        for found in states.verify(store, sample, outliving(chosen)):
            yield "identity", _difference(found)


def _difference(found: states.Difference) -> Finding:
    what = f"{found.table}: {counted(found.compared, 'row')} compared"
    if not (found.beyond or found.missing or found.wrong):
        return Finding(f"{what}, all as the events say")
    return Finding(
        f"{what}; {found.missing:,} missing, {found.beyond:,} too many, {found.wrong:,} wrong",
        "threadline rebuild recomputes them from the events.",
    )
