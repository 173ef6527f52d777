"""Builds the site from `docs/` into `src/threadline/web/docs`. A link that leads nowhere is said
here, and fails a test.

make docs                      builds it, if anything changed
python -m tools.site [FOLDER]  builds it, into FOLDER if one is named
"""

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from tools.site import markdown, nav

BUILT = nav.ROOT / "src" / "threadline" / "web" / "docs"
# What is there for other builds of Sphinx, not for readers.
LEFT_OUT = (".buildinfo", "objects.inv", "_static/scripts/furo.js.map", "_sources")


def main() -> None:
    into = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILT
    if missing := nav.unlisted():
        sys.exit(f"tools/site/nav.py does not list {', '.join(missing)}: nobody would find them.")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "site")
        here = str(Path(__file__).parent)
        options = ["-q", "-b", "dirhtml", "-c", here]
        status = sphinx([*options, "-d", f"{folder}/trees", str(nav.DOCS), str(made)])
        if status:
            sys.exit(status)
        finish(made)
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(made, into)


def finish(made: Path) -> None:
    """Beside the pages: each as Markdown, and the files for programs that read."""
    for name in LEFT_OUT:
        path = made / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in [nav.INDEX, *(page.name for page in nav.pages())]:
        target = made / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(markdown.inside(name, nav.source(name).read_text()))
    (made / "llms.txt").write_text(markdown.llms())
    (made / "llms-full.txt").write_text(markdown.llms_full())


if __name__ == "__main__":
    main()
