"""What says that a folder is not restored yet. Commands look for it, so this imports nothing."""

from pathlib import Path

MARK = ".restoring"


def is_unfinished(folder: Path) -> bool:
    """Whether a restore into it was interrupted, or is under way."""
    return (folder / MARK).exists()
