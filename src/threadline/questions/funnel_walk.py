"""Which walk a funnel takes, and what goes into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from threadline.identity.compose import all_of, where
from threadline.questions.filters import refused
from threadline.questions.funnel_sql import (
    BY_MARKS,
    BY_STEP,
    BY_STEP_DIVIDED,
    FROM_ANY,
    FROM_BACK,
    IN_ANY_ORDER,
    LASTS,
    NEXT,
    NOW,
)
from threadline.questions.funnel_steps import FunnelStep, are_apart, first_not_apart
from threadline.questions.named import Names

Order = Literal["sequence", "strict", "any"]

# What is said of somebody is nothing that they did.
NOT_DONE = "('$identify', '$group', '$alias')"


@dataclass(frozen=True)
class Walk:
    """`sql`: up to `walks`, with `slots`. `first`: whether `walked` may be the first step.
    `has_reached`: `walks` has the column `reached`. `of_some`: and `people`, whom a row counts
    for. `divided_sql`: the same with that, and without anything of a group."""

    sql: str
    slots: dict[str, object]
    first: str
    has_reached: bool
    steps: Sequence[FunnelStep]
    divided_sql: str = ""
    of_some: bool = False

    @property
    def divided(self) -> "Walk":
        """The same where people are divided among machines (see `finished`), if that is known."""
        return replace(self, sql=self.divided_sql, of_some=True) if self.divided_sql else self

    @property
    def persons(self) -> str:
        """Of one row, SQL of an array with 1 for each step reached, or how many people did."""
        each = "people * " if self.of_some else "toUInt64"
        if self.has_reached:
            return f"arrayMap(step -> {each}(notEmpty(step)), reached)"
        return f"arrayMap(k -> {each}(length(times) >= k), {_numbers(self.steps)})"

    @property
    def gaps(self) -> str:
        """Of one person, SQL of an array with the milliseconds since the step before, from the
        second on; with `reached`, each in an array of its own, empty where the step was not
        reached."""
        if self.has_reached:
            return "arrayMap(step -> arraySlice(step, 2), arrayPopFront(reached))"
        return "arrayPopFront(arrayDifference(times))"

    def at(self, step: int) -> str:
        """When a person did this step, who did."""
        return f"reached[{step}][1]" if self.has_reached else f"times[{step}]"

    def did(self, step: int) -> str:
        """Whether a person got to this step."""
        return f"notEmpty(reached[{step}])" if self.has_reached else f"length(times) >= {step}"

    def back(self, step: int) -> int:
        """The last step before this one that nobody may leave out."""
        return _backs(self.steps)[step - 1]


class _Events(NamedTuple):
    """Conditions on events `e`: for each step and all that excludes; that steps have to pass
    besides, and that all have to."""

    steps: list[str]
    excluding: list[str]
    filters: Sequence[str]
    others: Sequence[str]

    @property
    def looked_at(self) -> list[str]:
        """Filters are for steps: what excludes does so whether it passes them or not."""
        if self.filters and self.excluding:
            steps = all_of([f"({' OR '.join(self.steps)})", *self.filters])
            return [f"(({steps}) OR {' OR '.join(self.excluding)})", *self.others]
        any_of = " OR ".join([*self.steps, *self.excluding])
        return [f"({any_of})", *self.others, *self.filters]

    def marks(self, strict: bool) -> dict[str, object]:
        """The slots of a walk by marks. `strict`: all events stand between."""
        bits = [f"if({condition}, {2**n}, 0)" for n, condition in enumerate(self.steps, start=1)]
        steps = " + ".join(bits)
        if self.filters:
            steps = f"if({all_of(self.filters)}, {steps}, 0)"
        if strict:
            done = [f"e.event_name NOT IN {NOT_DONE}", *self.steps]
            looked_at = [f"({' OR '.join(done)})", *self.others]
            return {"marks": f"{steps} + 1", "where": where(looked_at)}
        between = f" + if({' OR '.join(self.excluding)}, 1, 0)" if self.excluding else ""
        return {"marks": f"{steps}{between}", "where": where(self.looked_at)}


def walk(
    steps: Sequence[FunnelStep],
    excluded: Sequence[FunnelStep],
    order: Order,
    names: Names,
    filters: Sequence[str],
    others: Sequence[str],
    values: dict[str, object],
) -> Walk:
    """The walk for these steps. `filters`: conditions that steps have to pass besides; `others`:
    that all events have to. What it binds goes into `values`. Raises `InvalidParams`."""
    _refuse(steps, excluded, order)
    conditions = [step.sql(f"step_{nth}", names, values) for nth, step in enumerate(steps, start=1)]
    excluding = [
        step.sql("exclude" if nth == 1 else f"exclude_{nth}", names, values)
        for nth, step in enumerate(excluded, start=1)
    ]
    events = _Events(conditions, excluding, filters, others)
    if order == "any":
        return _in_any_order(steps, events)
    plain = order == "sequence" and not any(step.optional for step in steps)
    if plain and are_apart([*steps, *excluded]):
        return _by_step(steps, events)
    return _by_marks(steps, events, order == "strict")


def _refuse(steps: Sequence[FunnelStep], excluded: Sequence[FunnelStep], order: Order) -> None:
    if steps[0].optional:
        raise refused("steps", "the first step is never optional; write it without a question mark")
    if excluded and order == "strict":
        raise refused("exclude", "with order=strict no event may come in between; leave it out")
    if any(step.optional for step in excluded):
        raise refused("exclude", "what excludes is never optional; leave out its question mark")
    if order != "any":
        return
    if any(step.optional for step in steps):
        message = "with order=any no step is optional; leave out the ?, or take order=sequence"
        raise refused("steps", message)
    kinds = list({step.key: step for step in steps}.values())
    if pair := first_not_apart(kinds):
        one, other = pair
        raise refused(
            "steps",
            f"one event may be both {one.text} and {other.text}, which order=any cannot tell apart;"
            " write conditions that rule each other out, such as path=/a and path!=/a, or take"
            " order=sequence",
        )


def _by_step(steps: Sequence[FunnelStep], events: _Events) -> Walk:
    numbers = _numbers(steps)
    slots: dict[str, object] = {
        "step_of_event": ", ".join(f"{sql}, {n}" for n, sql in enumerate(events.steps, start=1)),
        "numbers": numbers,
        "nothing": f"{[[] for _ in numbers]}::Array(Array(Int64))",
        "where": where(events.looked_at),
    }
    return Walk(BY_STEP, slots, "walked % 16 = 1", False, steps, BY_STEP_DIVIDED)


def _by_marks(steps: Sequence[FunnelStep], events: _Events, strict: bool) -> Walk:
    numbers = _numbers(steps)
    skipping = strict and any(step.optional for step in steps)
    slots: dict[str, object] = {
        "numbers": numbers,
        "backs": _backs(steps),
        "required": [n for n, step in zip(numbers, steps, strict=True) if not step.optional],
        "nothing": f"[{', '.join('([], [])' for _ in numbers)}]",
        "next": NEXT.replace("$from", FROM_ANY if skipping else FROM_BACK),
        # In a row, of what is the first step only, and of what stands between, two are enough.
        "kept": "kind > 3",
        "did_first": "arrayExists(e -> bitTest(e, 1), sorted)",
        **events.marks(strict),
    }
    return Walk(BY_MARKS, slots, "bitTest(walked, 1)", True, steps)


def _in_any_order(steps: Sequence[FunnelStep], events: _Events) -> Walk:
    keys = [step.key for step in steps]
    kinds = dict(zip(keys, events.steps, strict=True))
    numbers = list(range(1, len(kinds) + 1))
    mosts = [keys.count(key) for key in kinds]
    lasts = LASTS.replace("$numbers", str(numbers)).replace("$mosts", str(mosts))
    slots: dict[str, object] = {
        "nothing": f"{[[] for _ in numbers]}::Array(Array(Int64))",
        "lasts": lasts,
        "now": NOW.replace("$lasts", lasts),
        "kept": "kind > 1",
        "did_first": "arrayExists(e -> e % 2048 > 1, sorted)",
        **events._replace(steps=list(kinds.values())).marks(False),
    }
    return Walk(IN_ANY_ORDER, slots, "walked % 2048 > 1", False, steps)


def _numbers(steps: Sequence[FunnelStep]) -> list[int]:
    return list(range(1, len(steps) + 1))


def _backs(steps: Sequence[FunnelStep]) -> list[int]:
    """Of each step the last before it that nobody may leave out; of the first, itself."""
    return [
        max((m for m, step in enumerate(steps[:n], start=1) if not step.optional), default=1)
        for n in range(len(steps))
    ]
