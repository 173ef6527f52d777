"""Every question there is. Routes, reference, command line, SDK and whatever else asks come from
this list; what a question does is in the module named after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from threadline.contract.errors import (
    AliasCycle,
    ApiError,
    InvalidGroupBy,
    NotFound,
    StitchNotAPartition,
)
from threadline.contract.policies import Policy
from threadline.questions import (
    account,
    account_list,
    attribution,
    changes,
    events,
    explain,
    export,
    funnel,
    funnel_people,
    identity,
    journey,
    likely_duplicates,
    paths,
    paths_people,
    preview,
    profile,
    retention,
    retention_people,
    schema,
    sources,
    stats,
    suspicious,
    time_to_conversion,
    users,
    visits,
    why,
)
from threadline.questions.context import Context
from threadline.questions.dimensions import Scope

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: a struct of parameters in, a struct out.

    `counts_people`: it counts them, so each event needs one owner: policies that give it several
    are refused. `in_path`: parameters that are parts of the path. `errors`: beside those that any
    question may end with. `media_types`: of its answer; the first is the default.
    `is_stream`: its answer comes as slowly as it is taken. `also`: another path, of before.
    `narrows`: of each scope of filters that it takes, what these narrow.
    `of_accounts`: it is about accounts in the place of people.
    `default_policy`: where neither the question nor the project says one, and it counts nobody.
    """

    name: str
    path: str
    summary: str
    tag: str
    params: type
    answer: type
    ask: Callable[[Context, Any], Any]
    counts_people: bool = False
    in_path: tuple[str, ...] = ()
    errors: tuple[type[ApiError], ...] = ()
    media_types: tuple[str, ...] = (JSON,)
    is_stream: bool = False
    also: str = ""
    narrows: Mapping[Scope, str] = field(default_factory=dict)
    default_policy: Policy = "any"
    of_accounts: bool = False

    @property
    def notes(self) -> dict[str, str]:
        """What there is to say here of parameters that several questions share."""
        of_people = "next" if self.counts_people else self.default_policy
        narrows = "; ".join(f"{scope}s: {what}" for scope, what in self.narrows.items())
        return {
            "stitch": f"Default: the project's, else `{of_people}`.",
            "filters": f"What they narrow, by what they speak of. {narrows}.",
        }

    @property
    def paths(self) -> list[str]:
        return [self.path, self.also] if self.also else [self.path]


OF_FUNNELS: Mapping[Scope, str] = {
    "event": "all steps, and neither exclude nor what may not come in between",
    "visit": "to what happens in such visits: steps, and what comes in between",
    "person": "the people",
}

OF_PATHS: Mapping[Scope, str] = {
    "event": "the events on the way, not where it begins or ends",
    "visit": "to events in such visits",
    "person": "the people",
}

_QUESTIONS = (
    Question(
        name="events",
        path="/v1/query",
        summary="Stored events, newest first",
        tag="Events",
        params=events.EventsParams,
        answer=events.Events,
        ask=events.ask,
    ),
    Question(
        name="export",
        path="/v1/export",
        summary="All stored events that pass the filters, as a file",
        tag="Events",
        params=export.ExportParams,
        answer=str,
        ask=export.ask,
        is_stream=True,
        media_types=tuple(media.partition(";")[0] for media in export.MEDIA_TYPES.values()),
    ),
    Question(
        name="schema",
        path="/v1/schema",
        summary="Which events, properties and traits there are, and which values",
        tag="Events",
        params=schema.SchemaParams,
        answer=schema.Schema,
        ask=schema.ask,
    ),
    Question(
        name="users",
        narrows={"person": "the users"},
        path="/v1/users",
        summary="Users, each with the touch that brought them",
        tag="People",
        params=users.UsersParams,
        answer=users.Users,
        ask=users.ask,
        media_types=(JSON, "application/x-ndjson", "text/csv"),
    ),
    Question(
        name="profile",
        path="/v1/users/{user_id}",
        summary="One user: traits, devices, first and last touch",
        tag="People",
        params=profile.ProfileParams,
        answer=profile.Profile,
        ask=profile.ask,
        in_path=("user_id",),
        errors=(NotFound,),
    ),
    Question(
        name="journey",
        path="/v1/users/{user_id}/events",
        summary="What one user did, the time before signing in included",
        tag="People",
        params=journey.JourneyParams,
        answer=journey.Journey,
        ask=journey.ask,
        in_path=("user_id",),
        errors=(NotFound,),
    ),
    Question(
        name="accounts",
        narrows={"person": "the people of accounts; those with none of them are left out"},
        path="/v1/accounts",
        summary="Accounts, each with the touch that brought it",
        tag="Accounts",
        params=account_list.AccountsParams,
        answer=account_list.Accounts,
        ask=account_list.ask,
        counts_people=True,
        of_accounts=True,
        media_types=(JSON, "application/x-ndjson", "text/csv"),
        errors=(StitchNotAPartition,),
    ),
    Question(
        name="account",
        path="/v1/accounts/{account_id}",
        summary="One account: traits, people, first touch",
        tag="Accounts",
        params=account.AccountParams,
        answer=account.Account,
        ask=account.ask,
        in_path=("account_id",),
        counts_people=True,
        of_accounts=True,
        errors=(NotFound, StitchNotAPartition),
    ),
    Question(
        name="stats",
        narrows={
            "event": "the events that are counted",
            "visit": "to events of such visits",
            "person": "to what such people did",
        },
        path="/v1/stats",
        summary="How many, by what, over time",
        tag="Numbers",
        params=stats.StatsParams,
        answer=stats.Stats,
        ask=stats.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="changes",
        narrows={
            "event": "the events that are counted",
            "visit": "to events of such visits",
            "person": "to what such people did",
        },
        path="/v1/changes",
        summary="What is out of the usual in the last seven days, and which group carries it",
        tag="Numbers",
        params=changes.ChangesParams,
        answer=changes.Changes,
        ask=changes.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="sources",
        narrows={
            "event": "the events that are counted, by the source of their visit",
            "visit": "to events of such visits",
            "person": "to visits and events of such people",
        },
        path="/v1/sources",
        summary="Where events and people come from",
        tag="Numbers",
        params=sources.SourcesParams,
        answer=sources.Sources,
        ask=sources.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="visits",
        narrows={
            "event": "to visits in which such an event happened",
            "visit": "the visits",
            "person": "to visits of such people",
        },
        path="/v1/visits",
        also="/v1/sessions",
        summary="How many visits, how long, and where they came from",
        tag="Numbers",
        params=visits.VisitsParams,
        answer=visits.Visits,
        ask=visits.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="time_to_conversion",
        narrows={"event": "the conversions", "person": "the people"},
        path="/v1/time-to-conversion",
        summary="How long from the first touch to a conversion",
        tag="People",
        params=time_to_conversion.TimeToConversionParams,
        answer=time_to_conversion.TimeToConversion,
        ask=time_to_conversion.ask,
        errors=(InvalidGroupBy, NotFound),
    ),
    Question(
        name="attribution",
        narrows={
            "event": "the conversions",
            "visit": "to conversions in such visits",
            "person": "the people",
        },
        path="/v1/attribution",
        summary="Which touches are credited with conversions",
        tag="People",
        params=attribution.AttributionParams,
        answer=attribution.Attribution,
        ask=attribution.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="why",
        path="/v1/attribution/why",
        summary="One conversion: its touches, and why each has the credit it has",
        tag="People",
        params=why.WhyParams,
        answer=why.Why,
        ask=why.ask,
        default_policy="next",
        errors=(NotFound,),
    ),
    Question(
        name="funnel",
        narrows=OF_FUNNELS,
        path="/v1/funnel",
        summary="How far people get, step by step",
        tag="People",
        params=funnel.FunnelParams,
        answer=funnel.Funnel,
        ask=funnel.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="funnel_people",
        narrows=OF_FUNNELS,
        path="/v1/funnel/people",
        summary="Who got to a step of a funnel, or dropped off before it",
        tag="People",
        params=funnel_people.FunnelPeopleParams,
        answer=funnel_people.FunnelPeople,
        ask=funnel_people.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="retention",
        narrows={
            "event": "the events that people begin and come back with",
            "visit": "to events in such visits",
            "person": "the people",
        },
        path="/v1/retention",
        summary="Of those who began together, how many come back",
        tag="People",
        params=retention.RetentionParams,
        answer=retention.Retention,
        ask=retention.ask,
        counts_people=True,
        errors=(InvalidGroupBy, StitchNotAPartition),
    ),
    Question(
        name="retention_people",
        narrows={
            "event": "the events that people begin and come back with",
            "visit": "to events in such visits",
            "person": "the people",
        },
        path="/v1/retention/people",
        summary="The people of one number of retention",
        tag="People",
        params=retention_people.RetentionPeopleParams,
        answer=retention_people.RetentionPeople,
        ask=retention_people.ask,
        counts_people=True,
        errors=(StitchNotAPartition,),
    ),
    Question(
        name="paths",
        narrows=OF_PATHS,
        path="/v1/paths",
        summary="What people do before or after an event",
        tag="People",
        params=paths.PathsParams,
        answer=paths.Paths,
        ask=paths.ask,
        counts_people=True,
        errors=(StitchNotAPartition,),
    ),
    Question(
        name="paths_people",
        narrows=OF_PATHS,
        path="/v1/paths/people",
        summary="Who did something on their way, or went just this way",
        tag="People",
        params=paths_people.PathsPeopleParams,
        answer=paths_people.PathsPeople,
        ask=paths_people.ask,
        counts_people=True,
        errors=(StitchNotAPartition,),
    ),
    Question(
        name="identity_stats",
        path="/v1/identity/stats",
        summary="How well people are known",
        tag="Identity",
        params=identity.IdentityStatsParams,
        answer=identity.IdentityStats,
        ask=identity.stats,
        counts_people=True,
        errors=(StitchNotAPartition,),
    ),
    Question(
        name="shared_devices",
        path="/v1/identity/shared-devices",
        summary="Devices that more than one person was seen on",
        tag="Identity",
        params=identity.SharedDevicesParams,
        answer=identity.SharedDevices,
        ask=identity.shared_devices,
    ),
    Question(
        name="suspicious",
        path="/v1/identity/suspicious",
        summary="Users on unusually many devices, and devices of unusually many users",
        tag="Identity",
        params=suspicious.SuspiciousParams,
        answer=suspicious.Suspicious,
        ask=suspicious.ask,
    ),
    Question(
        name="likely_duplicates",
        path="/v1/identity/likely-duplicates",
        summary="Users of the same e-mail address that nobody declared one person",
        tag="Identity",
        params=likely_duplicates.LikelyDuplicatesParams,
        answer=likely_duplicates.LikelyDuplicates,
        ask=likely_duplicates.ask,
    ),
    Question(
        name="explain",
        path="/v1/identity/explain",
        summary="Whose an event is under each policy, and why",
        tag="Identity",
        params=explain.ExplainParams,
        answer=explain.Explanation,
        ask=explain.ask,
        errors=(NotFound,),
    ),
)

QUESTIONS = {question.name: question for question in _QUESTIONS}

# Asked with a body, by a route of its own (`http/identity`), and by nobody else.
PREVIEW = Question(
    name="preview",
    path="/v1/identity/preview",
    summary="What a decision about identity would change",
    tag="Identity",
    params=preview.PreviewParams,
    answer=preview.Preview,
    ask=preview.ask,
    default_policy="next",
    errors=(AliasCycle,),
)
