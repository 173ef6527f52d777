"""`threadline`: every command, its help, and the one place where errors become a line and an exit
status."""

import os
import sys
from importlib import import_module
from typing import NamedTuple

try:
    import typer
except ModuleNotFoundError:  # the base install is the SDK
    from threadline import __version__
    from threadline.cli.platforms import why_not_installed

    if sys.argv[1:] == ["--version"]:
        print(f"threadline {__version__}")
        sys.exit()
    sys.exit(f"threadline: {why_not_installed()}")

# What others on this machine may do with a file that a command makes: nothing.
UMASK = 0o077


class Command(NamedTuple):
    """What it is for, what it does in a line, and where it is. One that has commands of its own is
    a Typer app, `app`."""

    purpose: str
    does: str
    module: str
    function: str = "app"


COMMANDS = {
    "serve": Command("Run", "Run the server.", "serving", "serve"),
    "demo": Command("Run", "Start a server filled with realistic sample events.", "demo", "demo"),
    "mcp": Command("Run", "Let an AI agent on this machine ask questions (MCP).", "mcp", "mcp"),
    "project": Command("Run", "Sites and products, each with events of its own.", "project_files"),
    "key": Command("Run", "API keys: create, list, revoke, rotate.", "keys"),
    "dashboard": Command("Run", "Who may sign in, and sign-in links.", "dashboard"),
    "import": Command("Data", "Import events from files, or undo an import.", "undoing"),
    "export": Command("Data", "Export stored events to a file.", "exporting", "export_file"),
    "backup": Command("Data", "Back up the data folder while it is in use.", "backing_up"),
    "restore": Command(
        "Data", "Restore a backup into a new data folder.", "restoring", "restore_folder"
    ),
    "migrate-control": Command(
        "Data",
        "Move projects and keys to PostgreSQL, or back.",
        "moving_control",
        "migrate_control",
    ),
    "migrate-store": Command(
        "Data", "Move all events to another store.", "moving", "migrate_store"
    ),
    "shard": Command("Data", "Add shards to the cluster that holds the events.", "shards"),
    "rates": Command("Data", "Exchange rates, for totals in one currency.", "rates"),
    "rules": Command("Data", "A project's own rules for where visits come from.", "rules"),
    "reclassify": Command(
        "Data", "Apply today's source rules to stored events.", "reclassifying", "reclassify"
    ),
    "retention": Command("Data", "How long events are kept; delete what is too old.", "retention"),
    "forget": Command(
        "Data", "Delete everything about a person or device.", "forgetting", "forget"
    ),
    "person": Command("Data", "Export everything stored about a person.", "person"),
    "receipts": Command(
        "Data", "Requests to forget people, and their progress.", "jobs", "list_receipts"
    ),
    "ask": Command("Ask", "Ask any question of the API.", "asking", "ask"),
    "user": Command("Ask", "Show one user's first touch and journey.", "user", "user"),
    "sql": Command("Ask", "Query events with SQL.", "sql", "sql"),
    "segment": Command(
        "Ask", "Named groups of people, defined by filters.", "defining", "segments"
    ),
    "goal": Command("Ask", "Named conversions.", "defining", "goals"),
    "annotation": Command(
        "Ask", "Dated notes, shown with every time series.", "defining", "annotations"
    ),
    "classify": Command(
        "Ask", "Say where a visit would come from, and why.", "classifying", "classify"
    ),
    "jobs": Command("Maintain", "Long-running work, and its progress.", "jobs"),
    "doctor": Command(
        "Maintain", "Check everything that is known to go wrong.", "doctor", "doctor"
    ),
    "upgrade": Command(
        "Maintain", "Upgrade the data folder to this version.", "upgrading", "upgrade"
    ),
    "rebuild": Command("Maintain", "Recompute links and first touches.", "rebuilding", "rebuild"),
    "node": Command("Maintain", "Threadline servers that write into one store.", "nodes"),
    "dead-letter": Command("Maintain", "Events that the store refused.", "dead_letters"),
}
# They run long enough for their log to matter, and the servers set it up themselves.
SERVERS = ("serve", "demo", "mcp")
LOGGING = ("import",)


def create_cli(commands: dict[str, Command], only_named: bool = False) -> typer.Typer:
    """The command line with these commands. `only_named`: for a list of them, none can be run."""
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
        if only_named:
            app.command(name, short_help=command.does, rich_help_panel=command.purpose)(_options)
            continue
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
    # Nor need who asks what there is.
    only_named = not arguments or arguments in (["--help"], ["--version"])
    try:
        status = create_cli(named or COMMANDS, only_named)(standalone_mode=False)
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
