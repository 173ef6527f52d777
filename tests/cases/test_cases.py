"""Inputs that went wrong once, after public bug reports: what is sent, and what has to be true.

`vectors/cases.json` says of each what kind of fault it was and why. Those with a `page` are played
in browsers by `tests/e2e/test_pages.py`; those about visits and sources are `LATER`.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests import forked
from tests.support import ROOT, Json, Project, Reply, Server

CASES: list[Json] = json.loads((ROOT / "tests" / "vectors" / "cases.json").read_text())["cases"]
# Steps of funnels get conditions elsewhere.
LATER: set[str] = set()
PLAYED = [case for case in CASES if case["name"] not in LATER and "page" not in case]


@pytest.fixture
def case_server(case: Json, server: Server, folder: Path) -> Iterator[Server]:
    if "env" not in case:
        yield server
        return
    with Server(folder, **case["env"]) as own:
        yield own


@pytest.mark.parametrize("case", PLAYED, ids=lambda case: case["name"])
def test_a_case(case: Json, case_server: Server, tmp_path: Path) -> None:
    project = Project(case_server)
    found: Json = {"sent": [_send(project, request) for request in case.get("send", [])]}
    if "sdk" in case:
        found["sdk"] = {"out": _run_sdk(project, case["sdk"])}
    if "import" in case:
        found["import"] = _import(case_server, project, case["import"], tmp_path)
    for check in case["checks"]:
        if "classify" in check:
            _hold(_classified(project, *check["classify"]), check)
            continue
        answer = found
        if "ask" in check:
            answer = _ask(project, check["ask"]).json
        elif "export" in check:
            answer = {"text": _ask(project, check["export"]).body.decode()}
        _hold(at(answer, check["at"]), check)


def _classified(project: Project, url: str, referrer: str) -> str:
    said = project.ask("/v1/classify", url=url, referrer=referrer)
    return f"{said['source']}/{said['medium']}"


def _ask(project: Project, path: str) -> Reply:
    route, _, query = path.partition("?")
    return project.get(route, **dict(parse_qsl(query)))


def _send(project: Project, request: Json) -> Json:
    body = request["raw"].encode() if "raw" in request else json.dumps(request["body"]).encode()
    headers = {
        "Authorization": f"Bearer {project.keys['sk']}",
        "Content-Type": "application/json",
        **request.get("headers", {}),
    }
    method = request.get("method", "POST")
    return {"status": project.send(method, request["path"], body, headers).status}


def _run_sdk(project: Project, program: str) -> str:
    """What the program says, with a key and a host."""
    start = "import os, threadline\nkey, host = os.environ['KEY'], os.environ['HOST']\n"
    environ = {"KEY": project.keys["sk"], "HOST": project.url, "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run(
        [sys.executable, "-c", start + program],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=True,
    )
    return ran.stdout.strip()


def _import(server: Server, project: Project, file: Json, folder: Path) -> Json:
    path = folder / file["name"]
    path.write_bytes(
        base64.b64decode(file["base64"]) if "base64" in file else file["text"].encode()
    )
    where = ["--project", project.project_id, "--data", str(server.folder)]
    ran = forked.run("import", str(path), *where)
    rejected = path.with_name(f"{path.name}.rejected")
    return {
        "rc": ran.returncode,
        "text": ran.stdout + ran.stderr,
        "rejected": rejected.read_text() if rejected.exists() else "",
    }


def at(answer: Any, path: str) -> Any:
    """A place in an answer: numbers are places in lists, # is a length, and a name is looked up in
    each of a list."""
    for part in path.split("."):
        if part == "#":
            answer = len(answer)
        elif isinstance(answer, list) and part.isdigit():
            answer = answer[int(part)]
        elif isinstance(answer, list):
            answer = [each[part] for each in answer]
        else:
            answer = answer[part]
    return answer


def _hold(value: Any, check: Json) -> None:
    if "is" in check:
        assert _as_far_as(value, check["is"]) == check["is"], check
    if "is_not" in check:
        assert value != check["is_not"], check
    if "has" in check:
        assert check["has"] in value, check
    if "has_not" in check:
        assert check["has_not"] not in value, check
    if "set" in check:
        assert set(value) == set(check["set"]), check


def _as_far_as(value: Any, expected: Any) -> Any:
    """Of objects only the names that are expected: answers may say more."""
    if isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        return [_as_far_as(*pair) for pair in zip(value, expected, strict=True)]
    if isinstance(value, dict) and isinstance(expected, dict):
        return {name: part for name, part in value.items() if name in expected}
    return value


def test_all_cases_are_played_somewhere() -> None:
    names = {case["name"] for case in CASES}
    assert len(names) == len(CASES) == 42
    assert names >= LATER
    pages = {case["name"] for case in CASES if "page" in case}
    assert pages == {"half-emoji-page", "element-called-mm", "bigint"}
