"""What is set by `threadline.toml`, the environment and options, read once.

The environment wins over the file, command line options over both. A name that does not exist is
an error that says which one was probably meant.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from threadline import settings_files
from threadline.settings import DEFAULTS, Settings
from threadline.settings_files import CONFIG, FILE, PREFIX, SettingsError

# What the tests and the Python SDK read, perhaps in the same shell.
OF_OTHERS = ("THREADLINE_TEST_", "THREADLINE_SDK_")
NAMES = [field.name for field in msgspec.structs.fields(Settings)]
TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}
KINDS = {
    msgspec.inspect.IntType: "is not a whole number",
    msgspec.inspect.BoolType: "is neither true nor false",
    msgspec.inspect.StrType: "is not a text",
}


class _Given(NamedTuple):
    """A value, and how it was written where it comes from."""

    value: object
    written: str


def load(environ: Mapping[str, str] | None = None, **options: object) -> Settings:
    """Settings from file and environment; `options` (those not None) win over both.

    Raises `SettingsError` for an unknown name or a value of the wrong kind.
    """
    environ = os.environ if environ is None else environ
    given = _given(environ, options)
    for name, (value, written) in given.items():
        try:
            msgspec.convert(value, TYPES[name], strict=False)
        except msgspec.ValidationError:
            raise SettingsError(f"{written} {_wrong(name, value)}.") from None
        if value == "" and getattr(DEFAULTS, name):
            raise SettingsError(
                f"{written} is empty; leave it out to take {getattr(DEFAULTS, name)}."
            )
    values = {name: value for name, (value, _) in given.items()}
    chosen = msgspec.convert(values, Settings, strict=False)
    path = file_read(environ, options.get("data"))
    there = settings_files.in_folder(environ, options.get("data"))
    if path == there and Path(chosen.data) != there.parent:
        raise SettingsError(f"{path} lies in the data folder, so it cannot name another: 'data'.")
    return chosen


def file_read(environ: Mapping[str, str] | None = None, data: object = None) -> Path | None:
    """The one file that `load` reads, if any (`settings_files` says which).

    Raises `SettingsError` if the one that `THREADLINE_CONFIG` names is not there.
    """
    return settings_files.find(os.environ if environ is None else environ, data)


def file_left_out(environ: Mapping[str, str] | None = None, data: object = None) -> Path | None:
    """A `threadline.toml` in the data folder that is not read, because another file is."""
    read = file_read(environ, data)
    there = Path(load(environ, data=data).data) / FILE
    return there if read and there.is_file() and not there.samefile(read) else None


def names_folder(environ: Mapping[str, str] | None = None, data: object = None) -> bool:
    """Whether anybody says which the data folder is: the option, a variable or a file."""
    return "data" in _given(os.environ if environ is None else environ, {"data": data})


def _given(environ: Mapping[str, str], options: Mapping[str, object]) -> dict[str, _Given]:
    """What is set anywhere: the file first, then what wins over it."""
    path = file_read(environ, options.get("data"))
    return {
        **(_from_file(path, environ) if path else {}),
        **_from_environ(environ),
        **{
            name: _Given(value, f"--{name.replace('_', '-')} {value}")
            for name, value in options.items()
            if value is not None
        },
    }


def _from_file(path: Path, environ: Mapping[str, str]) -> dict[str, _Given]:
    values = settings_files.read(path)
    folder = values.get("data")
    if (
        path in settings_files.shared_files(environ)
        and folder
        and not Path(str(folder)).is_absolute()
    ):
        raise SettingsError(f"{path}: data = {_in_toml(folder)} has to begin with a slash.")
    for name in values:
        in_file = name.removeprefix(PREFIX).lower()
        if in_file != name and in_file in NAMES:
            raise SettingsError(f"{path}: write {in_file!r} instead of {name!r}.")
        if name not in NAMES:
            nearest = _nearest(in_file)
            hint = f"; did you mean {nearest!r}?" if nearest else "."
            raise SettingsError(f"{path}: there is no setting {name!r}{hint}")
    return {
        name: _Given(value, f"{path}: {name} = {_in_toml(value)}") for name, value in values.items()
    }


def _from_environ(environ: Mapping[str, str]) -> dict[str, _Given]:
    given = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(OF_OTHERS) or variable == CONFIG:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in NAMES:
            nearest = _nearest(name)
            hint = f" Did you mean {PREFIX}{nearest.upper()}?" if nearest else ""
            raise SettingsError(f"There is no setting {variable}.{hint}")
        given[name] = _Given(value, f"{variable}={value}")
    return given


def _wrong(name: str, value: object) -> str:
    """What is wrong with a value that is not of the setting's type."""
    kind = msgspec.inspect.type_info(TYPES[name])
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.IntType):
        try:
            number = msgspec.convert(value, int, strict=False)
        except msgspec.ValidationError:
            return KINDS[type(kind)]
        if kind.ge is not None and number < kind.ge:
            return f"is less than {kind.ge}"
        return f"is more than {kind.le}"
    return KINDS.get(type(kind), "is not understood")


def _in_toml(value: object) -> str:
    """As it was written, more or less: JSON writes texts, numbers, truth and lists the same way."""
    return msgspec.json.encode(value).decode()


def _nearest(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)), None)
