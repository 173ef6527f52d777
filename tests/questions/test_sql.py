"""What questions ask the store, as text: a change of it is seen, and looked at, in `sql/`.

    THREADLINE_TEST_REWRITE_SQL=1 pytest tests/questions/test_sql.py

writes the files anew.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from tests.support import row_values
from tests.width import WIDE
from threadline.identity import decisions
from threadline.identity.kept import Keeper
from threadline.identity.lookups import OWNER
from threadline.identity.reading import ASKED
from threadline.identity.resolution import Policy
from threadline.ingest import row
from threadline.questions import warned
from threadline.questions.context import Context
from threadline.questions.preview import PreviewParams
from threadline.questions.registry import PREVIEW, QUESTIONS
from threadline.runtime.params import parse_params
from threadline.store import Params, Query, Row, Store, store_url

REWRITE = "THREADLINE_TEST_REWRITE_SQL"
FILES = Path(__file__).with_name("sql")
NOON = 1_777_636_800_000  # 2026-05-01
POLICIES: tuple[Policy, ...] = get_args(Policy)

EVERY = {**QUESTIONS, PREVIEW.name: PREVIEW}

# Of each file: the question, and what it is asked with.
ASKED_OF: dict[str, tuple[str, dict[str, str]]] = {
    "stats_count": ("stats", {"interval": "day"}),
    "stats_sum": ("stats", {"metric": "sum", "property": "value", "event": "purchase"}),
    "stats_sum_converted": (
        "stats",
        {"metric": "sum", "property": "value", "currency": "EUR", "group_by": "country"},
    ),
    "stats_persons": ("stats", {"metric": "persons", "group_by": "source", "from": "2026-05-01"}),
    "stats_active": (
        "stats",
        {"metric": "persons", "interval": "day", "from": "2026-05-01T10:30Z", "tz": "Asia/Kolkata"},
    ),
    "stats_scopes": ("stats", {"group_by": "event_source,visit.source,first.channel"}),
    "sources": ("sources", {}),
    "sources_term": ("sources", {"breakdown": "term"}),
    "visits": ("visits", {"group_by": "source,entry_path", "interval": "week"}),
    "attribution": ("attribution", {"conversion": "purchase", "value_property": "value"}),
    "attribution_models": (
        "attribution",
        {
            "conversion": "purchase",
            "model": "first_touch,time_decay",
            "group_by": "channel,landing_path,first_country",
            "from": "2026-05-01",
        },
    ),
    "why": ("why", {"user_id": "ada", "conversion": "purchase"}),
    "attribution_converted": (
        "attribution",
        {"conversion": "purchase", "value_property": "value", "currency": "EUR"},
    ),
    "funnel": ("funnel", {"steps": "$pageview,purchase", "exclude": "refund"}),
    "funnel_grouped": ("funnel", {"steps": "$pageview,purchase{value=5}", "group_by": "source"}),
    "funnel_pages": (
        "funnel",
        {
            "steps": "$pageview,$pageview,signup?,purchase",
            "group_by": "path",
            "percentiles": "true",
        },
    ),
    "funnel_any": ("funnel", {"steps": "$pageview,purchase,$pageview", "order": "any"}),
    "funnel_people": ("funnel_people", {"steps": "$pageview,purchase", "step": "2"}),
    "retention": ("retention", {}),
    "retention_event": ("retention", {"cohort": "known", "event": "purchase"}),
    "retention_people": ("retention_people", {"cohort_start": "2026-04-27", "period": "0"}),
    "paths": ("paths", {"event": "purchase", "direction": "before"}),
    "paths_people": (
        "paths_people",
        {"event": "purchase", "direction": "before", "node": "/pricing", "step": "2"},
    ),
    "time_to_conversion": ("time_to_conversion", {"conversion": "purchase", "group_by": "source"}),
    "time_to_conversion_user": (
        "time_to_conversion",
        {"conversion": "purchase", "user_id": "ada", "group_by": "medium"},
    ),
    "users": ("users", {"conversion": "purchase", "source": "direct"}),
    "profile": ("profile", {"user_id": "ada"}),
    "journey": ("journey", {"user_id": "ada", "phase": "before"}),
    "accounts": ("accounts", {}),
    "account": ("account", {"account_id": "oak"}),
    "identity_stats": ("identity_stats", {}),
    "shared_devices": ("shared_devices", {}),
    "suspicious": ("suspicious", {}),
    "likely_duplicates": ("likely_duplicates", {}),
    "explain": ("explain", {"anonymous_id": "kiosk", "at": "2026-05-01T12:00Z"}),
}
# Asked with a body.
PREVIEWED: dict[str, tuple[str, dict[str, str]]] = {
    "preview": ("preview", {"decision": "unlink", "anonymous_id": "kiosk", "user_id": "ada"}),
}
# Those that no policy and no decision changes.
OF_EVENTS: dict[str, tuple[str, dict[str, str]]] = {
    "events": ("events", {"user_id": "ada", "event": "purchase", "from": "2026-05-01"}),
    "export": ("export", {"anonymous_id": "kiosk"}),
    # What else it asks are numbers by week, as `stats` asks for them.
    "changes": ("changes", {"to": "2026-05-04"}),
    "schema": ("schema", {}),
    "schema_values": ("schema", {"values_of": "source", "search": "goog"}),
}
ALL = ASKED_OF | PREVIEWED | OF_EVENTS


@cache
def answers_of(store: Store) -> dict[tuple[str, str], list[Row]]:
    """What the engine said up to now, by statement and values: nothing changes in this store, and
    planning the same thing again takes longer than all else here."""
    return {}


@cache
def asked_at_ms(store: Store) -> int:
    """Later than all decisions."""
    return int(datetime.now(UTC).timestamp() * 1000) + 60_000


class Recorder:
    """A store that remembers what it was asked, and answered. `begin` tells it what to answer
    without looking, in this order; what comes after that is asked of the engine."""

    cluster = None
    reads_once = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begin(())

    def begin(self, known: Sequence[list[Row]]) -> None:
        self._known = known
        self.asked: list[str] = []
        self.answered: list[list[Row]] = []

    def asking(self) -> AbstractContextManager[None]:
        return nullcontext()

    def query(self, sql: str, params: Params) -> list[Row]:
        self.asked.append(sql.strip().replace(f" {ASKED},", "", 1))
        number = len(self.answered)
        known = number < len(self._known)
        rows = self._known[number] if known else self._answer(sql, params)
        self.answered.append(rows)
        by = {"asked_by": params["asked_by"]} if "asked_by" in params else {}
        return [{**deepcopy(row), **by} for row in rows]

    def _answer(self, sql: str, params: Params) -> list[Row]:
        values = {name: value for name, value in params.items() if name != "asked_by"}
        key = sql.replace(f" {ASKED},", "", 1), repr(sorted(values.items()))
        answers = answers_of(self._store)
        if key not in answers:
            answers[key] = self._store.query(sql, params)
        return answers[key]

    def query_all(self, *queries: Query) -> list[list[Row]]:
        return [self.query(*query) for query in queries]

    def save(self, sql: str, *_: object) -> None:
        self.asked.append(sql)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two projects of the same events on a shared device, one of them with decisions."""
    folder = tmp_path_factory.mktemp("sql")
    with Store(store_url("chdb", folder)) as opened:
        for project in ("plain", "decided"):
            rows = [
                row_values(
                    project_id=project,
                    event_id=f"{minute}",
                    event_name="purchase" if user else "$pageview",
                    anonymous_id="kiosk",
                    user_id=user,
                    timestamp=NOON + minute * 60_000,
                    properties='{"value": 5, "account_id": "oak"}',
                )
                for minute, user in enumerate([None, "ada", None, "bob", None, "cy"])
            ]
            body = b"".join(row.encode(one) for one in rows)
            opened.insert("events", row.COLUMNS, "MsgPack", body, project)
        decisions.alias(opened, "decided", "test", "bob", "cy")
        decisions.unlink(opened, "decided", "test", "kiosk", "cy")
        yield opened


def keeping(store: Store) -> Keeper:
    """Without visits, which are made beside the questions."""
    return Keeper(store, beside=lambda work: None)


@cache
def keeper_of(store: Store) -> Keeper:
    return keeping(store)


@cache
def answered(store: Store, name: str, kind: str) -> list[list[Row]]:
    """What the engine says to the statements of a question by one policy: of the others the rows
    look alike, and a question reads no more of them to know what to ask next."""
    policies = [policy for n, policy, k in CASES.values() if (n, k) == (name, kind)]
    policy = policies[sum(map(ord, name + kind)) % len(policies)]
    return ask(store, ALL[name], cast(Policy, policy), kind).answered


def asked(store: Store, given: tuple[str, dict[str, str]], policy: Policy, kind: str) -> str:
    """All statements of a question but those that find out what was decided."""
    return text(ask(store, given, policy, kind))


def text(recorder: Recorder) -> str:
    return ";\n\n".join(recorder.asked) + ";\n"


def ask(
    store: Store,
    given: tuple[str, dict[str, str]],
    policy: Policy,
    kind: str,
    known: Sequence[list[Row]] = (),
) -> Recorder:
    """The question put to the engine, or as if that had answered what is `known`."""
    question, params = EVERY[given[0]], dict(given[1])
    in_path = {name: params.pop(name) for name in question.in_path}
    recorder = Recorder(store)
    context = Context(
        cast(Any, recorder),
        "decided" if kind in ("decided", "as_of") else "plain",
        policy,
        asked_at_ms(store) if kind == "as_of" else None,
        keeper=(keeper_of if known else keeping)(store) if kind == "kept" else None,
        per_account=question.of_accounts,
    )
    if given[0] not in OF_EVENTS:
        assert context.resolution.decided == (kind in ("decided", "as_of"))
    # What was asked before is not asked again, which would depend on the order of tests.
    warned._came.clear()
    recorder.begin(known)
    if question is PREVIEW:
        question.ask(context, PreviewParams(decision=params.pop("decision"), given=params))
    else:
        question.ask(context, parse_params(params, question.params, in_path=in_path))
    return recorder


def cases() -> Iterator[tuple[str, str, Policy, str]]:
    for name, (question, _) in (ASKED_OF | PREVIEWED).items():
        for policy in POLICIES:
            if not (EVERY[question].counts_people and policy == "any"):
                for kind in ("plain", "decided", "as_of", *(["kept"] if policy in OWNER else [])):
                    yield f"{name}-{policy}-{kind}", name, policy, kind
    for name in OF_EVENTS:
        yield name, name, "any", "plain"


CASES = {file: case for file, *case in cases()}


def supposed(store: Store, name: str, policy: Policy, kind: str) -> str:
    """As `asked`, of an engine that answers what it did by another policy. Empty where a question
    cannot go on from that."""
    with suppress(KeyError, ValueError):
        return text(ask(store, ALL[name], policy, kind, answered(store, name, kind)))
    return ""


@pytest.mark.parametrize("file", CASES)
def test_a_question_asks_as_it_did(store: Store, file: str) -> None:
    """Of each question some run here, which takes the engine a tenth of a second; in a wide run,
    all. What any of them answers is for other tests."""
    name, policy, kind = CASES[file]
    path = FILES / f"{file}.sql"
    if os.environ.get(REWRITE):
        path.parent.mkdir(exist_ok=True)
        path.write_text(asked(store, ALL[name], cast(Policy, policy), kind))
    sql = "" if WIDE else supposed(store, name, cast(Policy, policy), kind)
    if sql != path.read_text():
        sql = asked(store, ALL[name], cast(Policy, policy), kind)
    assert sql == path.read_text(), f"{path.name} differs; {REWRITE}=1 writes it anew."


def test_there_are_no_other_files() -> None:
    assert {path.stem for path in FILES.iterdir()} == set(CASES)


def test_decisions_do_not_multiply_what_is_asked(store: Store) -> None:
    """A funnel once had 4 SELECTs more for each mention of an alias: 211."""
    for name in ("funnel", "funnel_grouped", "stats_active", "retention", "attribution"):
        plain, decided = (
            asked(store, ASKED_OF[name], "next", kind) for kind in ("plain", "decided")
        )
        assert decided.count("SELECT") <= plain.count("SELECT") + 8, name
        for relation in ("owners", "ownership", "devices", "user_links"):
            assert plain.count(f" {relation} AS (") <= 1
            assert decided.count(f" {relation} AS (") <= 1
