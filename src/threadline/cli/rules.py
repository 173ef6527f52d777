"""`threadline rules …`."""

from pathlib import Path
from typing import Annotated

import typer

from threadline.classify import RulesError, read_rules
from threadline.cli.keys import chosen_project
from threadline.cli.options import Data, ProjectName
from threadline.cli.projects import open_control
from threadline.contract.words import counted

app = typer.Typer(
    help="A project's own rules for where its visitors come from, before the built-in ones. They "
    "are written as YAML; docs/sources.md says how.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The rules, as YAML.")]


@app.command("check")
def check(file: File) -> None:
    """Check whether the rules are valid, and if not, say which line is wrong.

    Example: `threadline rules check rules.yaml`
    """
    rules = read_rules(_read(file))
    for rule in rules:
        typer.echo(f"{rule.rule_id}: {rule.when}")
    typer.echo(f"{counted(len(rules), 'rule')}, all valid.")


@app.command("set")
def set_rules(file: File, project: ProjectName = None, data: Data = None) -> None:
    """Replace a project's rules with these. Works while the server runs.

    They apply from the next event. `threadline reclassify` applies them to stored ones.

    Example: `threadline rules set rules.yaml --project shop`
    """
    text = _read(file)
    count = len(read_rules(text))
    with open_control(data) as control:
        chosen = chosen_project(control, project)
        control.set_site(chosen.project_id, rules=text)
    typer.echo(f"{chosen.name} has {counted(count, 'rule')} of its own. They apply to new events.")
    typer.echo("What they would change in stored ones: threadline reclassify --dry-run")


@app.command("show")
def show(project: ProjectName = None, data: Data = None) -> None:
    """Print a project's rules as they were written.

    Example: `threadline rules show --project shop > rules.yaml`
    """
    with open_control(data) as control:
        chosen = chosen_project(control, project)
    typer.echo(chosen.rules or f"# {chosen.name} has no rules of its own.", nl=not chosen.rules)


@app.command("clear")
def clear(project: ProjectName = None, data: Data = None) -> None:
    """Remove a project's own rules; the built-in ones stay.

    Example: `threadline rules clear --project shop`
    """
    with open_control(data) as control:
        chosen = chosen_project(control, project)
        control.set_site(chosen.project_id, rules="")
    typer.echo(f"{chosen.name} has no rules of its own any more.")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RulesError(f"{file} is not UTF-8 text.") from None
