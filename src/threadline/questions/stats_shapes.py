"""What `GET /v1/stats` is asked with, and what it answers."""

from typing import Annotated, Literal

import msgspec

from threadline.questions import amounts
from threadline.questions.answers import Group
from threadline.questions.parameters import EventName, any_dimension
from threadline.questions.per_account import Per
from threadline.questions.scoped import ALL_GROUPS, Scope
from threadline.questions.series import OverTime, Series, Timed

MetricName = Literal[
    "count",
    "uniques",
    "persons",
    "visits",
    "sum",
    "avg",
    "median",
    "min",
    "max",
    "p90",
    "per_person",
    "conversion_rate",
]


class StatsParams(OverTime, kw_only=True):
    """What to count, of which events, in which groups."""

    metric: Annotated[
        MetricName,
        msgspec.Meta(
            description="`count`: events; `uniques`: devices; `persons`: users, each once however "
            "many devices they have, and visitors who are nobody's; `visits`: those in which such "
            "events happened; `sum`, `avg`, `median`, `min`, `max`, `p90`: of `property`; "
            "`per_person`: events a person, or with `property` its sum a person; "
            "`conversion_rate`: of the persons, the part who did `conversion`, in the same time "
            "(of a series: in the same interval)."
        ),
    ] = "count"
    event: EventName | None = None
    group_by: Annotated[str, any_dimension(*ALL_GROUPS)] = ""
    property: (
        Annotated[str, msgspec.Meta(min_length=1, description="A number in the properties.")] | None
    ) = None
    currency_property: amounts.CurrencyProperty = "currency"
    currency: amounts.Currency | None = None
    conversion: (
        Annotated[
            EventName,
            msgspec.Meta(description="With metric=conversion_rate: an event, or goal:NAME."),
        ]
        | None
    ) = None
    exact: Annotated[
        bool,
        msgspec.Meta(
            description="`false`: estimate uniques and persons by HyperLogLog, within 2 %."
        ),
    ] = True
    per: Per = "person"


class StatsRow(Timed, kw_only=True):
    """One value; `value`: of the metric."""

    event_name: Group = msgspec.UNSET
    country: Group = msgspec.UNSET
    device_type: Group = msgspec.UNSET
    browser: Group = msgspec.UNSET
    os: Group = msgspec.UNSET
    path: Group = msgspec.UNSET
    event_source: Group = msgspec.UNSET
    event_medium: Group = msgspec.UNSET
    event_campaign: Group = msgspec.UNSET
    event_channel: Group = msgspec.UNSET
    visit_source: Group = msgspec.field(name="visit.source", default=msgspec.UNSET)
    visit_medium: Group = msgspec.field(name="visit.medium", default=msgspec.UNSET)
    visit_campaign: Group = msgspec.field(name="visit.campaign", default=msgspec.UNSET)
    visit_channel: Group = msgspec.field(name="visit.channel", default=msgspec.UNSET)
    first_source: Group = msgspec.field(name="first.source", default=msgspec.UNSET)
    first_medium: Group = msgspec.field(name="first.medium", default=msgspec.UNSET)
    first_campaign: Group = msgspec.field(name="first.campaign", default=msgspec.UNSET)
    first_channel: Group = msgspec.field(name="first.channel", default=msgspec.UNSET)
    value: int | amounts.Value | None


class Stats(Series):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns, by the names given in `group_by`, and value: null where there is nothing to take an
    average, a share or the like of. In order of time, then greatest first: by the greatest sum in
    any currency. A series has every interval from `from`, else the first with events, to now, or
    `to`, and the one that is running is `partial`; where there are more rows than `limit`, the
    newest are here. Of other answers that are `truncated`, `other` is what the rows left out come
    to, with the metrics count and sum. `skipped` comes with metrics of a property: how many events
    of these rows have it, but no number there.

    `source_scope` comes with groups of `source`, `medium`, `campaign` or `channel`: whose source
    is meant. `event`: each event's own; of persons `visit`: that of the visit in which it happened
    (what a server says without a page counts as direct). `group_by=event_source`, `visit.source`,
    `first.source` say which."""

    metric: str
    rows: list[StatsRow]
    source_scope: Scope | msgspec.UnsetType = msgspec.UNSET
    other: int | amounts.Value | msgspec.UnsetType = msgspec.UNSET
    skipped: int | msgspec.UnsetType = msgspec.UNSET
    unconverted: amounts.Unconverted = msgspec.UNSET
