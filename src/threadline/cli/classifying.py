"""`threadline classify`."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from threadline.classify import NO_SITE, explain, no_address, read_rules
from threadline.cli.keys import chosen_project
from threadline.cli.options import AsJson, Data
from threadline.cli.projects import open_control
from threadline.runtime.services import site_of


def classify(
    url: Annotated[str, typer.Argument(help="Address of the page, with its parameters.")],
    referrer: Annotated[str, typer.Option(help="The page that the browser came from.")] = "",
    project: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Apply this project's rules and origins. Default: none."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say where a visit would come from, and why: every rule up to the one that decides.

    With --project its origins count as internal, and its own rules come first.

    Example: `threadline classify 'https://shop.example/?utm_source=fb&utm_medium=cpc'`
    """
    site, used = NO_SITE, "Built-in rules only; --project adds a project's own rules and origins."
    if project is not None:
        with open_control(data) as control:
            chosen = chosen_project(control, project)
        site = site_of(chosen)
        own = len(read_rules(chosen.rules)) if chosen.rules else 0
        used = f"Rules of {chosen.name}: {own} of its own, then the built-in ones."
    found = explain(url, referrer, site)
    for name, address in (("URL", url), ("--referrer", referrer)):
        if problem := no_address(name, address):
            Console(stderr=True, highlight=False).print(problem, markup=False)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(found.source)} / {escape(found.medium)}[/]", end="")
    console.print(
        f"   channel {found.channel}, confidence {found.confidence}, rule {found.rule_id}"
    )
    if found.campaign:
        console.print(f"campaign {escape(found.campaign)}")
    console.print(f"{found.because}\n")
    width = max(len(rule.rule_id) for rule in found.rules)
    for rule in found.rules:
        mark = "[green]✓[/]" if rule.matches else "[dim]·[/]"
        console.print(f"{mark} {rule.rule_id:<{width}}  [dim]{rule.when}[/]")
    console.print(f"\n{escape(used)}")
