"""What `docs/stability.md` promises is what there is: a name that went away or came is noticed."""

import json
import re
from pathlib import Path
from typing import Any

from typer.main import get_command

import threadline
from tests.cli.test_commands import ok
from tests.support import ROOT, Json, Project, Server
from threadline.cli.main import COMMANDS, create_cli
from threadline.contract import errors
from threadline.control.others import Node
from threadline.ingest.dead_letters import DeadLetter
from threadline.questions import sql_tables

PAGE = (ROOT / "docs" / "stability.md").read_text()
METHODS = {"get", "post", "put", "delete", "patch"}


def part(title: str) -> str:
    """The words under a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def table(title: str) -> list[list[str]]:
    rows = re.findall(r"^\| (`.+) \|$", part(title), flags=re.MULTILINE)
    return [row.split(" | ") for row in rows]


JSON_OF = {code(command)[0]: printed for command, printed in table("The command line")}


def test_routes(project: Project) -> None:
    promised = {
        (route, method)
        for routes, methods in table("HTTP")
        for route in code(routes)
        for method in methods.lower().split(", ")
    }
    paths = project.send("GET", "/openapi.json").json["paths"]
    assert promised == {(path, name) for path in paths for name in METHODS & set(paths[path])}


def test_error_codes() -> None:
    (lines,) = [text for text in part("HTTP").split("\n\n") if text.startswith("400 ")]
    promised = {
        (int(status), name)
        for status, names in re.findall(r"(\d{3}) ([^;.]+)", lines)
        for name in code(names)
    }
    found = errors.ApiError.__subclasses__()
    assert promised == {(error.status, error.code) for error in found}


def test_python_names() -> None:
    (names,) = [text for text in part("Python").split("\n\n") if text.startswith("`")]
    assert code(names) == threadline.__all__


def test_columns_of_sql() -> None:
    parts = [code(text) for text in part("SQL").split("\n\n") if text.startswith("`")]
    promised = {table: tuple(columns) for table, *columns in parts if table in sql_tables.COLUMNS}
    assert promised == sql_tables.COLUMNS


def test_commands_with_json() -> None:
    root: Any = get_command(create_cli(COMMANDS))
    assert set(JSON_OF) == set(with_json("threadline", root))


def with_json(path: str, command: Any) -> list[str]:
    below = getattr(command, "commands", {}).items()
    found = [found for name, each in below for found in with_json(f"{path} {name}", each)]
    return [path, *found] if any("--json" in param.opts for param in command.params) else found


def fields(command: str) -> list[str]:
    """What is promised of a command's objects, in order, up to what it says of other options."""
    return code(JSON_OF[command].partition(":")[2].partition(";")[0])


def test_what_commands_print_as_json(server: Server, project: Project, tmp_path: Path) -> None:
    def printed(command: str, *arguments: str) -> Any:
        folder = ("--data", str(server.folder), "--json")
        return json.loads(ok(*command.split()[1:], *arguments, *folder))

    own = ("--project", project.project_id)
    made = printed("threadline project create", f"of {tmp_path}")
    assert list(made) == fields("threadline project create")
    assert list(printed("threadline project list")[0]) == fields("threadline project list")
    key = printed("threadline key create", "--kind", "sk", *own)
    assert list(key) == fields("threadline key create")
    assert list(printed("threadline key list", *own)[0]) == fields("threadline key list")
    rotated = printed("threadline key rotate", key["prefix"])
    assert list(rotated) == [*fields("threadline key create"), "old"]

    file = tmp_path / "events.ndjson"
    file.write_text('{"event": "signup", "user_id": "u", "anonymous_id": "d"}\n')
    (tried,) = printed("threadline import files", str(file), "--dry-run", *own)
    assert list(tried) == code(JSON_OF["threadline import files"].partition("`--dry-run`:")[2])
    (imported,) = printed("threadline import files", str(file), *own)
    assert list(imported) == fields("threadline import files")

    defined = (
        ("segment", "known", "known==true"),
        ("goal", "g", "x"),
        ("annotation", "2026-05-01", "x"),
    )
    for kind, *given in defined:
        one = printed(f"threadline {kind} set", *given, *own)
        assert printed(f"threadline {kind} list", *own) == [one]
        assert project.ask(f"/v1/{kind}s")["rows"] == [one]
    settings = tmp_path / "settings.yaml"
    settings.write_text("segments:\n  new: did==x\n")
    differing = printed("threadline project import", str(settings), *own)
    assert list(differing) == fields("threadline project import")
    assert list(differing["differences"][0]) == code(
        JSON_OF["threadline project import"].partition(";")[2]
    )

    user: Json = printed("threadline user", "u", *own)
    assert user == {
        "profile": project.ask("/v1/users/u"),
        "journey": project.ask("/v1/users/u/events", limit=50),
    }
    url = "https://shop.example/?utm_source=fb"
    assert printed("threadline classify", url) == project.ask("/v1/classify", url=url)
    rates = tmp_path / "rates.csv"
    rates.write_text("Date,USD\n2026-05-04,1.2\n")
    loaded = printed("threadline rates import", str(rates))
    assert loaded == printed("threadline rates")
    assert list(loaded) == fields("threadline rates")
    assert list(loaded["currencies"][0]) == code(JSON_OF["threadline rates"].partition(";")[2])
    changes = printed("threadline reclassify", "--dry-run", *own)
    assert list(changes) == fields("threadline reclassify")
    project.post("/v1/forget", {"user_id": "u"})
    assert list(printed("threadline receipts")[-1]) == fields("threadline receipts")
    assert list(printed("threadline jobs")[0]) == fields("threadline jobs")
    asked = printed("threadline ask", "sources", *own)
    assert asked == project.ask("/v1/sources")
    assert list(DeadLetter._fields) == fields("threadline dead-letter list")
    assert [*Node._fields, "state"] == fields("threadline node list")
