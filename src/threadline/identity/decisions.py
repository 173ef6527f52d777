"""Decisions about identity that people make: unlinking a pair, declaring two users one person.

Nothing is rewritten. A decision is a row with who and when; the newest one counts, and with `as_of`
the newest one of then. Chains of aliases are resolved here, when one is made, so that a question
finds every user's person in one step.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from threadline.contract.errors import AliasCycle, InvalidPayload
from threadline.identity.reading import Reads
from threadline.identity.resolution import PROJECT
from threadline.store import Store

Names = Mapping[str, str]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

IS_UNLINKED = f"""
    SELECT argMax(unlinked, decided_at) AS unlinked FROM unlinks
    WHERE {PROJECT} AND visitor = sipHash64({{anonymous_id:String}})
        AND user_id = {{user_id:String}}
    HAVING count() > 0"""

IS_SEEN = f"""
    SELECT 1 FROM links
    WHERE {PROJECT} AND visitor = sipHash64({{anonymous_id:String}})
        AND user_id = {{user_id:String}}
    LIMIT 1"""

HAS_LEFT = f"""
    SELECT argMax(unlinked, decided_at) AS unlinked FROM account_unlinks
    WHERE {PROJECT} AND account_id = {{account_id:String}} AND user_id = {{user_id:String}}
        AND anonymous_id = {{anonymous_id:String}}
    HAVING count() > 0"""

IS_IN_ACCOUNT = f"""
    SELECT 1 FROM account_links
    WHERE {PROJECT} AND account_id = {{account_id:String}} AND if(
        {{user_id:String}} = '',
        user_hash = 0 AND visitor = sipHash64({{anonymous_id:String}}),
        user_id = {{user_id:String}}
    )
    LIMIT 1"""

# The newest decision counts, so each is later than all before it, also with a clock set back.
NEWEST = f"""
    SELECT max(toUnixTimestamp64Micro(decided_at)) AS newest_us
    FROM (
        SELECT decided_at FROM unlinks WHERE {PROJECT}
        UNION ALL SELECT decided_at FROM account_unlinks WHERE {PROJECT}
        UNION ALL SELECT decided_at FROM aliases WHERE {PROJECT}
        UNION ALL SELECT decided_at FROM alias_decisions WHERE {PROJECT}
    )"""

DECLARED = f"""
    SELECT user_id, argMax(alias_of, decided_at) AS alias_of FROM alias_decisions
    WHERE {PROJECT}
    GROUP BY user_id HAVING alias_of != ''"""


WHAT_IS = f"""
    SELECT
        (SELECT count() FROM links WHERE {PROJECT} AND user_id = {{id:String}}) > 0
        OR (SELECT count() FROM user_touches WHERE {PROJECT} AND user_id = {{id:String}}) > 0
            AS is_user,
        (SELECT count() FROM (
            SELECT 1 FROM events WHERE {PROJECT} AND visitor = sipHash64({{id:String}}) LIMIT 1
        )) > 0 AS is_device"""


def what_is(store: Store, project_id: str, identifier: str) -> Literal["user", "device", ""]:
    """Whether the project has seen this id as a user's, else as a device's."""
    (found,) = store.query(WHAT_IS, {"project_id": project_id, "id": identifier})
    return "user" if found["is_user"] else "device" if found["is_device"] else ""


def unlink(store: Store, project_id: str, by: str, anonymous_id: str, user_id: str) -> bool:
    """From now on no question takes this device for this user's; whether that changes an answer.

    It changes none where the user was not seen on the device yet; should they be, it counts."""
    return _decide_link(store, project_id, by, anonymous_id, user_id, unlinked=True)


def link_again(store: Store, project_id: str, by: str, anonymous_id: str, user_id: str) -> bool:
    """Take an unlink back; whether that changes an answer."""
    return _decide_link(store, project_id, by, anonymous_id, user_id, unlinked=False)


def leave_account(
    store: Store,
    project_id: str,
    by: str,
    account_id: str,
    user_id: str | None = None,
    anonymous_id: str | None = None,
) -> bool:
    """From now on no question takes this person for one of this account: a user, or who was seen on
    a device without being known. Whether that changes an answer. Raises `InvalidPayload`."""
    return _decide_account(store, project_id, by, account_id, user_id, anonymous_id, unlinked=True)


def join_account_again(
    store: Store,
    project_id: str,
    by: str,
    account_id: str,
    user_id: str | None = None,
    anonymous_id: str | None = None,
) -> bool:
    """Take that back; whether that changes an answer. Raises `InvalidPayload`."""
    return _decide_account(store, project_id, by, account_id, user_id, anonymous_id, unlinked=False)


def alias(store: Store, project_id: str, by: str, user_id: str, alias_of: str) -> bool:
    """Declare a user the same person as another; whether that is new.

    Raises `AliasCycle` if the other is, by whatever chain, an alias of this one.
    """
    before = declared(store, project_id)
    wanted = with_alias(before, user_id, alias_of)
    return _decide_alias(store, project_id, user_id, alias_of, by, before, wanted)


def unalias(store: Store, project_id: str, by: str, user_id: str) -> bool:
    """Take an alias back; whether there was one."""
    before = declared(store, project_id)
    wanted = without_alias(before, user_id)
    return _decide_alias(store, project_id, user_id, "", by, before, wanted)


def with_alias(declared: Names, user_id: str, alias_of: str) -> Names:
    """What is declared when this is, too. Raises `AliasCycle`."""
    wanted = {**declared, user_id: alias_of}
    chain = [user_id]
    while chain[-1] in wanted:
        chain.append(wanted[chain[-1]])
        if chain[-1] == user_id:
            raise AliasCycle(f"Aliases would run in a circle: {' → '.join(chain)}.", cycle=chain)
    return wanted


def without_alias(declared: Names, user_id: str) -> Names:
    """What is declared when this user is nobody else's alias."""
    return {name: of for name, of in declared.items() if name != user_id}


def same_people(
    store: Store, project_id: str, user_ids: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Of each of these users all ids of the same person, itself among them: whom it is an alias of
    and who is one of it, over any number of steps. What was taken back does not count."""
    beside: dict[str, set[str]] = {}
    for user_id, alias_of in declared(store, project_id).items():
        beside.setdefault(user_id, set()).add(alias_of)
        beside.setdefault(alias_of, set()).add(user_id)
    return {user_id: _reached(user_id, beside) for user_id in user_ids}


def _reached(user_id: str, beside: Mapping[str, set[str]]) -> frozenset[str]:
    found, looked_at = {user_id}, [user_id]
    while looked_at:
        new = beside.get(looked_at.pop(), set()) - found
        found |= new
        looked_at += new
    return frozenset(found)


def declared(reads: Reads, project_id: str) -> Names:
    """Of users that were declared an alias, as of now, of whom: as it was said, chains and all."""
    rows = reads.query(DECLARED, {"project_id": project_id})
    return {row["user_id"]: row["alias_of"] for row in rows}


def _decide_link(
    store: Store, project_id: str, by: str, anonymous_id: str, user_id: str, unlinked: bool
) -> bool:
    values = {"project_id": project_id, "anonymous_id": anonymous_id, "user_id": user_id}
    found = store.query(IS_UNLINKED, values)
    if bool(found and found[0]["unlinked"]) == unlinked:
        return False
    row: dict[str, object] = {**values, "unlinked": unlinked, "decided_by": by}
    row["decided_at"] = _next(store, project_id)
    _insert(store, "unlinks", [row])
    return bool(store.query(IS_SEEN, values))


def _decide_account(
    store: Store,
    project_id: str,
    by: str,
    account_id: str,
    user_id: str | None,
    anonymous_id: str | None,
    unlinked: bool,
) -> bool:
    if bool(user_id) == bool(anonymous_id):
        message = "Give either user_id or anonymous_id."
        raise InvalidPayload(message, fieldErrors={"user_id": [message]})
    values = {
        "project_id": project_id,
        "account_id": account_id,
        "user_id": user_id or "",
        "anonymous_id": anonymous_id or "",
    }
    found = store.query(HAS_LEFT, values)
    if bool(found and found[0]["unlinked"]) == unlinked:
        return False
    row: dict[str, object] = {**values, "unlinked": unlinked, "decided_by": by}
    row["decided_at"] = _next(store, project_id)
    _insert(store, "account_unlinks", [row])
    return bool(store.query(IS_IN_ACCOUNT, values))


def _decide_alias(
    store: Store,
    project_id: str,
    user_id: str,
    alias_of: str,
    by: str,
    declared: Names,
    wanted: Names,
) -> bool:
    if declared == wanted:
        return False
    decided: dict[str, object] = {"project_id": project_id, "decided_by": by}
    decided["decided_at"] = _next(store, project_id)
    before, after = at_the_end(declared), at_the_end(wanted)
    resolved = [
        {**decided, "user_id": name, "canonical": after.get(name, name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name, name) != after.get(name, name)
    ]
    # What questions read goes first: if the second insert is missing after a crash, the same
    # request still finds something to change.
    if resolved:
        _insert(store, "aliases", resolved)
    _insert(store, "alias_decisions", [{**decided, "user_id": user_id, "alias_of": alias_of}])
    return True


def at_the_end(declared: Names) -> dict[str, str]:
    """Every alias with the user at the end of its chain."""
    ends: dict[str, str] = {}
    for name in declared:
        chain = [name]
        while chain[-1] in declared and chain[-1] not in ends:
            chain.append(declared[chain[-1]])
        end = ends.get(chain[-1], chain[-1])
        ends |= dict.fromkeys(chain[:-1], end)
    return ends


def _insert(store: Store, table: str, rows: list[dict[str, object]]) -> None:
    """`decided_at` is a token too: no two decisions have the same."""
    body = b"\n".join(msgspec.json.encode(row) for row in rows)
    token = f"{rows[0]['project_id']}-{rows[0]['decided_at']}"
    store.insert(table, list(rows[0]), "JSONEachRow", body, token)


def _next(store: Store, project_id: str) -> str:
    """The time of the next decision."""
    (found,) = store.query(NEWEST, {"project_id": project_id})
    newest = EPOCH + timedelta(microseconds=found["newest_us"] + 1)
    at = max(datetime.now(UTC), newest)
    return at.isoformat(sep=" ", timespec="microseconds").removesuffix("+00:00")
