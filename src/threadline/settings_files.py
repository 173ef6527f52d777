"""Which settings file is read, where several could be.

One is: what `THREADLINE_CONFIG` names, else `threadline.toml` in the working directory, else in the
data folder that was named, else the machine's, else the user's, else that of the data folder which
is taken where none is named. The machine's and the user's are for the folder that they name: who
names another one does not get its port and its store.
"""

import os
import pwd
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from grp import getgrgid
from pathlib import Path
from typing import Any

PREFIX = "THREADLINE_"
# Names the file, so it is no setting of its own.
CONFIG = "THREADLINE_CONFIG"
FILE = "threadline.toml"
DEFAULT_FOLDER = "threadline-data"
SYSTEM_FILE = Path("/etc/threadline") / FILE


class SettingsError(Exception):
    """A setting is unknown or has a wrong value; the message says what to do."""


def find(environ: Mapping[str, str], data: object) -> Path | None:
    """The one file that is read, if any. `data`: the option of the command line.

    Raises `SettingsError` if the one that `THREADLINE_CONFIG` names is not there.
    """
    if named := environ.get(CONFIG):
        try:
            if not Path(named).is_file():
                raise SettingsError(f"{CONFIG}={named}: there is no such file.")
        except PermissionError:
            raise _closed(Path(named)) from None
        return Path(named)
    folder = data or environ.get(f"{PREFIX}DATA")
    own = in_folder(environ, data)
    shared = [path for path in shared_files(environ) if _is_for(path, folder)]
    there = [Path(FILE), own, *shared] if folder else [Path(FILE), *shared, own]
    return next((path for path in there if _is_file(path)), None)


def in_folder(environ: Mapping[str, str], data: object) -> Path:
    """In the folder that is known before a file is read."""
    return Path(str(data or environ.get(f"{PREFIX}DATA") or DEFAULT_FOLDER)) / FILE


def shared_files(environ: Mapping[str, str]) -> list[Path]:
    """The machine's and the user's, whether they are there or not."""
    home, config = environ.get("HOME"), environ.get("XDG_CONFIG_HOME")
    folder = Path(config) if config else Path(home, ".config") if home else None
    return [SYSTEM_FILE, *([folder / "threadline" / FILE] if folder else [])]


def read(path: Path) -> dict[str, Any]:
    """What the file says. Raises `SettingsError` where it cannot be read."""
    try:
        return tomllib.loads(path.read_text())
    except PermissionError:
        raise _closed(path) from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from None


def _is_for(path: Path, folder: object) -> bool:
    """Whether a shared file may count for the folder that was named, if one was. One that this user
    may not read is another's."""
    if not folder or not _is_file(path):
        return True
    if not os.access(path, os.R_OK):
        return False
    named = read(path).get("data")
    return named is None or Path(str(named)).resolve() == Path(str(folder)).resolve()


def _is_file(path: Path) -> bool:
    """What lies in a folder that is closed to this user is not there for them."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def _closed(path: Path) -> SettingsError:
    """The user that it is meant for has the name of its group, or owns it."""
    status = _first_seen(path)
    try:
        user = pwd.getpwnam(getgrgid(status.st_gid).gr_name).pw_name
    except KeyError:
        user = f"'#{status.st_uid}'"
    return SettingsError(
        f"{path} may not be read by this user. Run the command as the service's user:"
        f" sudo -u {user} threadline …"
    )


def _first_seen(path: Path) -> os.stat_result:
    """Of the file, or of the folder that hides it."""
    for each in (path, *path.absolute().parents):
        with suppress(PermissionError):
            return each.stat()
    raise PermissionError(path)
