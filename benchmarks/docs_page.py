"""What Lighthouse says of pages of the documentation, as a phone and as a desktop: at least 95 of
100 in each of its four categories, or this fails.

Lighthouse is installed from npm for this alone, into a folder that is deleted afterwards, and asks
nothing of anybody but a server on this machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.browsers import chromium
from tests.support import Server

from benchmarks.report import Report

LIGHTHOUSE = "lighthouse@12.8.2"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
# The first one read, one with much code, and those with the longest tables.
PAGES = ("", "quickstart/", "setup-nextjs/", "identity-tables/", "cli/")
FORMS: Mapping[str, tuple[str, ...]] = {"phone": (), "desktop": ("--preset=desktop",)}
LEAST = 95


def install(folder: Path) -> Path:
    """Its program."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder)]
    subprocess.run([*command, LIGHTHOUSE], check=True)
    return folder / "node_modules" / ".bin" / "lighthouse"


def measure(program: Path, url: str, form: str) -> dict[str, Any]:
    """The report of one page."""
    command = [str(program), url, *FORMS[form], "--output=json", "--quiet"]
    command += [f"--only-categories={','.join(CATEGORIES)}"]
    command += ["--chrome-flags=--headless=new --no-sandbox"]
    browser = chromium(windowed=True)
    environ = {**os.environ, **({"CHROME_PATH": browser} if browser else {})}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", nargs="*", default=PAGES, help="Below /docs/.")
    pages = parser.parse_args().pages
    report = Report("docs_page", lighthouse=LIGHTHOUSE)
    worst = 100
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data") as server:
        program = install(Path(folder))
        for page in pages:
            for form in FORMS:
                found = measure(program, f"{server.url}/docs/{page}", form)
                scores = [round(found["categories"][name]["score"] * 100) for name in CATEGORIES]
                worst = min(worst, *scores)
                shown = ", ".join(map(str, scores))
                report.row(f"/docs/{page}, {form}", shown, target=f"{LEAST} each")
    report.save()
    if worst < LEAST:
        sys.exit(f"A page has {worst}, and {LEAST} are the least.")


if __name__ == "__main__":
    main()
