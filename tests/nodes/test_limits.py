"""Rate limits hold over all nodes, give or take what a second brings."""

import time

from tests.nodes.conftest import Start
from tests.support import Project

BURST = 40


def test_who_spent_the_limit_on_one_node_has_none_on_the_other(start: Start) -> None:
    limits = {"THREADLINE_TRACK_PER_SECOND": "1", "THREADLINE_TRACK_BURST": str(BURST)}
    here = Project(start("one", **limits))
    there = here.again(start("other", **limits))
    assert there.post("/v1/track", {"event": "x"}, key="pk").status == 202
    while here.post("/v1/track", {"event": "x"}, key="pk").status == 202:
        pass
    deadline = time.monotonic() + 30
    while there.post("/v1/track", {"event": "x"}, key="pk").status == 202:
        assert time.monotonic() < deadline
        # Slower than the limit, so it is the other node's requests that end it.
        time.sleep(1.5)
    assert there.post("/v1/track", {"event": "x"}, key="sk").status == 202
