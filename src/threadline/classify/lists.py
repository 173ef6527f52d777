"""Lists that the rules go by, as text files that people read and add to."""

from importlib.resources import files


def read_list(name: str) -> dict[str, str]:
    """A file of this package, as `parse_list` reads it."""
    return parse_list((files("threadline.classify") / name).read_text())


def parse_list(text: str) -> dict[str, str]:
    """Each entry with the name it stands for, from lines `name: entry entry …`.

    An indented line goes on with the one before; `#` begins a comment. Raises `ValueError` for an
    entry that comes twice.
    """
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
        for entry in line.split():
            if entry in entries:
                raise ValueError(f"{entry} is listed twice")
            entries[entry] = name
    return entries
