"""`threadline segment …`, `goal …` and `annotation …`: what a project gives names to."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer

from threadline.cli.keys import chosen_project
from threadline.cli.options import AsJson, Data, ProjectName, check_text
from threadline.cli.projects import open_control
from threadline.cli.table import as_table, terminal_width
from threadline.contract.definitions import Annotation, Definitions, GoalDefinition, Segment
from threadline.contract.errors import InvalidPayload
from threadline.control import Control, Project
from threadline.questions import annotations as notes
from threadline.questions import definitions as allowed

segments = typer.Typer(
    help="Segments: named groups of people, defined by filters. `filters=segment==NAME` in any "
    "question asks about them.",
    no_args_is_help=True,
)
goals = typer.Typer(
    help="Goals: named conversions. Questions take `goal:NAME` wherever they take the name of an "
    "event.",
    no_args_is_help=True,
)
annotations = typer.Typer(
    help="Annotations: dated notes, shown with every time series that covers their date.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="A name of your choice.")]
Named = Annotated[str, typer.Argument(metavar="NAME", help="As the list shows it.")]
Filters = Annotated[
    str,
    typer.Argument(
        help="Conditions on people, separated by semicolons: 'first.medium==paid;did==signup'."
    ),
]


@segments.command("list")
def list_segments(project: ProjectName = None, data: Data = None, as_json: AsJson = False) -> None:
    """List the segments of a project.

    Example: `threadline segment list --project shop`
    """
    with _defined(project, data) as (_, _, definitions):
        _list(definitions.segments, as_json, "segment set NAME FILTERS")


@segments.command("set")
def set_segment(
    name: Name,
    filters: Filters,
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Save a segment; one of the same name is replaced. It applies from the next question.

    It consists of the people who pass its filters when a question is asked. It may refer to other
    segments. Works while the server runs.

    Example: `threadline segment set buyers 'did(30d)==purchase;first.medium==paid'`
    """
    segment = _made(Segment, name=name, filters=filters)
    _define(project, data, allowed.put_segment, segment)
    _say_kept(segment, as_json, f"Segment {name}: {filters}")


@segments.command("delete")
def delete_segment(name: Named, project: ProjectName = None, data: Data = None) -> None:
    """Delete a segment that no other segment uses.

    Example: `threadline segment delete buyers`
    """
    _define(project, data, allowed.delete_segment, name)
    typer.echo(f"Segment {name} is deleted.")


@goals.command("list")
def list_goals(project: ProjectName = None, data: Data = None, as_json: AsJson = False) -> None:
    """List the goals of a project.

    Example: `threadline goal list --project shop`
    """
    with _defined(project, data) as (_, _, definitions):
        _list(definitions.goals, as_json, "goal set NAME EVENT")


@goals.command("set")
def set_goal(
    name: Name,
    event: Annotated[
        str,
        typer.Argument(
            help="Event name, optionally with conditions in braces, as in a funnel's step."
        ),
    ],
    filters: Annotated[
        str, typer.Option(help="Conditions that the event has to pass: 'properties.plan==pro'.")
    ] = "",
    value_property: Annotated[
        str, typer.Option(metavar="PROPERTY", help="The property that holds what it is worth.")
    ] = "",
    currency_property: Annotated[
        str, typer.Option(metavar="PROPERTY", help="The property that holds the currency of that.")
    ] = "",
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="What it means, for people who read the list.")
    ] = "",
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Save a goal; one of the same name is replaced. It applies from the next question.

    Works while the server runs.

    Example: `threadline goal set sale purchase --value-property value`
    """
    goal = _made(
        GoalDefinition,
        name=name,
        event=event,
        filters=filters,
        value_property=value_property,
        currency_property=currency_property,
        description=description,
    )
    _define(project, data, allowed.put_goal, goal)
    _say_kept(goal, as_json, f"Goal {name}: {event}. Questions take it as goal:{name}.")


@goals.command("delete")
def delete_goal(name: Named, project: ProjectName = None, data: Data = None) -> None:
    """Delete a goal that no segment uses.

    Example: `threadline goal delete sale`
    """
    _define(project, data, allowed.delete_goal, name)
    typer.echo(f"Goal {name} is deleted.")


@annotations.command("list")
def list_annotations(
    project: ProjectName = None, data: Data = None, as_json: AsJson = False
) -> None:
    """List the annotations of a project, the earliest first.

    Example: `threadline annotation list --project shop`
    """
    with _defined(project, data) as (_, _, definitions):
        _list(definitions.annotations, as_json, "annotation set DATE TEXT")


@annotations.command("set")
def set_annotation(
    at: Annotated[
        str,
        typer.Argument(metavar="DATE", help="ISO 8601: a date, or a time; without an offset UTC."),
    ],
    text: Annotated[str, typer.Argument(help="What happened.")],
    link: Annotated[
        str, typer.Option(metavar="URL", help="Link to more about it, with http or https.")
    ] = "",
    annotation_id: Annotated[
        str,
        typer.Option(
            "--id", metavar="ID", help="Id of the annotation to replace. Default: make a new one."
        ),
    ] = "",
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Note what happened. The same text at the same time is stored once.

    Works while the server runs.

    Example: `threadline annotation set 2026-05-01 'New prices' --link https://shop.example`
    """
    given = _made(Annotation, annotation_id=annotation_id, at=at, text=text, link=link)
    kept: list[Annotation] = []

    def put(before: Definitions, one: Annotation) -> Definitions:
        after, annotation_id = notes.add_annotation(before, one)
        kept.append(after.annotations[annotation_id])
        return after

    _define(project, data, put, given)
    one = kept[-1]
    _say_kept(one, as_json, f"Annotation {one.annotation_id}: {one.at} {one.text}")


@annotations.command("delete")
def delete_annotation(
    annotation_id: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    project: ProjectName = None,
    data: Data = None,
) -> None:
    """Delete an annotation.

    Example: `threadline annotation delete note_5fK2bQx0Za`
    """
    _define(project, data, notes.delete_annotation, annotation_id)
    typer.echo(f"Annotation {annotation_id} is deleted.")


# -- inside -------------------------------------------------------------------------------------


@contextmanager
def _defined(
    project: str | None, data: str | None
) -> Iterator[tuple[Control, Project, Definitions]]:
    with open_control(data) as control:
        chosen = chosen_project(control, project)
        yield control, chosen, control.definitions(chosen.project_id)


def _define(
    project: str | None,
    data: str | None,
    change: Callable[[Definitions, Any], Definitions],
    to: Any,
) -> None:
    with _defined(project, data) as (control, chosen, _):
        control.define(chosen.project_id, lambda before: change(before, to))


def _made(kind: type[Any], **fields: str) -> Any:
    """Raises `InvalidPayload` for what is too long."""
    for name, value in fields.items():
        check_text(name, value)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidPayload(str(error).replace("`", "").replace("$.", "") + ".") from None


def _say_kept(one: msgspec.Struct, as_json: bool, said: str) -> None:
    typer.echo(_json(one) if as_json else said)


def _json(found: object) -> str:
    return json.dumps(msgspec.to_builtins(found), ensure_ascii=False)


def _list(there: Mapping[str, msgspec.Struct], as_json: bool, makes: str) -> None:
    if as_json:
        typer.echo(_json(list(there.values())))
        return
    if not there:
        typer.echo(f"None yet; `threadline {makes}` makes one.")
        return
    rows = [msgspec.structs.asdict(one) for one in there.values()]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    table, left_out = as_table(names, [_cells(row, names) for row in rows], terminal_width())
    typer.echo(table)
    if left_out:
        typer.echo(f"No room for {', '.join(left_out)}; --json has all.", err=True)


def _cells(row: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [row[name] for name in names]
