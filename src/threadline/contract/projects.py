"""What goes over the wire about projects and their keys."""

from typing import Annotated, Literal

import msgspec

from threadline.contract.policies import Policy

Origins = Annotated[
    list[str],
    msgspec.Meta(
        max_length=100,
        description="Where browser keys (pk) may be used from: https://shop.example or "
        "https://*.shop.example. In a change, give the complete list.",
    ),
]
Stitch = Annotated[
    Policy | None,
    msgspec.Meta(description="Default policy of the project; null: each question's own."),
]
Subdomains = Annotated[
    Literal["same", "separate"],
    msgspec.Meta(description="Whether another subdomain of the page's domain is the same site."),
]
VisitTimeout = Annotated[
    int,
    msgspec.Meta(
        ge=5, le=240, description="A visit ends after this many minutes without an event."
    ),
]
TimeZone = Annotated[
    str | None,
    msgspec.Meta(
        description="IANA time zone, such as Europe/Berlin, in which days begin where a question "
        "has no `tz`; null: UTC, and in the dashboard the time zone of the browser."
    ),
]
KeepDays = Annotated[
    Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None,
    msgspec.Meta(description="Events older than this many days are deleted; null: none are."),
]
KeepDaysByEvent = Annotated[
    dict[str, Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None],
    msgspec.Meta(
        max_length=100,
        description="The same for events with these names; null: none of them is deleted. In a "
        "change, give the complete list.",
    ),
]
KeepFirstTouch = Annotated[
    bool,
    msgspec.Meta(
        description="Whether links and first touches are kept when the events they "
        "follow from are deleted."
    ),
]
KeyKind = Literal["pk", "sk", "rk"]


class NewProject(msgspec.Struct, kw_only=True):
    """A project to be made, with a key of each kind."""

    name: str
    origins: Origins = []
    stitch: Stitch = None
    subdomains: Subdomains = "same"
    visit_timeout_minutes: VisitTimeout = 30
    timezone: TimeZone = None
    keep_days: KeepDays = None
    keep_days_by_event: KeepDaysByEvent = {}
    keep_first_touch: KeepFirstTouch = False


class ProjectChange(msgspec.Struct, kw_only=True):
    """What is left out stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    origins: Origins | msgspec.UnsetType = msgspec.UNSET
    stitch: Stitch | msgspec.UnsetType = msgspec.UNSET
    subdomains: Subdomains | msgspec.UnsetType = msgspec.UNSET
    visit_timeout_minutes: VisitTimeout | msgspec.UnsetType = msgspec.UNSET
    timezone: TimeZone | msgspec.UnsetType = msgspec.UNSET
    keep_days: KeepDays | msgspec.UnsetType = msgspec.UNSET
    keep_days_by_event: KeepDaysByEvent | msgspec.UnsetType = msgspec.UNSET
    keep_first_touch: KeepFirstTouch | msgspec.UnsetType = msgspec.UNSET


class ProjectRow(msgspec.Struct):
    """A project. `stitch`: null where each question has its own default. `timezone`: null where
    days are those of UTC."""

    project_id: str
    name: str
    origins: list[str]
    stitch: str | None
    subdomains: str
    visit_timeout_minutes: int
    timezone: str | None
    keep_days: int | None
    keep_days_by_event: dict[str, int | None]
    keep_first_touch: bool


class ProjectList(msgspec.Struct):
    """The projects that whoever asks may see, by name."""

    rows: list[ProjectRow]


class CreatedProject(ProjectRow, kw_only=True):
    """A new project. `keys`, by their kind, are shown this once."""

    keys: dict[str, str]


class ProjectDeletion(msgspec.Struct, kw_only=True):
    """`name`: the project's, written out, so that nobody deletes another one than they mean."""

    name: str


class DeletedProject(msgspec.Struct):
    """The project takes and answers nothing any more; what is stored of it is being deleted, also
    after a restart. `threadline jobs` shows how far that is."""

    project_id: str
    ok: bool = True


class NewKey(msgspec.Struct, kw_only=True):
    """A key to be made. `name`: what it is for. `scopes`: what it may do besides, such as sql."""

    kind: KeyKind
    env: Literal["live", "test"] = "live"
    name: str = ""
    scopes: Annotated[list[str], msgspec.Meta(max_length=10)] = []


class KeyRotation(msgspec.Struct, kw_only=True):
    """`keep_for`: how long the old key goes on working, such as 30m, 24h or 7d; null: not at
    all."""

    keep_for: str | None = None


class KeyRow(msgspec.Struct):
    """What is kept of a key; its secret is not. `label`: what it is named by. `ends_at`: when it
    stops, or stopped, by itself. `last_used_at` may be a minute behind."""

    label: str
    prefix: str
    kind: str
    env: str
    name: str
    use: str
    scopes: list[str]
    project_id: str
    project: str
    state: Annotated[str, msgspec.Meta(description="active, expired or revoked.")]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    ends_at: str | None


class KeyList(msgspec.Struct):
    """The project's keys, oldest first, revoked and expired ones too."""

    rows: list[KeyRow]


class CreatedKey(KeyRow, kw_only=True):
    """A new key. `key`: the whole of it, shown this once."""

    key: str


class RotatedKey(CreatedKey, kw_only=True):
    """The key that takes the place of `old`."""

    old: KeyRow
