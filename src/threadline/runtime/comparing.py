"""Whether two stores hold the same: every row of both, and some answers."""

from collections.abc import Callable

import msgspec

from threadline.contract.errors import ApiError
from threadline.contract.times import now_ms
from threadline.control import Control
from threadline.identity import states
from threadline.ingest.recovery import outliving
from threadline.runtime.sampling import ASKED, digest_of, keys
from threadline.settings import Settings
from threadline.store import QueryTimeout, Store, moving

# Of each project, in the order of their numbers, which is none of theirs.
JOURNEYS = 5
USERS = """
    SELECT DISTINCT user_id FROM user_touches
    WHERE project_id = {project_id:String}
    ORDER BY cityHash64(user_id) LIMIT {users:UInt32}"""
Progressed = Callable[[int, int], None]


class ComparedStores(msgspec.Struct):
    """What was looked at in both stores. `rows`: of each table, with how many months or other parts
    of it they lie in; `skipped`: questions that took too long; `problems`: sentences."""

    rows: dict[str, tuple[int, int]]
    answers: int = 0
    journeys: int = 0
    skipped: list[str] = []
    problems: list[str] = []


def incomparable_in(*stores: Store) -> tuple[str, ...]:
    """Tables that say something else on each node of a cluster, and not the same in two stores."""
    return moving.FOLLOW if any(store.cluster for store in stores) else ()


def compare(
    source: Store, target: Store, settings: Settings, progressed: Progressed
) -> ComparedStores:
    """Every row of both, table by table and partition by partition, and some answers. Raises
    `StoreError`."""
    found = ComparedStores(rows=dict.fromkeys(moving.table_names(), (0, 0)))
    described = moving.described(source)
    incomparable = incomparable_in(source, target)
    both = {
        each[:2]: each
        for store in (target, source)
        for each in moving.partitions(store)
        if each.table not in incomparable
    }
    total, done = sum(each.size for each in both.values()), 0
    for each in both.values():
        table = described[each.table]
        here, there = (moving.digest(store, table, each.partition) for store in (source, target))
        if here != there:
            found.problems.append(
                f"{each.table}, {each.partition}: {here.rows:,} rows here and {there.rows:,} there"
                + (", of other values" if here.rows == there.rows else "")
            )
        rows, parts = found.rows[each.table]
        found.rows[each.table] = (rows + there.rows, parts + 1)
        done += each.size
        progressed(done, total)
    kept = outliving(settings)
    made_anew = states.verify(target, 1, kept, incomparable) if incomparable else []
    for state in made_anew:
        found.rows[state.table] = (state.compared, 1)
        if wrong := state.beyond + state.missing + state.wrong:
            found.problems.append(
                f"{state.table}: {wrong:,} rows there are not what the events say"
            )
    with Control.of(settings, create=False) as control:
        _compare_answers(source, target, control, found)
    return found


def _compare_answers(source: Store, target: Store, control: Control, found: ComparedStores) -> None:
    at_ms = now_ms()
    names = {project.project_id: project.name for project in control.projects()}
    asked: list[tuple[str, str, dict[str, str], str]] = []
    for key in keys(control):
        project_id, _, name = key.partition("/")
        asked.append((project_id, *ASKED[name], name))
    for project_id in names:
        users = source.query(USERS, {"project_id": project_id, "users": JOURNEYS})
        for user in users:
            given = {"user_id": user["user_id"], "limit": "1000"}
            asked.append((project_id, "journey", given, "journey of a user"))
    for project_id, question, given, what in asked:
        answers = [
            _answer(store, control, project_id, question, given, at_ms)
            for store in (source, target)
        ]
        if None in answers:
            found.skipped.append(f"{names[project_id]}: {what}")
            continue
        if answers[0] != answers[1]:
            found.problems.append(f"{names[project_id]}: {what} is answered otherwise there")
        found.journeys += question == "journey"
        found.answers += question != "journey"


def _answer(
    store: Store,
    control: Control,
    project_id: str,
    question: str,
    given: dict[str, str],
    at_ms: int,
) -> str | None:
    """A digest of it; an error is an answer, too. None: it took too long."""
    try:
        return digest_of(store, control, project_id, question, given, at_ms)
    except QueryTimeout:
        return None
    except ApiError as error:
        return str(error)
