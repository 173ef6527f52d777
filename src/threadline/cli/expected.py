"""What is expected to go wrong: its message is all that a user needs to know."""

import sqlite3
from typing import Any

import typer
from typer.exceptions import TyperException

from threadline.backup.manifest import BackupError
from threadline.classify import RulesError
from threadline.cli import folders
from threadline.cli.help import name
from threadline.contract.errors import ApiError
from threadline.control import ControlError
from threadline.enrich import CountryFileError
from threadline.http.listen import CannotListen
from threadline.ingest.lines import FileError
from threadline.ingest.log import LogError
from threadline.jobs import JobError
from threadline.migrations import SchemaError
from threadline.runtime.folder import FolderInUse, ServerStarting
from threadline.settings_files import SettingsError
from threadline.store import StoreError

EXPECTED = (
    BackupError,
    CannotListen,
    ControlError,
    CountryFileError,
    FileError,
    FolderInUse,
    JobError,
    LogError,
    RulesError,
    SchemaError,
    ServerStarting,
    SettingsError,
    StoreError,
    ApiError,
    folders.FolderError,
)


def message(error: Exception) -> tuple[str, int] | None:
    """One line and the exit status, or nothing for what is not expected."""
    if isinstance(error, TyperException):
        return _of_usage(error), error.exit_code
    if isinstance(error, EXPECTED):
        said = str(error)
    elif isinstance(error, sqlite3.DatabaseError):
        said = f"A file of the data folder does not answer: {error}; threadline doctor says more"
    elif isinstance(error, OSError):
        said = _of_system(error)
    else:
        return None
    return f"threadline: {' '.join(said.split())}{_where(said)}", 1


def _of_system(error: OSError) -> str:
    folder = folders.shown(folders.used[0][0]) if folders.used else "the data folder"
    if isinstance(error, ConnectionRefusedError) and folders.used:
        return str(ServerStarting(folders.used[0][0]))
    if isinstance(error, ConnectionError):
        return f"The server on {folder} went away meanwhile; its log says why."
    if isinstance(error, TimeoutError):
        return f"The server on {folder} does not answer in time; its log says why."
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _where(said: str) -> str:
    """The folder that was meant, unless the message names it."""
    return "".join(
        f" (data folder {folders.shown(folder)})"
        for folder, _ in folders.used
        if folders.shown(folder) not in said
    )


def _of_usage(error: Any) -> str:
    """A command that was not written as it has to be. Empty: its help was printed instead."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    help = f" See {context.command_path} --help." if context else ""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    if type(error).__name__ == "MissingParameter" and parameter:
        said = f"{name(parameter)} is missing."
    elif type(error).__name__ == "NoSuchOption":
        near = " or ".join(sorted(error.possibilities or []))
        said = f"There is no option {error.option_name}{f'; did you mean {near}?' if near else '.'}"
    elif isinstance(error, typer.BadParameter) and parameter:
        said = f"{parameter.opts[0]}: {_wrong(parameter, error.message)}."
    else:
        said = error.format_message()
    return f"threadline: {' '.join(said.split())}{help}"


def _wrong(parameter: Any, said: str) -> str:
    if parameter.bare_type() == "int":
        upto = f" to {parameter.max}" if parameter.max is not None else " or more"
        limits = f", {parameter.min}{upto}" if parameter.min is not None else ""
        return f"write a whole number{limits}"
    return said.rstrip(".")
