"""What a decision would lead to that nobody has made: the resolution as it would be.

Nothing is written. Questions are asked on it as on any other, so what they say is what they will
say once it is decided.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from threadline.identity import decisions
from threadline.identity.decisions import Names
from threadline.identity.reading import Reads
from threadline.identity.resolution import (
    OF_ALIASES,
    OF_UNLINKS,
    PROJECT,
    USERS,
    Aliased,
    Pair,
    Resolution,
    with_decisions,
)

HASHES = """
SELECT sipHash64({anonymous_id:String}) AS visitor,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS hashes"""

DEVICES = f"""
SELECT groupUniqArray(visitor) AS devices FROM links
WHERE {PROJECT} AND {USERS}"""


class Supposed(NamedTuple):
    """`after`: as it would be. `users`: whom the decision is about, as ids of persons before and
    after it. `devices`: whose events without a user may have other owners then; `device`: the one
    that it names, if any."""

    after: Resolution
    users: list[str]
    devices: list[int]
    device: int | None = None


def unlink(reads: Reads, before: Resolution, anonymous_id: str, user_id: str) -> Supposed:
    """If this device were taken for this user's no more."""
    return _of_pair(reads, before, anonymous_id, user_id, lambda pairs, pair: {*pairs, pair})


def link_again(reads: Reads, before: Resolution, anonymous_id: str, user_id: str) -> Supposed:
    """If an unlink were taken back."""
    return _of_pair(reads, before, anonymous_id, user_id, lambda pairs, pair: pairs - {pair})


def alias(reads: Reads, before: Resolution, user_id: str, alias_of: str) -> Supposed:
    """If a user were declared the same person as another. Raises `AliasCycle`."""
    declared = decisions.declared(reads, str(before.params["project_id"]))
    wanted = decisions.with_alias(declared, user_id, alias_of)
    return _of_aliases(reads, before, declared, wanted, [user_id, alias_of])


def unalias(reads: Reads, before: Resolution, user_id: str) -> Supposed:
    """If a user were a person of its own again."""
    declared = decisions.declared(reads, str(before.params["project_id"]))
    wanted = decisions.without_alias(declared, user_id)
    return _of_aliases(reads, before, declared, wanted, [user_id])


# By the names that requests have for them.
DECISIONS: Mapping[str, Callable[..., Supposed]] = {
    "unlink": unlink,
    "link_again": link_again,
    "alias": alias,
    "unalias": unalias,
}


def _of_pair(
    reads: Reads,
    before: Resolution,
    anonymous_id: str,
    user_id: str,
    change: Callable[[set[Pair], Pair], set[Pair]],
) -> Supposed:
    asked = {"anonymous_id": anonymous_id, "user_ids": [user_id]}
    (found,) = reads.query(HASHES, asked)
    pair = (found["visitor"], found["hashes"][0])
    pairs = change(set(_bound(before, OF_UNLINKS)), pair)
    after = with_decisions(before, _bound(before, OF_ALIASES), sorted(pairs))
    return Supposed(after, [before.person(user_id)], [found["visitor"]], found["visitor"])


def _of_aliases(
    reads: Reads, before: Resolution, declared: Names, wanted: Names, named: list[str]
) -> Supposed:
    ends, ends_then = decisions.at_the_end(declared), decisions.at_the_end(wanted)
    changed = [
        user
        for user in sorted(ends.keys() | ends_then.keys())
        if ends.get(user, user) != ends_then.get(user, user)
    ]
    aliased = {user: person for user, person in ends_then.items() if user != person}
    after = with_decisions(before, _hashed(reads, aliased), _bound(before, OF_UNLINKS))
    users = [*named, *changed]
    persons = dict.fromkeys(side.person(user) for side in (before, after) for user in users)
    values = {**before.params, "user_ids": changed}
    asked = {name: values[name] for name in ("project_id", "user_ids")}
    (found,) = reads.query(DEVICES, asked)
    return Supposed(after, list(persons), found["devices"])


def _hashed(reads: Reads, persons: Names) -> list[Aliased]:
    names = [*persons, *persons.values()]
    (found,) = reads.query(HASHES, {"anonymous_id": "", "user_ids": names})
    hashes = dict(zip(names, found["hashes"], strict=True))
    return [(user, of, hashes[user], hashes[of]) for user, of in persons.items()]


def _bound(resolution: Resolution, names: Iterable[str]) -> list[Any]:
    """The decisions that it has, as `with_decisions` takes them."""
    columns: list[Any] = [resolution.params.get(name, []) for name in names]
    return list(zip(*columns, strict=True))
