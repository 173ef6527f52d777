"""`threadline ask`: any question of the API, with its answer as a table."""

import difflib
import json
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threadline.cli import folders
from threadline.cli.ask import Answer, questions
from threadline.cli.options import AsJson, Data, ProjectName, check_text
from threadline.cli.table import as_table, terminal_width
from threadline.control import ControlError
from threadline.questions.question import Question
from threadline.questions.registry import QUESTIONS

# It has a command of its own, which writes files.
BY_PATH = {question.path: name for name, question in QUESTIONS.items()}
LISTED = {name: question for name, question in QUESTIONS.items() if name != "export"}


def ask(
    name: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="Leave it out to list them.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="PARAM=VALUE…", help="As in the query string of the API."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--params", help="List the parameters of the question.")
    ] = False,
    project: ProjectName = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Ask any question of the API and print the answer as a table.

    Without a question, lists all of them; with --params, lists the parameters of one. Works whether
    the server runs or not. Days begin in the project's time zone, else in UTC, unless tz says
    otherwise.

    Example: `threadline ask funnel steps='$pageview,signup' window=30d`
    """
    if name is None:
        _define([(name, question.summary) for name, question in LISTED.items()])
        return
    question = _known(name)
    if explain:
        _define(_params(question))
        return
    params = _read(given or [])
    # An empty part of a path would make it another question's.
    empty = [part for part in question.in_path if params.get(part) == ""]
    missing = [part for part in _required(question) if part not in params] + empty
    if missing:
        raise ControlError(
            f"{name} needs {missing[0]}: write {missing[0]}=…; threadline ask {name} --params says"
            " what else it takes."
        )
    with questions(folders.load(data), project) as asked:
        answer = asked.ask(question.name, params)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    _show(answer)


def _known(name: str) -> Question:
    """Raises `ControlError` for a question that there is not."""
    plain = BY_PATH.get(name, name.replace("-", "_"))
    if plain in LISTED:
        return LISTED[plain]
    if plain == "export":
        raise ControlError("Events into a file: threadline export --help.")
    near = difflib.get_close_matches(plain, LISTED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(LISTED)}."
    raise ControlError(f"There is no question {name}; {hint}")


def _read(given: list[str]) -> dict[str, object]:
    params: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ControlError(f"{text}: write PARAM=VALUE, such as limit=10.")
        check_text(name, value)
        if name in params:
            raise ControlError(f"{name} is given twice; give it once.")
        params[name] = value
    return params


def _schema(question: Question) -> Answer:
    (_,), components = msgspec.json.schema_components(
        [question.params], schema_hook=lambda kind: {"type": "string"}
    )
    schema: Answer = components[question.params.__name__]
    return schema


def _required(question: Question) -> list[str]:
    required: list[str] = _schema(question).get("required", [])
    return required


def _params(question: Question) -> list[tuple[str, str]]:
    """Each parameter and what it says of itself."""
    required = _required(question)
    return [
        (
            f"{name} (required)" if name in required else name,
            " ".join(filter(None, [_description(part), question.notes.get(name)])),
        )
        for name, part in _schema(question)["properties"].items()
    ]


def _description(schema: Answer) -> str:
    parts = [schema, *schema.get("anyOf", [])]
    said = [part["description"] for part in parts if "description" in part]
    words = [word for part in parts for word in part.get("enum", [])]
    return " ".join([*said, *([" or ".join(words) + "."] if words else [])])


def _show(answer: Answer) -> None:
    """Rows as a table, what else the answer says above them, and below what there is to know."""
    notes = answer.pop("warnings", [])
    rows = answer.pop("rows", None)
    said = _flat({name: value for name, value in answer.items() if not _is_rows(value)})
    if rows is None:
        _define(list(said.items()))
    elif said := {name: value for name, value in said.items() if value not in ("", "[]")}:
        typer.echo("   ".join(f"{name}: {value}" for name, value in said.items()) + "\n")
    for name, value in answer.items():
        if _is_rows(value):
            typer.echo(f"\n{name}")
            _print_rows(value)
    if rows is not None:
        _print_rows(rows)
    console = Console(stderr=True, highlight=False)
    for note in notes:
        console.print(note["message"], markup=False)


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _print_rows(rows: list[Answer]) -> None:
    """Rows that hold rows, such as a funnel's steps, are a table of their own below, each line with
    the group that it belongs to."""
    if not rows:
        typer.echo("No rows.")
        return
    inner = [name for name, value in rows[0].items() if _is_rows(value)]
    plain = [{name: row[name] for name in row if name not in inner} for row in rows]
    says_more = not inner or plain != [_group(row) for row in rows]
    if says_more:
        _print_table(plain)
    for name in inner:
        if says_more:
            typer.echo(f"\n{name}")
        _print_table([_group(row) | part for row in rows for part in row[name]])


def _group(row: Answer) -> Answer:
    """What a row is about."""
    return {name: value for name, value in row.items() if isinstance(value, str)}


def _print_table(rows: list[Answer]) -> None:
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    lines = [[row.get(name, "") for name in names] for row in flat]
    table, left_out = as_table(names, lines, terminal_width())
    typer.echo(table)
    if left_out:
        hint = f"No room for {', '.join(left_out)}; --json has all."
        Console(stderr=True, highlight=False).print(hint, markup=False)


def _flat(row: Answer, before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = _cell(value)
    return flat


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.2f}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _define(terms: list[tuple[str, str]]) -> None:
    """Names and what they are, wrapped where the line ends."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, meaning in terms:
        table.add_row(Text(name), Text(meaning))
    Console(highlight=False).print(table)
