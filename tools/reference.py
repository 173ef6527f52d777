"""Writes what the documentation takes from the code: the table of `docs/settings.md`, the whole of
`docs/cli.md`, the tables of `identity-tables.md`, `limits.md` and `metrics.md`, and the list of
pages in `index.md`.

    make reference                       writes both
    python -m tools.reference --check    fails, and says so, where one is not what it would write
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.main import get_command

from threadline.cli import help
from threadline.cli.main import COMMANDS, create_cli
from threadline.settings import Settings
from threadline.settings_files import PREFIX
from tools import identity_tables, limits
from tools.site import markdown

DOCS = Path(__file__).parents[1] / "docs"
BEGIN = "<!-- generated from {source} by `make reference` -->"
END = "<!-- end of what is generated -->"
CLI_INTRO = """\
<!-- generated from src/threadline/cli by `make reference` -->

# The command line

What `--help` says of every command, on one page. `[OPTIONS]` may stand anywhere behind the command.
The exit status is 0 only on success; what goes wrong is one line on standard error. What may be
relied on, the shapes of `--json` among it, is in [stability](stability.md).
"""


def main() -> None:
    """Write the files, or with `--check` compare them."""
    stale = []
    for path, text in documents():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
            print(f"Wrote docs/{path.name}.")
    if stale and "--check" in sys.argv[1:]:
        names = " and ".join(f"docs/{name}" for name in stale)
        sys.exit(f"The code says something else than {names}; run `make reference`.")


def documents() -> Iterator[tuple[Path, str]]:
    """Each file, and what it has to hold."""
    for name, source, made in PARTS:
        path = DOCS / name
        yield path, with_made(path.read_text(), BEGIN.format(source=source), made())
    yield DOCS / "cli.md", cli_page()


def with_made(page: str, begin: str, made: str) -> str:
    """The page with what is made today between its marks; the words around it stay."""
    before, rest = page.split(begin)
    _, after = rest.split(END, 1)
    return f"{before}{begin}\n\n{made}\n\n{END}{after}"


def settings_table() -> str:
    """All settings, in their order in the code."""
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    rows = [
        (f"`{PREFIX}{name.upper()}`", _taken(said), _default(said), _linked(said["description"]))
        for name, said in schema.items()
    ]
    return _table(("variable", "takes", "default", "what it does"), rows)


def _taken(schema: dict[str, Any]) -> str:
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "string":
        return "text"
    if "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return f"{schema['minimum']} or more"


def _default(schema: dict[str, Any]) -> str:
    value = schema["default"]
    return "(empty)" if value == "" else f"`{str(value).lower()}`"


def cli_page() -> str:
    """Every command with its help, arguments and options, in the order of `threadline --help`."""
    root: Any = get_command(create_cli(COMMANDS))
    parts = [CLI_INTRO]
    for purpose in dict.fromkeys(command.purpose for command in COMMANDS.values()):
        parts.append(f"## {purpose}\n")
        for name, command in COMMANDS.items():
            if command.purpose == purpose:
                parts += _command(f"threadline {name}", root.commands[name], 3)
    return "\n".join(parts)


def _command(path: str, command: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}\n"
    yield from (f"{_paragraph(text)}\n" for text in re.split(r"\n\s*\n", command.help.strip()))
    commands = getattr(command, "commands", None)
    if commands is None:
        yield f"Usage: `{help.usage(path, command.params)}`\n"
        yield _parameters(command.params) + "\n"
        return
    if any("--help" not in param.opts for param in command.params):  # it does something by itself
        yield f"Usage: `{help.usage(path, command.params)}`\n"
        yield _parameters(command.params) + "\n"
    for name, below in commands.items():
        yield from _command(f"{path} {name}", below, level + 1)


def _parameters(params: list[Any]) -> str:
    rows = [*help.arguments(params), *help.options(params)]
    return _table(
        ("argument or option", "meaning"),
        [(f"`{called}`", _escaped(meaning)) for called, meaning in rows if called != "--help"],
    )


def _paragraph(text: str) -> str:
    return _linked(_escaped(" ".join(text.split())))


def _escaped(text: str) -> str:
    """What is no code and would be read as Markdown: stars, mostly of addresses."""
    parts = text.split("`")
    return "`".join(
        part if at % 2 else re.sub(r"([*<])", r"\\\1", part) for at, part in enumerate(parts)
    )


def _linked(text: str) -> str:
    """With pages that are named by their path as links."""
    return re.sub(r"docs/([\w-]+)\.md", r"[\1](\1.md)", text)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


# What stands between marks: in which page, what it is made from, and by what.
PARTS = (
    ("settings.md", "src/threadline/settings.py", settings_table),
    ("identity-tables.md", "tests/vectors", identity_tables.tables),
    ("index.md", "tools/site/nav.py", markdown.listing),
    ("limits.md", "the code", limits.limits),
    ("metrics.md", "src/threadline/metrics.py", limits.metrics),
)

if __name__ == "__main__":
    main()
