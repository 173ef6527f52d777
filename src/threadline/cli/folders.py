"""Which data folder a command works on, and whether it may."""

import os
import pwd
import shlex
import sys
from pathlib import Path

from threadline import settings
from threadline.backup.mark import is_unfinished
from threadline.settings import Settings

# What is said of a folder that has not what a command needs to find there.
WITHOUT = {"control.db": "holds no data of Threadline", "log.db": "holds no log"}
# The folder and the settings file of this command, for the line that names them.
used: list[tuple[Path, Path | None]] = []


class FolderError(Exception):
    """The folder is not there, or not this user's; the message says what to do."""


def load(
    data: str | None,
    needs: str | None = "control.db",
    host: str | None = None,
    port: int | None = None,
) -> Settings:
    """The settings of a command that works on the folder they name.

    `needs`: the file that has to be there already; None only where a new folder may be made.
    Raises `SettingsError` and `FolderError`.
    """
    chosen = settings.load(data=data, host=host, port=port)
    folder = Path(chosen.data)
    used[:] = [(folder, settings.file_read(data=data))]
    check_owner(folder)
    if is_unfinished(folder):
        raise FolderError(
            f"A restore into {shown(folder)} was interrupted, or is under way. The same threadline"
            " restore command does it."
        )
    if needs is not None and not (folder / needs).exists():
        there = "" if folder.exists() else "does not exist, so it "
        raise FolderError(
            f"The folder {shown(folder)} {there}{WITHOUT[needs]}. Name the data folder with --data,"
            " or start with threadline project create NAME."
        )
    return chosen


def check_owner(folder: Path) -> None:
    """Another user's files in the folder would lock its server out. Raises `FolderError`."""
    uid = _owner(folder)
    if uid is not None and uid != os.geteuid():
        raise FolderError(
            f"The folder {shown(folder)} belongs to {name_of(uid)}. Run it as the folder's owner:"
            f" {as_owner(uid)}"
        )


def as_owner(uid: int) -> str:
    """This very command, as that user would give it."""
    user = name_of(uid)
    user = user if user != f"user {uid}" else f"'#{uid}'"
    return f"sudo -u {user} {shlex.join(['threadline', *sys.argv[1:]])}"


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
        raise FolderError(
            f"{shown(folder)} may not be looked at by this user. Run it as the folder's owner:"
            " sudo -u OWNER threadline …"
        ) from None
