"""No room left on the disk: refused honestly, nothing acknowledged is lost, and it recovers."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Project, Server, ids

SIZE = "64m"
BATCH = [{"event": "x", "properties": {"text": "x" * 1000}}] * 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_refuses_then_recovers(small_disk: Path) -> None:
    with Server(small_disk / "data") as server:
        project = Project(server)
        acknowledged = [project.track("before")["event_id"]]
        assert len(project.stored()) == 1

        filler = small_disk / "filler"
        fill(filler)
        reply = project.post("/v1/batch", {"events": BATCH})
        while reply.status == 202:  # what SQLite had in its files already
            acknowledged += [""] * len(BATCH)
            reply = project.post("/v1/batch", {"events": BATCH})
        assert (reply.status, reply.error) == (503, "unavailable")
        assert reply.headers["Retry-After"]
        server.await_line('"log_commit_failed"', "full")

        filler.unlink()
        acknowledged.append(project.track("after")["event_id"])
        stored = project.stored()
        assert len(stored) == len(acknowledged)
        assert {"before", "after"} <= {row["event_name"] for row in stored}
        assert set(filter(None, acknowledged)) <= set(ids(stored))
        assert server.stop() == 0


def fill(path: Path) -> None:
    """Until nothing fits any more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
