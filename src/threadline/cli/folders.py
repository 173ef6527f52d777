"""Which data folder a command works on, and whether it may."""

import os
import pwd
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from threadline import settings, settings_files, settings_given
from threadline.backup.mark import is_unfinished
from threadline.settings import Settings

# What is said of a folder that has not what a command needs to find there.
WITHOUT = {"control.db": "holds no data of Threadline", "log.db": "holds no log"}
WAY_OUT = (
    "Name the data folder with --data, THREADLINE_DATA or data = … in"
    f" {settings_files.SYSTEM_FILE}, or make one: threadline serve."
)
# The folder and the settings file of this command, for the line that names them.
used: list[tuple[Path, Path | None]] = []


class FolderError(Exception):
    """The folder is not there, or not this user's; the message says what to do."""


def load(
    data: str | None,
    needs: str | None = "control.db",
    host: str | None = None,
    port: int | None = None,
    may_begin: bool = False,
) -> Settings:
    """The settings of a command that works on the folder they name.

    `needs`: the file that has to be there already; None only where a new folder may be made.
    `may_begin`: the folder may be made even if nobody has named it.
    Raises `SettingsError` and `FolderError`.
    """
    chosen = settings_given.load(data=data, host=host, port=port)
    folder = Path(chosen.data)
    used[:] = [(folder, settings_given.file_read(data=data))]
    check_owner(folder)
    if is_unfinished(folder):
        raise FolderError(
            f"A restore into {shown(folder)} was interrupted, or is under way. The same threadline"
            " restore command does it."
        )
    of_control = needs == settings.DEFAULTS.control
    if needs and (chosen.control_is_missing if of_control else not (folder / needs).exists()):
        there = "" if folder.exists() else "does not exist, so it "
        raise FolderError(f"The folder {shown(folder)} {there}{WITHOUT[needs]}. {WAY_OUT}")
    if not may_begin and not folder.exists() and not settings_given.names_folder(data=data):
        used.clear()
        raise FolderError(f"No data folder is named, and there is none here. {WAY_OUT}")
    return chosen


def check_owner(folder: Path) -> None:
    """Another user's files in the folder would lock its server out. Raises `FolderError`."""
    uid = _owner(folder)
    if uid is not None and uid != os.geteuid():
        raise FolderError(
            f"The folder {shown(folder)} belongs to {name_of(uid)}. Run it as the folder's owner:"
            f" {as_owner(uid, folder)}"
        )


def as_owner(uid: int, folder: Path) -> str:
    """This very command, as that user would give it: sudo leaves variables behind."""
    user = name_of(uid)
    user = user if user != f"user {uid}" else f"'#{uid}'"
    arguments = sys.argv[1:]
    if not any(each.partition("=")[0] == "--data" for each in arguments):
        arguments = [*arguments, "--data", str(folder.absolute())]
    return f"sudo -u {user} {shlex.join(['threadline', *arguments])}"


def name_of(uid: int) -> str:
    """The user's name, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def shown(folder: Path) -> str:
    """`./threadline-data`: that it is relative has to be seen."""
    return str(folder) if folder.is_absolute() else f"./{folder}"


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except FileNotFoundError:
        return None
    except PermissionError:
        uid = owner_of_closed(folder)
        raise FolderError(
            f"{shown(folder)} cannot be read by this user. Run it as the folder's owner:"
            f" {as_owner(uid, folder)}"
        ) from None


def owner_of_closed(folder: Path) -> int:
    """Whose the folder is that keeps this user from looking at this one."""
    for parent in folder.absolute().parents:
        with suppress(PermissionError):
            return parent.stat().st_uid
    return 0
