"""What decisions about identity cost: every question of a project with an alias and an unlink, and
of the same project without, in turns. Part of `benchmarks.stitching`.

What a question is asked on is looked up before it: which decisions there are, among others. So the
project without them is the one as it was looked up before they were made.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

from benchmarks.report import Report, in_turns_s, ms
from threadline.contract.times import Timestamp
from threadline.identity import decisions
from threadline.identity.resolution import PROJECT, Policy
from threadline.questions import (
    attribution,
    attribution_shapes,
    explain,
    funnel,
    identity,
    journey,
    paths,
    profile,
    retention,
    sources,
    stats,
    stats_shapes,
    time_to_conversion,
    users,
    users_shapes,
    visits,
)
from threadline.questions.context import Context
from threadline.store import Store

MANY = 1000
TABLES = ("aliases", "alias_decisions", "unlinks")
PAIRS = f"""
    SELECT user_id, any(anonymous_id) AS anonymous_id FROM links
    WHERE {PROJECT} GROUP BY user_id ORDER BY user_id LIMIT {{most:UInt32}}"""

Ask = Callable[[Context, str], object]
FUNNEL = "$pageview,signup,purchase"
# Each with the policy it is asked under. The last argument is a user nothing is decided about.
QUESTIONS: dict[str, tuple[Policy, Ask]] = {
    "persons": ("next", lambda on, _: stats.ask(on, stats_shapes.StatsParams(metric="persons"))),
    "persons by day and source": (
        "next",
        lambda on, _: stats.ask(
            on, stats_shapes.StatsParams(metric="persons", interval="day", group_by="source")
        ),
    ),
    "sources": ("next", lambda on, _: sources.ask(on, sources.SourcesParams())),
    "sessions by source": (
        "next",
        lambda on, _: visits.ask(on, visits.VisitsParams(group_by="source")),
    ),
    "attribution, linear": (
        "next",
        lambda on, _: attribution.ask(
            on, attribution_shapes.AttributionParams(conversion="signup", model="linear")
        ),
    ),
    "funnel of three steps": (
        "next",
        lambda on, _: funnel.ask(on, funnel.FunnelParams(steps=FUNNEL, window="30d")),
    ),
    "funnel of three steps, first": (
        "first",
        lambda on, _: funnel.ask(on, funnel.FunnelParams(steps=FUNNEL, window="30d")),
    ),
    "weekly retention": ("next", lambda on, _: retention.ask(on, retention.RetentionParams())),
    "paths before signup": (
        "next",
        lambda on, _: paths.ask(on, paths.PathsParams(event="signup", direction="before")),
    ),
    "time to conversion by source": (
        "next",
        lambda on, _: time_to_conversion.ask(
            on, time_to_conversion.TimeToConversionParams(conversion="signup", group_by="source")
        ),
    ),
    "time to conversion by source, any": (
        "any",
        lambda on, _: time_to_conversion.ask(
            on, time_to_conversion.TimeToConversionParams(conversion="signup", group_by="source")
        ),
    ),
    "users, 100 newest, any": ("any", lambda on, _: users.ask(on, users_shapes.UsersParams())),
    "users, 100 newest": ("next", lambda on, _: users.ask(on, users_shapes.UsersParams())),
    "one user's profile, any": (
        "any",
        lambda on, user: profile.ask(on, profile.ProfileParams(user_id=user)),
    ),
    "one user's profile": (
        "next",
        lambda on, user: profile.ask(on, profile.ProfileParams(user_id=user)),
    ),
    "one user's journey, any": (
        "any",
        lambda on, user: journey.ask(on, journey.JourneyParams(user_id=user)),
    ),
    "one user's journey": (
        "next",
        lambda on, user: journey.ask(on, journey.JourneyParams(user_id=user)),
    ),
    "identity stats": ("next", lambda on, _: identity.stats(on, identity.IdentityStatsParams())),
    "shared devices": (
        "next",
        lambda on, _: identity.shared_devices(on, identity.SharedDevicesParams()),
    ),
}


def report_decisions(
    report: Report, store: Store, project_id: str, runs: int, at: Timestamp
) -> None:
    """A row for each question with one decision of each kind, and with many for information.
    `at`: a time in the log."""
    with _undecided(store) as clear:
        pairs = store.query(PAIRS, {"project_id": project_id, "most": 3 * MANY + 1})
        (user, device), *others = ((pair["user_id"], pair["anonymous_id"]) for pair in pairs)
        at_device = explain.ExplainParams(anonymous_id=device, at=at)
        questions: dict[str, tuple[Policy, Ask]] = {
            **QUESTIONS,
            "explain": ("next", lambda on, _: explain.ask(on, at_device)),
        }
        without = _contexts(store, project_id)
        for many, target in ((1, "≤ 1.15 times"), (min(MANY, len(others) // 3), "–")):
            _decide(store, project_id, others, many)
            decided = _contexts(store, project_id)
            said = "an alias and an unlink" if many == 1 else f"{many:,} aliases and unlinks"
            for name, (policy, ask) in questions.items():
                contexts = without[policy], decided[policy]
                asks = [partial(ask, on, user) for on in contexts]
                took_s = in_turns_s(asks, runs)
                _report(report, f"{name}: {said}", took_s[0], took_s[1], target)
            clear()


def _report(
    report: Report, what: str, without: Sequence[float], decided: Sequence[float], target: str
) -> None:
    report.row(
        what,
        ms(median(decided)),
        f"without {ms(median(without))}",
        f"{median(decided) / median(without):.2f} times; of the fastest of each "
        f"{min(decided) / min(without):.2f}",
        target,
    )


@contextmanager
def _undecided(store: Store) -> Iterator[Callable[[], None]]:
    """No decisions before and after, so that another run on the same folder finds none."""

    def clear() -> None:
        for table in TABLES:
            store.execute(f"TRUNCATE TABLE {table}")

    clear()
    try:
        yield clear
    finally:
        clear()


def _contexts(store: Store, project_id: str) -> dict[Policy, Context]:
    """With whatever decisions there are now, looked up."""
    policies: tuple[Policy, ...] = ("any", "first", "next")
    contexts = {policy: Context(store, project_id, policy) for policy in policies}
    assert all(context.resolution for context in contexts.values())
    return contexts


def _decide(store: Store, project_id: str, known: list[tuple[str, str]], many: int) -> None:
    """So many aliases, and as many unlinks of other users."""
    for number in range(many):
        user_id, other, unlinked = (known[3 * number + place] for place in range(3))
        decisions.alias(store, project_id, "benchmark", user_id[0], other[0])
        decisions.unlink(store, project_id, "benchmark", unlinked[1], unlinked[0])
    for table in TABLES:
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
