"""Turns, one by one: what a node that lost its turn sends is refused, and what it had settled comes
once, however late it comes back."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_commands import fails
from tests.ingest.test_once import WAIT_S, append, stored, values
from tests.nodes.conftest import Start
from threadline.control import ControlError
from threadline.control.nodes import Nodes
from threadline.identity import states
from threadline.ingest import claims
from threadline.ingest.claims import Claims
from threadline.ingest.dedup import Dedup
from threadline.ingest.log import Log
from threadline.ingest.recovery import AtWork, alone
from threadline.ingest.row import Hashes
from threadline.ingest.writer import Writer
from threadline.settings import Settings
from threadline.store import Store, StoreError

KEY = 7


def hashes(*numbers: int) -> Hashes:
    return np.array(numbers, dtype=np.uint64)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store(store_url) as opened:
        yield opened


@contextmanager
def node(control_url: str, store: Store) -> Iterator[tuple[Nodes, Dedup, Claims]]:
    with closing(Nodes(control_url)) as nodes:
        dedup = Dedup(store, days=7)
        yield nodes, dedup, Claims(store, dedup)


def test_a_claim_that_comes_after_the_turn_is_refused(control_url: str, store: Store) -> None:
    """The first node is frozen, or cut off, between its look and its claim."""
    with ExitStack() as both:
        one, _, first = both.enter_context(node(control_url, store))
        other, dedup, second = both.enter_context(node(control_url, store))
        held = both.enter_context(ExitStack())
        turn = held.enter_context(one.locks.turn(first.after))
        first.follow(turn)
        one.close()  # PostgreSQL takes it for gone, and gives the turn to the other
        with other.locks.turn(second.after) as taken:
            assert taken.number > turn.number
            assert taken.after_another
            second.follow(taken)
            assert not len(dedup.duplicates(hashes(1, 2)))
            with pytest.raises(StoreError):
                first.make(hashes(1, 2), turn.number)
            second.make(hashes(1, 2), taken.number)
        assert not second.are_made(turn.number)
        assert second.are_made(taken.number)
        with pytest.raises(ControlError):
            held.close()


def test_what_the_other_claimed_is_known(control_url: str, store: Store) -> None:
    with ExitStack() as both:
        nodes = [both.enter_context(node(control_url, store)) for _ in range(2)]
        for number in range(6):
            of, dedup, mine = nodes[number % 2]
            with of.locks.turn(mine.after) as turn:
                mine.follow(turn)
                known = dedup.duplicates(hashes(*range(1, 8)))
                assert known.tolist() == [*range(number)]
                mine.make(hashes(number + 1), turn.number)


def test_numbers_go_on_where_those_who_count_lost_count(
    control_url: str, store: Store, postgres_database: "str"
) -> None:
    """Such as after PostgreSQL was restored from a copy."""
    with node(control_url, store) as (nodes, _, mine):
        for number in range(5):
            with nodes.locks.turn(mine.after) as turn:
                mine.follow(turn)
                mine.make(hashes(number + 1), turn.number)
    with node(postgres_database, store) as (nodes, dedup, mine):
        mine.begin()
        with nodes.locks.turn(mine.after) as again:
            assert again.number > turn.number
            mine.follow(again)
            assert len(dedup.duplicates(hashes(1, 2, 3, 4, 5))) == 5


@pytest.mark.parametrize("late", [False, True], ids=["soon", "late"])
@pytest.mark.parametrize("landed", ["nothing", "a part", "all"])
def test_a_block_that_was_interrupted_comes_once(
    landed: str,
    late: bool,
    control_url: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Late: so many others have written since that the store does not know its token any more."""
    rows = [
        values(f"e{number}", timestamp=1_777_644_000_000, user_id=f"u{number}")
        for number in range(6)
    ]
    monkeypatch.setattr("threadline.ingest.failing.RETRY_S", (0.0,))
    insert = Store.insert

    def crash(self: Store, table: str, *given: object, **named: object) -> None:
        if table == "events" and landed != "nothing":
            insert(self, table, *given, **named)  # type: ignore[arg-type]
        raise StoreError("the process is gone")

    with closing(Nodes(control_url)) as nodes:
        log = Log(tmp_path, id_key=KEY)
        with monkeypatch.context() as crashing:
            crashing.setattr(Store, "insert", crash)
            writer = Writer(log, store, others=nodes.locks)
            append(log, *rows)
            assert not writer.catch_up(0.5)
            writer.close()
        log.close()
        if landed == "a part":
            assert late or stored(store)
            store.delete("events", "event_id IN ('e1', 'e2')", {})
        if late:
            monkeypatch.setattr(claims, "BLOCKS_KNOWN", 0)
            for state in states.STATES:  # as if it had been cut off between the events and these
                store.execute(f"TRUNCATE TABLE {state.table}")
        log = Log(tmp_path, id_key=KEY)
        writer = Writer(log, store, others=nodes.locks)
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
    whole = [f"e{number}" for number in range(6)]
    if late or landed != "a part":
        assert [each for each in states.verify(store) if each[2:] != (0, 0, 0)] == []
    # A part is what a month or a shard has; the token knows it, so what was taken out stays out.
    assert stored(store) == (["e0", "e3", "e4", "e5"] if landed == "a part" and not late else whole)


def test_a_copy_of_a_log_does_not_start_beside_it(start: Start, tmp_path: Path) -> None:
    one = start("one")
    one.await_line("ready")
    shutil.copytree(tmp_path / "one", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    said = fails("serve", "--data", str(tmp_path / "copy"), **one.environ)
    assert "a data folder of its own" in said


def test_only_one_node_rebuilds(control_url: str, store_url: str, tmp_path: Path) -> None:
    def settings(name: str) -> Settings:
        (tmp_path / name).mkdir()
        return Settings(data=str(tmp_path / name), control=control_url, store=store_url)

    one, other = settings("one"), settings("other")
    with alone(one), pytest.raises(AtWork, match="Another node"), alone(other):
        raise AssertionError
    with alone(other):
        pass
