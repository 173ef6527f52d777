"""What was refused lately where events come in: how often, why, and from which origin last.

For whoever wonders why nothing arrives. Counted in memory, by the event loop alone, so that no
request waits for another: a restart begins anew. Of a request nothing is kept but its origin and
route; there is one entry for each project and reason, however many are refused.
"""

import re

import msgspec

from threadline.contract.times import now_ms

# Of a request whose key, if any, is nobody's.
NO_PROJECT = ""
# As browsers write it. Whatever else somebody sends there is nobody's to keep.
ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]{0,31}://[^\s/@?#]{1,200}")


class CountedRefusal(msgspec.Struct):
    """One reason. `origin`, `route`: of the last; `origin` is empty where there was none."""

    project_id: str
    code: str
    count: int
    first_ms: int
    last_ms: int
    origin: str
    route: str


class Refusals:
    """Of all projects, since `since_ms`."""

    def __init__(self) -> None:
        self.since_ms = now_ms()
        self._kept: dict[tuple[str, str], CountedRefusal] = {}

    def note(self, project_id: str, code: str, route: str, origin: str) -> None:
        """One more. `project_id`: `NO_PROJECT` where nobody knows whose it was meant to be."""
        at_ms = now_ms()
        known = origin if ORIGIN.fullmatch(origin) else ""
        found = self._kept.get((project_id, code))
        if found is None:
            found = CountedRefusal(project_id, code, 0, at_ms, at_ms, "", "")
            self._kept[project_id, code] = found
        found.count += 1
        found.last_ms, found.origin, found.route = at_ms, known, route

    def let_go(self, project_id: str) -> None:
        """The project is deleted."""
        for key in list(self._kept):  # at once: others count meanwhile
            if key[0] == project_id:
                self._kept.pop(key, None)

    def listed(self, project_id: str) -> list[CountedRefusal]:
        """Those of this project and those of none, the latest first."""
        mine = [one for one in self._kept.values() if one.project_id in (project_id, NO_PROJECT)]
        return sorted(mine, key=lambda one: (-one.last_ms, one.code))
