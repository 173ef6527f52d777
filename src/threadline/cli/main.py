"""`threadline`: every command, its help, and the one place where errors become a line and an exit
status."""

import sys

import typer

from threadline.cli import demo, doctor, importing, keys, letters, projects, serving, sql, user
from threadline.contract.errors import ThreadlineError
from threadline.control import ControlError
from threadline.http.serve import FolderInUse
from threadline.ingest.lines import FileError
from threadline.ingest.log import LogError
from threadline.migrations import SchemaTooNew
from threadline.settings import SettingsError
from threadline.store import StoreError

EXPECTED = (
    ControlError,
    FileError,
    FolderInUse,
    LogError,
    SchemaTooNew,
    SettingsError,
    StoreError,
    ThreadlineError,
    OSError,
)

app = typer.Typer(
    help="Threadline: analytics that ties anonymous visitors to known users.",
    epilog="Start with `threadline demo`. Every command takes --help.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("serve")(serving.serve)
app.command("demo")(demo.demo)
app.add_typer(projects.app, name="project")
app.add_typer(keys.app, name="key")
app.add_typer(letters.app, name="dead-letter")
app.command("receipts")(letters.list_receipts)
app.command("import")(importing.import_files)
app.command("export")(importing.export_file)
app.command("user")(user.user)
app.command("doctor")(doctor.doctor)
app.command("rebuild")(doctor.rebuild)
app.command("sql")(sql.sql)


def main() -> None:
    """Exit status 0 only on success; what is expected to go wrong is one line on stderr."""
    try:
        app()
    except EXPECTED as error:
        sys.exit(f"threadline: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
