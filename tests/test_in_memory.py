"""Folders of tests lie where temporary files do, in memory where there is room."""

import os
import tempfile
from pathlib import Path


def test_folders_of_tests_are_where_temporary_files_are(tmp_path: Path) -> None:
    given = os.environ.get("TMPDIR", tempfile.gettempdir())
    assert tmp_path.resolve().is_relative_to(Path(given).resolve())
