"""Events that lie in a temporary file for a moment lie nowhere else, and not for longer."""

import tempfile
from pathlib import Path

from threadline.runtime.services import Services
from threadline.settings import Settings


def test_temporary_files_are_the_folders_own(folder: Path) -> None:
    before = tempfile.gettempdir()
    left = folder / "tmp" / "left-by-a-killed-server"
    left.parent.mkdir(parents=True)
    left.write_text("somebody's events")
    with Services(Settings(data=str(folder))):
        assert not left.exists()
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == folder / "tmp"
        assert (folder / "tmp").stat().st_mode & 0o777 == 0o700
    assert not (folder / "tmp").exists()
    assert tempfile.gettempdir() == before
