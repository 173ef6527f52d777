"""What every question is asked with: one project, whose events are whose, as of when."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from threadline.identity.reading import Reading
from threadline.identity.resolution import Policy, Resolution, resolve
from threadline.store import Store


@dataclass(frozen=True)
class Context:
    """One question's surroundings; made anew for each.

    `policy`: chosen already, the project's default included. `as_of_ms`: since 1970; None: all
    that is known now. `bots`: they count, too. `folder`: for files that last as long as an answer.
    `placeholder_ids`: counts ids that were dropped or refused at the door.
    """

    store: Store
    project_id: str
    policy: Policy = "any"
    as_of_ms: int | None = None
    bots: bool = False
    folder: Path = Path()
    placeholder_ids: Callable[[], int] = lambda: 0

    @cached_property
    def reading(self) -> Reading:
        """The store, as far as it is this project's."""
        return Reading(self.store, self.project_id)

    @cached_property
    def resolution(self) -> Resolution:
        """Which links, unlinks and aliases count. It asks the store, so only where it is needed."""
        return resolve(self.reading, self.project_id, self.policy, self.as_of_ms, self.bots)
