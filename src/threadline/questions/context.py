"""What every question is asked with: one project, whose events are whose, as of when."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from zoneinfo import ZoneInfo

from threadline.contract.definitions import Annotation
from threadline.contract.times import Timestamp, now_ms
from threadline.identity import kept_touches
from threadline.identity.accounts import (
    OBSERVED,
    OBSERVED_ANSWER,
    OBSERVED_LIKE,
    OBSERVED_TABLE,
    accounts,
)
from threadline.identity.compose import bound, compose, fill
from threadline.identity.kept import Keeper
from threadline.identity.kept_tables import KEPT_TABLES
from threadline.identity.kept_visits import may_be_kept, visits_beside_kept
from threadline.identity.reading import Reading
from threadline.identity.relations import decided_devices
from threadline.identity.resolution import Policy, Resolution, resolve
from threadline.identity.stitch import relations
from threadline.identity.visits import Wanted
from threadline.identity.visits import visits as visit_relations
from threadline.questions.conditions import narrow
from threadline.questions.facts import Facts, of_all
from threadline.questions.filters import Condition
from threadline.questions.named import Names
from threadline.questions.narrowing import NOTHING as EVERYTHING
from threadline.questions.narrowing import Narrowing
from threadline.questions.per_account import (
    events_of_accounts,
    facts_of_accounts,
    of_accounts,
    relations_of_accounts,
    without_account,
)
from threadline.questions.rates import RATES
from threadline.questions.traffic_sources import NAMED_SOURCES
from threadline.store import Params, Query, Row, Store

# Of projects that say nothing else.
VISIT_TIMEOUT_MS = 30 * 60_000

NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True)
class Context:
    """One question's surroundings; made anew for each.

    `policy`: chosen already, the project's default included. `as_of_ms`: since 1970; None: all
    that is known now. `bots`: they count, too. `visit_timeout_ms`: a visit ends where nothing
    happens for longer. `placeholder_ids`: counts ids that were dropped or refused. `filters`: what
    the answer is narrowed to; `names`: segments and goals of the project; `notes`: its annotations.
    `per_account`: accounts are counted in the place of people; then `about_people` is who is left
    out. `supposed`: with decisions that nobody has made, in the place of those there are. `keeper`:
    has owners of devices in memory; without one they are joined. `touches_outlive`: first touches
    outlive the events that they follow from. `asked_at_ms`: what counts as now; None: now.
    """

    store: Store
    project_id: str
    policy: Policy = "any"
    as_of_ms: int | None = None
    bots: bool = False
    visit_timeout_ms: int = VISIT_TIMEOUT_MS
    placeholder_ids: int = 0
    filters: Sequence[Condition] = ()
    names: Names = field(default_factory=Names)
    notes: Collection[Annotation] = ()
    per_account: bool = False
    supposed: Resolution | None = None
    about_people: list[Query] = field(default_factory=list)
    keeper: Keeper | None = None
    touches_outlive: bool = False
    asked_at_ms: int | None = None

    @cached_property
    def reading(self) -> Reading:
        """The store, as far as it is this project's."""
        return Reading(self.store, self.project_id)

    @cached_property
    def resolution(self) -> Resolution:
        """Which links, unlinks and aliases count. It asks the store, so only where it is needed."""
        return self.supposed or resolve(
            self.reading, self.project_id, self.policy, self.as_of_ms, self.bots, self.keeper
        )

    @property
    def is_divided(self) -> bool:
        """Whether people lie on several machines, of which each can finish with those who are
        nobody's (see `finished`): not with accounts, whose people may be anywhere, nor where it
        takes all of somebody to know who is asked for."""
        return bool(self.store.cluster) and not (self.per_account or self.narrowing.persons)

    @cached_property
    def now_ms(self) -> int:
        """Until when an answer can say anything: now, or `as_of`."""
        now = now_ms() if self.asked_at_ms is None else self.asked_at_ms
        return now if self.as_of_ms is None else min(now, self.as_of_ms)

    def owned(self, considered: str, relation: str = "person_events") -> str:
        """`person_events`, or `owned_events`, of another relation than `considered`, and of all
        people, or accounts."""
        owned = self._relations[relation].replace("FROM considered", f"FROM {considered}")
        return events_of_accounts(owned) if self.per_account else owned

    @cached_property
    def _relations(self) -> dict[str, str]:
        return relations(self.resolution)

    @cached_property
    def _decided_devices(self) -> dict[str, object]:
        return decided_devices(self.reading, self.resolution)

    @cached_property
    def _kept_tables(self) -> dict[str, dict[str, object]]:
        """What binds those that statements named up to now, which stay as long as this does."""
        return {}

    def _kept_table(self, name: str) -> dict[str, object]:
        assert self.keeper
        if name not in self._kept_tables:
            found = self.keeper.table(self.reading, self.resolution, name)
            self._kept_tables[name] = found
        return self._kept_tables[name]

    @cached_property
    def _kept_visits(self) -> dict[str, object] | None:
        """What binds them, where they are kept; they stay as long as this does."""
        assert self.keeper
        return self.keeper.visits(self.reading, self.resolution, self.visit_timeout_ms)

    @cached_property
    def _observed(self) -> dict[str, object]:
        """What binds a table of the accounts that people were seen in."""
        assert self.keeper
        found = self._composed(OBSERVED_ANSWER, {**self._relations, **self.accounts}, {})
        return self.keeper.answer(OBSERVED, OBSERVED_LIKE, found)

    @cached_property
    def _kept_touches(self) -> dict[str, object] | None:
        assert self.keeper
        return self.keeper.touches(self.reading, self.resolution)

    def _visits(self, known: Mapping[str, str], wanted: Wanted) -> dict[str, str]:
        """Relations of visits. Those of accounts are cut where people change them."""
        on, timeout_ms = self.resolution, self.visit_timeout_ms
        may_be = self.keeper and not self.per_account and may_be_kept(on, timeout_ms, wanted)
        made = visits_beside_kept if may_be and self._kept_visits else visit_relations
        return made(on, known, timeout_ms, wanted)

    @cached_property
    def narrowing(self) -> Narrowing:
        """The filters as SQL. Whoever looks at events adds `narrowing.events` to its conditions;
        relations that count people are narrowed by themselves. Raises `InvalidParams`."""
        if not self.filters:
            return EVERYTHING
        now = now_ms() if self.as_of_ms is None else self.as_of_ms
        known = self._relations
        return narrow(self.filters, self.resolution, known, self.facts, now, self.names)

    @cached_property
    def accounts(self) -> dict[str, str]:
        """Who belongs to which account, as relations."""
        return accounts(self.resolution, self._relations)

    @cached_property
    def facts(self) -> Facts:
        """What is known of everybody; a relation has to be asked for before a query names it."""
        return Facts(self.resolution, self._relations)

    def annotations(
        self, from_ms: int | None, to_ms: int | None, tz: str = "UTC"
    ) -> list[Annotation]:
        """Those of a time, the earliest first; of all times where an end is None. `tz`: by whose
        clocks a date begins."""
        zone = ZoneInfo(tz)
        found = [(Timestamp.parse(note.at).in_zone(zone).ms, note) for note in self.notes]
        return [
            note
            for at_ms, note in sorted(found, key=lambda each: (each[0], each[1].annotation_id))
            if (from_ms is None or at_ms >= from_ms) and (to_ms is None or at_ms < to_ms)
        ]

    def query(
        self,
        sql: str,
        values: Params = NOTHING,
        slots: Mapping[str, object] = NOTHING,
        near: str = "",
        visits: Wanted | None = None,
    ) -> Query:
        """The statement with its slots filled and the relations it names, and the values that it
        binds. `near`: leaves few devices, as for `stitch.relations`. `visits`: what it
        needs of them."""
        known = relations(self.resolution, near) if near else self._relations
        found = self._query(sql, values, slots, known, visits)
        if not near and self._has_touches(found[0]):
            known = {**known, **kept_touches.kept_touches()}
            return self._query(sql, values, slots, known, visits)
        return found

    def _has_touches(self, sql: str) -> bool:
        """Whether the statement looks at first touches that are kept."""
        if not (self.keeper and kept_touches.may_be_kept(self.resolution)):
            return False
        return kept_touches.looks_at_everybodys(sql) and self._kept_touches is not None

    def _query(
        self,
        sql: str,
        values: Params,
        slots: Mapping[str, object],
        known: Mapping[str, str],
        visits: Wanted | None,
    ) -> Query:
        if visits:
            known = {**known, **self._visits(known, visits)}
        known = {**known, "every_first_events": known["first_events"]}
        if not self.narrowing.is_nothing:
            everybodys = visits is not None and visits.of_everybody and "device_visits" in known
            known = self.narrowing.narrowed(known, visits=not everybodys)
        known = known | self.facts.relations
        if self.facts.visits:
            known = known | of_all(self._visits(self._relations, self.facts.visits))
        filled = fill(sql, slots)
        asked = self._of_accounts(filled, known, values) if self.per_account else (filled, known)
        return self._composed(*asked, values)

    def _composed(self, sql: str, known: Mapping[str, str], values: Params) -> Query:
        composed = compose(sql, {**known, **NAMED_SOURCES, **RATES})
        every: dict[str, object] = {}
        if composed.count(f"FROM {OBSERVED}\n") > 1 and self.keeper and not self.store.cluster:
            every |= self._observed
            composed = compose(sql, {**known, OBSERVED: OBSERVED_TABLE, **NAMED_SOURCES, **RATES})
        every |= {
            "visit_timeout_ms": self.visit_timeout_ms,
            **self.resolution.params,
            **self.narrowing.values,
            **self.facts.values,
            **values,
        }
        if "{decided_devices:" in composed:
            every |= self._decided_devices
        if "{older_visits:" in composed:
            every |= self._kept_visits or {}
        if "{older_touches:" in composed:
            every |= self._kept_touches or {}
        for name in KEPT_TABLES:
            if f"{{{name}:" in composed:
                every |= self._kept_table(name)
        return composed, bound(composed, every)

    def _of_accounts(
        self, sql: str, known: Mapping[str, str], values: Params
    ) -> tuple[str, dict[str, str]]:
        """The statement of people as one of accounts, and the relations for it."""
        found = {
            **known,
            **self.accounts,
            **relations_of_accounts(
                self.resolution, known, self._relations, self.narrowing.of_people
            ),
            **facts_of_accounts(sql, self.facts),
        }
        if "person_events" in sql:
            self.about_people.append(self._composed(without_account(sql), found, values))
        return of_accounts(sql), found

    def ask(
        self,
        sql: str,
        values: Params = NOTHING,
        slots: Mapping[str, object] = NOTHING,
        visits: Wanted | None = None,
    ) -> list[Row]:
        """The answer to `query`."""
        return self.reading.query(*self.query(sql, values, slots, visits=visits))
