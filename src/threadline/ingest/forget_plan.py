"""What a request to forget takes away, found once and written down before the first deletion.

A plan tells people by the numbers that the store joins them by, and so does what the engine notes
down: no id gets onto the disk for being forgotten.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from threadline.identity.resolution import PROJECT

T = TypeVar("T")

# A server takes no more than 128 KiB for a bound value.
NUMBERS_AT_ONCE = 5000

# Events of users on their devices and at their own place, of devices what carries no user, and all
# of devices that are forgotten themselves. A `user_hash` of 0: no user.
EVENTS = f"""{PROJECT} AND (
    (visitor IN {{visitors:Array(UInt64)}} AND user_hash IN {{users:Array(UInt64)}})
    OR (visitor IN {{untagged:Array(UInt64)}} AND user_hash = 0)
    OR visitor IN {{devices:Array(UInt64)}}
)"""


def of_users(column: str) -> str:
    """SQL: the user in this column is one of `users`."""
    return f"sipHash64('user', {column}) IN {{users:Array(UInt64)}}"


ON_DEVICES = "visitor IN {devices:Array(UInt64)}"

# Mostly there are none.
DECISIONS = {
    "unlinks": f"""{PROJECT} AND (
        {of_users("user_id")} OR visitor IN {{emptied:Array(UInt64)}} OR {ON_DEVICES}
    )""",
    "account_unlinks": f"""{PROJECT} AND (
        {of_users("user_id")} OR visitor IN {{emptied:Array(UInt64)}} OR {ON_DEVICES}
    )""",
    "aliases": f"{PROJECT} AND ({of_users('user_id')} OR {of_users('canonical')})",
    "alias_decisions": f"{PROJECT} AND ({of_users('user_id')} OR {of_users('alias_of')})",
}


class Share(msgspec.Struct):
    """What goes of one project, in the numbers of `events`.

    `users`; `visitors`: where their events lie. `untagged`: devices that only they had. `emptied`:
    those nobody else was ever seen on; `shared`: all but those. `devices`: they go as a whole;
    `others` were seen there, too, and their events lie at `of_others`. `traffic_sources`: where any
    of the events came from.
    `event_ids`: packed 64-bit hashes. `decided`: in which tables of decisions there is anything of
    them; None: nobody has looked. `secret`: where copies of somebody random take the place of what
    goes, what these are called by.
    """

    project_id: str
    users: list[int] = []
    visitors: list[int] = []
    untagged: list[int] = []
    emptied: list[int] = []
    shared: list[int] = []
    devices: list[int] = []
    others: list[int] = []
    of_others: list[int] = []
    traffic_sources: list[int] = msgspec.field(default_factory=list, name="places")
    event_ids: bytes = b""
    decided: list[str] | None = None
    secret: bytes = b""

    def slices(self) -> Iterator[dict[str, object]]:
        """The same as bound values, so many visitors at a time that a server takes them."""
        bound: dict[str, object] = {"project_id": self.project_id, "users": self.users}
        lists: dict[str, list[int]] = {name: getattr(self, name) for name in SLICED}
        everywhere: set[int] = set().union(*lists.values())
        for some in in_turn(sorted(everywhere) or [0], NUMBERS_AT_ONCE):
            here = set(some)
            yield bound | {name: [n for n in lists[name] if n in here] for name in SLICED}


SLICED = "visitors untagged emptied shared devices others of_others".split()


def encode(shares: Sequence[Share]) -> bytes:
    """As a plan for the log."""
    return msgspec.msgpack.encode(shares)


def decode(plan: bytes) -> list[Share]:
    return msgspec.msgpack.decode(plan, type=list[Share])


def in_turn(values: Sequence[T], at_once: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), at_once):
        yield values[start : start + at_once]


def side_by_side(calls: Sequence[Callable[[], T]], at_once: int) -> list[T]:
    """What they return, in order. Of a short statement most is planning, for which the engine uses
    one core. All have ended before the first error is raised: none may come later, after a retry.
    """
    with ThreadPoolExecutor(at_once) as threads:
        made = [threads.submit(call) for call in calls]
    return [future.result() for future in made]
