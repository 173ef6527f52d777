"""`threadline`: every command, its help, and the one place where errors become a line and an exit
status."""

import os
import sys
from importlib import import_module
from typing import NamedTuple

try:
    import typer
except ModuleNotFoundError:  # the base install is the SDK
    how = "in a clone, `pip install '.[server]'` does it"
    sys.exit(f"threadline: The server is not installed; {how}.")

# What others on this machine may do with a file that a command makes: nothing.
UMASK = 0o077


class Command(NamedTuple):
    """What it is for, and where it is. One that has commands of its own is a Typer app, `app`."""

    purpose: str
    module: str
    function: str = "app"


COMMANDS = {
    "serve": Command("Run", "serving", "serve"),
    "demo": Command("Run", "demo", "demo"),
    "project": Command("Run", "project_files"),
    "key": Command("Run", "keys"),
    "dashboard": Command("Run", "dashboard"),
    "import": Command("Data", "undoing"),
    "export": Command("Data", "exporting", "export_file"),
    "backup": Command("Data", "backing_up"),
    "restore": Command("Data", "restoring", "restore_folder"),
    "rates": Command("Data", "rates"),
    "rules": Command("Data", "rules"),
    "reclassify": Command("Data", "reclassifying", "reclassify"),
    "receipts": Command("Data", "jobs", "list_receipts"),
    "ask": Command("Ask", "asking", "ask"),
    "user": Command("Ask", "user", "user"),
    "sql": Command("Ask", "sql", "sql"),
    "segment": Command("Ask", "defining", "segments"),
    "goal": Command("Ask", "defining", "goals"),
    "annotation": Command("Ask", "defining", "annotations"),
    "classify": Command("Ask", "classifying", "classify"),
    "jobs": Command("Mend", "jobs"),
    "doctor": Command("Mend", "doctor", "doctor"),
    "rebuild": Command("Mend", "rebuilding", "rebuild"),
    "dead-letter": Command("Mend", "dead_letters"),
}
# They run long enough for their log to matter, and the servers set it up themselves.
SERVERS = ("serve", "demo")
LOGGING = ("import",)


def create_cli(commands: dict[str, Command]) -> typer.Typer:
    """The command line with these commands."""
    from threadline.cli import help

    app = typer.Typer(
        cls=help.Commands,
        help="Threadline: analytics that ties anonymous visitors to known users.",
        epilog="Start with `threadline demo`. Every command takes --help. Times are UTC.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        callback=_options,
    )
    for name, command in commands.items():
        found = getattr(import_module(f"threadline.cli.{command.module}"), command.function)
        if isinstance(found, typer.Typer):
            app.add_typer(
                help.with_our_help(found),
                name=name,
                cls=found.info.cls if isinstance(found.info.cls, type) else help.Commands,
                rich_help_panel=command.purpose,
            )
        else:
            app.command(name, cls=help.Command, rich_help_panel=command.purpose)(found)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from threadline import __version__

        typer.echo(f"threadline {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Exit status 0 only on success; what is expected to go wrong is one line on stderr."""
    os.umask(UMASK)
    arguments = sys.argv[1:]
    # A server takes half a second to import; who makes a key need not wait for it.
    named = {name: COMMANDS[name] for name in arguments[:1] if name in COMMANDS}
    if named and arguments[0] not in SERVERS:
        _log(arguments[0] in LOGGING)
    only_version = arguments == ["--version"]
    try:
        status = create_cli(named or ({} if only_version else COMMANDS))(standalone_mode=False)
    except Exception as error:
        from threadline.cli.expected import message

        expected = message(error)
        if expected is None:
            raise
        said, status = expected
        if said:
            print(said, file=sys.stderr)
        sys.exit(status)
    _name_folder(arguments)
    sys.exit(status)


def _log(aloud: bool) -> None:
    """What goes wrong in the store ends most commands with an error: once is enough."""
    import logging

    from threadline.runtime.logs import log_to_stderr

    log_to_stderr(logging.ERROR if aloud else logging.CRITICAL)


def _name_folder(arguments: list[str]) -> None:
    """There may be several on a machine, and the wrong one gives plausible answers. Programs that
    read JSON know what they asked."""
    from threadline.cli.folders import shown, used

    for folder, file in used if "--json" not in arguments else []:
        settings = f", settings from {file}" if file else ""
        print(f"(data folder {shown(folder)}{settings})", file=sys.stderr)


if __name__ == "__main__":
    main()
