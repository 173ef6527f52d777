"""The version is written in one place; what has to repeat it says the same."""

import json
import re
import tomllib

import threadline
from tests.support import ROOT

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
RELEASE = re.compile(r"(\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})")


def test_the_package_takes_its_version_from_the_code() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in settings["project"]["dynamic"]
    path = ROOT / settings["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{threadline.__version__}"\n' in path.read_text()


def test_the_browser_sdk_has_the_same_version() -> None:
    for name in ("package.json", "package-lock.json"):
        assert (
            json.loads((ROOT / "browser" / name).read_text())["version"] == threadline.__version__
        )


def test_the_changelog_is_dated_and_its_newest_version_is_this_one() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", changes, flags=re.MULTILINE)
    released = [RELEASE.fullmatch(heading) for heading in headings if heading != "Unreleased"]
    assert all(released), headings
    found = [(release[1], release[2]) for release in released if release]
    assert found[0][0] == threadline.__version__
    assert [date for _, date in found] == sorted((date for _, date in found), reverse=True)
    assert set(re.findall(r"^### (.+)$", changes, flags=re.MULTILINE)) <= KINDS
