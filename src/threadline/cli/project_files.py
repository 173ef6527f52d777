"""`threadline project export` and `import`: all settings of a project as one file.

They go with the other commands of `threadline project`, which make keys and need nothing of what
these have to import.
"""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from threadline.cli.keys import chosen_project
from threadline.cli.options import AsJson, Data
from threadline.cli.projects import app, open_control
from threadline.contract.words import counted
from threadline.control import Control, ControlError, Project
from threadline.control.definitions import Settings
from threadline.runtime.project_changes import SettingChange, differences, merged, not_in
from threadline.runtime.project_yaml import ProjectFile, read, write

Wanted = Annotated[
    str | None,
    typer.Option("--project", metavar="ID", help="Project id or name. Default: that in the file."),
]


@app.command("export")
def export_file(
    project: Annotated[
        str | None, typer.Argument(help="Project id or name. Default: the only one there is.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: standard output.")
    ] = None,
    data: Data = None,
) -> None:
    """Write all settings of a project as one YAML file that can live in git.

    Name, policy, visit timeout, origins, subdomains, rules, segments, goals, annotations, insights
    and boards, always in the same order. Keys are not included.

    Example: `threadline project export shop --output shop.yaml`
    """
    with open_control(data) as control:
        chosen = chosen_project(control, project)
        text = write(chosen, control.definitions(chosen.project_id))
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote the settings of {chosen.name} to {output}.", err=True)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The settings, as YAML.")],
    project: Wanted = None,
    yes: Annotated[bool, typer.Option("--yes", help="Apply the changes.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Delete origins, segments, goals, annotations, insights and boards that are "
            "missing from the file's list of them.",
        ),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what a settings file would change in a project; with --yes, apply it.

    What is not in the file stays as it is. Either all of it is applied, or nothing. Works while the
    server runs.

    Example: `threadline project import shop.yaml --yes`
    """
    wanted = _read(file)
    with open_control(data) as control:
        chosen = _chosen(control, wanted, project, file)
        before: list[Settings] = []

        def change(now: Settings) -> Settings:
            before.append(now)
            try:
                return merged(wanted, now, prune)
            except ControlError as error:
                raise ControlError(f"{file}: {error}") from None

        if yes:
            after = control.change_settings(chosen.project_id, change)
        else:
            after = change((chosen, control.definitions(chosen.project_id)))
    found = differences(before[-1], after)
    kept = [] if prune else not_in(wanted, after)
    if as_json:
        typer.echo(_as_json(chosen, found, kept, applied=yes))
    else:
        _say(after[0] if yes else chosen, found, kept, applied=yes)


def _read(file: Path) -> ProjectFile:
    try:
        return read(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ControlError(f"{file} is not UTF-8 text.") from None
    except ControlError as error:
        raise ControlError(f"{file}: {error}") from None


def _chosen(control: Control, wanted: ProjectFile, project: str | None, file: Path) -> Project:
    """Raises `ControlError` where there is none, or another one has the name."""
    name = wanted.settings.get("name")
    if project is None and name is None:
        raise ControlError(f"{file} names no project; name it with --project.")
    names = {each.name for each in control.projects()}
    if project is None and name not in names:
        raise ControlError(
            f"There is no project {name!r}; `threadline project create {name}` makes it, with its "
            "keys. Then import the file again."
        )
    chosen = control.project(project or str(name))
    if name is not None and name != chosen.name and name in names:
        raise ControlError(
            f"There is a project named {name!r} already. Take `name` out of {file}, so that "
            f"{chosen.name} keeps its own."
        )
    return chosen


def _as_json(project: Project, found: list[SettingChange], kept: list[str], applied: bool) -> str:
    answer = {
        "project_id": project.project_id,
        "applied": applied,
        "differences": msgspec.to_builtins(found),
        "kept": kept,
    }
    return json.dumps(answer, ensure_ascii=False)


def _say(project: Project, found: list[SettingChange], kept: list[str], applied: bool) -> None:
    for difference in found:
        typer.echo(str(difference))
    for name in kept:
        typer.echo(f"  {name} is not in the file and stays; --prune deletes it", err=True)
    if not found:
        typer.echo(f"{project.name} is as the file says.")
    elif applied:
        typer.echo(f"{project.name}: {counted(len(found), 'change')} made.")
    else:
        typer.echo("Nothing was changed; --yes applies it.")
