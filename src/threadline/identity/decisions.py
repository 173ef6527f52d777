"""Decisions about identity that people make: unlinking a pair, declaring two users one person.

Nothing is rewritten. A decision is a row with who and when; the newest one counts, and with `as_of`
the newest one of then. Chains of aliases are resolved here, when one is made, so that a question
finds every user's person in one step.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

from threadline.contract.errors import AliasCycle
from threadline.identity.ground import PROJECT
from threadline.store import Store

Names = Mapping[str, str]

IS_UNLINKED = f"""
    SELECT argMax(unlinked, decided_at) AS unlinked FROM unlinks
    WHERE {PROJECT} AND visitor = sipHash64({{anonymous_id:String}})
        AND user_id = {{user_id:String}}
    HAVING count() > 0"""

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
    """From now on no question takes this device for this user's; whether that changes anything."""
    return _decide_link(store, project_id, by, anonymous_id, user_id, unlinked=True)


def link_again(store: Store, project_id: str, by: str, anonymous_id: str, user_id: str) -> bool:
    """Take an unlink back; whether there was one."""
    return _decide_link(store, project_id, by, anonymous_id, user_id, unlinked=False)


def alias(store: Store, project_id: str, by: str, user_id: str, alias_of: str) -> bool:
    """Declare a user the same person as another; whether that is new.

    Raises `AliasCycle` if the other is, by whatever chain, an alias of this one.
    """
    declared = _declared(store, project_id)
    wanted = {**declared, user_id: alias_of}
    chain = [user_id]
    while chain[-1] in wanted:
        chain.append(wanted[chain[-1]])
        if chain[-1] == user_id:
            raise AliasCycle(f"Aliases would run in a circle: {' → '.join(chain)}.", cycle=chain)
    return _decide_alias(store, project_id, user_id, alias_of, by, declared, wanted)


def unalias(store: Store, project_id: str, by: str, user_id: str) -> bool:
    """Take an alias back; whether there was one."""
    declared = _declared(store, project_id)
    wanted = {name: of for name, of in declared.items() if name != user_id}
    return _decide_alias(store, project_id, user_id, "", by, declared, wanted)


def forget_user(store: Store, project_id: str, user_id: str) -> None:
    """Delete every decision that names this user. Who was an alias of it stands alone then."""
    for name, of in _declared(store, project_id).items():
        if user_id in (name, of):
            unalias(store, project_id, "forget", name)
    bound = {"project_id": project_id, "user_id": user_id}
    for table, condition in {
        "unlinks": "user_id = {user_id:String}",
        "aliases": "(user_id = {user_id:String} OR canonical = {user_id:String})",
        "alias_decisions": "(user_id = {user_id:String} OR alias_of = {user_id:String})",
    }.items():
        if store.query(f"SELECT 1 FROM {table} WHERE {PROJECT} AND {condition} LIMIT 1", bound):
            store.delete(table, f"{PROJECT} AND {condition}", bound)


def _declared(store: Store, project_id: str) -> Names:
    rows = store.query(DECLARED, {"project_id": project_id})
    return {row["user_id"]: row["alias_of"] for row in rows}


def _decide_link(
    store: Store, project_id: str, by: str, anonymous_id: str, user_id: str, unlinked: bool
) -> bool:
    bound = {"project_id": project_id, "anonymous_id": anonymous_id, "user_id": user_id}
    found = store.query(IS_UNLINKED, bound)
    if bool(found and found[0]["unlinked"]) == unlinked:
        return False
    row = {**bound, "unlinked": unlinked, "decided_at": _now(), "decided_by": by}
    _insert(store, "unlinks", [row])
    return True


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
    decided: dict[str, object] = {"project_id": project_id, "decided_at": _now(), "decided_by": by}
    before, after = _resolved(declared), _resolved(wanted)
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


def _resolved(declared: Names) -> dict[str, str]:
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


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="microseconds").removesuffix("+00:00")
