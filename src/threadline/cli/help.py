"""What `--help` prints: plain lines that fit a narrow terminal, and nothing of Python."""

import re
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

WIDEST = 100
# What stands for an option's value, by its type; else the option's own name does.
VALUES = {"int": "N", "float": "N", "Path": "FILE"}

Rows = list[tuple[str, str]]


class Command(TyperCommand):
    """A command that prints our help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _print(
            usage(ctx.command_path, self.params),
            self.help or "",
            {"Arguments": arguments(self.params), "Options": options(self.params)},
        )


class Commands(TyperGroup):
    """A group of commands that prints our help, by what they are for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, Rows] = {}
        for called, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None) or "Commands"
            does = command.short_help or _first_sentence(command.help or "")
            sections.setdefault(title, []).append((called, does))
        text = "\n\n".join(part for part in (self.help, self.epilog) if part)
        sections["Options"] = options(self.params)
        _print(f"{ctx.command_path} COMMAND [OPTIONS]", text, sections)


class Defaulting(Commands):
    """A group whose `default` is meant where no command of its own is named."""

    default = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def with_our_help(app: typer.Typer) -> typer.Typer:
    """The same application, whose commands print their help so."""
    for info in app.registered_commands:
        info.cls = Command
    return app


def name(param: Any) -> str:
    """`USER_ID`, `FILE...`, `--limit N`: a parameter as one writes it."""
    if isinstance(param, TyperArgument):
        called = (param.metavar or param.name.upper()).rstrip("….")
        return called if param.nargs == 1 else f"{called}..."
    written = ", ".join(sorted(param.opts, key=len))
    if param.is_flag:
        return written
    kind = param.bare_type()
    return f"{written} {param.metavar or VALUES.get(kind) or param.opts[0].strip('-').upper()}"


def usage(path: str, params: list[Any]) -> str:
    """`threadline user USER_ID [OPTIONS]`: a command as one writes it."""
    shown = [param for param in params if isinstance(param, TyperArgument)]
    written = [name(param) if param.required else f"[{name(param)}]" for param in shown]
    return " ".join([path, *written, "[OPTIONS]"])


def arguments(params: list[Any]) -> Rows:
    """Each argument of a command, and what it is."""
    return [(name(param), param.help or "") for param in params if isinstance(param, TyperArgument)]


def options(params: list[Any]) -> Rows:
    """Each option of a command, and what it does, with bounds and default."""
    shown = [param for param in params if isinstance(param, TyperOption) and not param.hidden]
    rows = [(name(param), _meaning(param)) for param in shown]
    return [*rows, ("--help", "Show this text.")]


def _meaning(param: TyperOption) -> str:
    parts = [param.help or ""]
    if param.min is not None:
        upto = f" to {param.max:,}" if param.max is not None else " or more"
        parts.append(f"{param.min}{upto}.")
    if param.required:
        parts.append("Required.")
    elif param.default not in (None, False, "", []) and not callable(param.default):
        parts.append(f"Default: {param.default}.")
    return " ".join(parts)


def _print(usage: str, text: str, sections: dict[str, Rows]) -> None:
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    console.print(Text.assemble("Usage: ", (usage, "bold")), soft_wrap=True)
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        console.print()
        # An example is there to be copied, so no line of it is broken.
        console.print(_words(paragraph), soft_wrap=paragraph.lstrip().startswith("Example:"))
    width = max(len(called) for rows in sections.values() for called, _ in rows)
    for title, rows in sections.items():
        if not rows:
            continue
        table = Table.grid(padding=(0, 2))
        table.add_column(width=width, no_wrap=True)
        table.add_column()
        for called, meaning in rows:
            table.add_row(Text(called, style="cyan"), _words(meaning))
        console.print()
        console.print(Text(title, style="bold"))
        console.print(Padding(table, (0, 0, 0, 2)))


def _words(markdown: str) -> Text:
    """Lines joined; what stands in backticks is bold."""
    parts = re.split(r"`([^`]+)`", " ".join(markdown.split()))
    return Text.assemble(*((part, "bold" if at % 2 else "") for at, part in enumerate(parts)))


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph)[0]
