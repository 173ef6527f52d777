"""`threadline`: every command, its help, and the one place where errors become a line and an exit
status."""

import sys
from importlib import import_module
from typing import NamedTuple

try:
    import typer
except ModuleNotFoundError:  # the base install is the SDK
    sys.exit("threadline: The server is not installed; `pip install 'threadline[server]'` does it.")


class Command(NamedTuple):
    """Where a command is. One that has commands of its own is a Typer app called `app`."""

    module: str
    function: str = "app"


COMMANDS = {
    "serve": Command("serving", "serve"),
    "demo": Command("demo", "demo"),
    "project": Command("projects"),
    "key": Command("keys"),
    "dead-letter": Command("letters"),
    "receipts": Command("letters", "list_receipts"),
    "import": Command("importing", "import_files"),
    "export": Command("importing", "export_file"),
    "user": Command("user", "user"),
    "classify": Command("classifying", "classify"),
    "rules": Command("rules"),
    "reclassify": Command("reclassifying", "reclassify"),
    "doctor": Command("doctor", "doctor"),
    "rebuild": Command("rebuilding", "rebuild"),
    "sql": Command("sql", "sql"),
}


def create_cli(commands: dict[str, Command]) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        help="Threadline: analytics that ties anonymous visitors to known users.",
        epilog="Start with `threadline demo`. Every command takes --help.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        callback=lambda: None,
    )
    for name, command in commands.items():
        found = getattr(import_module(f"threadline.cli.{command.module}"), command.function)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def main() -> None:
    """Exit status 0 only on success; what is expected to go wrong is one line on stderr."""
    # A server takes half a second to import; who makes a key need not wait for it.
    named = {name: COMMANDS[name] for name in sys.argv[1:2] if name in COMMANDS}
    try:
        create_cli(named or COMMANDS)()
    except Exception as error:
        from threadline.cli.expected import EXPECTED

        if not isinstance(error, EXPECTED):
            raise
        message = str(error)
        if isinstance(error, OSError) and error.filename:
            message = f"{error.filename}: {error.strerror}"
        sys.exit(f"threadline: {' '.join(message.split())}")


if __name__ == "__main__":
    main()
