"""What a route says of itself. Read by the guard, by the OpenAPI document and by the tests."""

from dataclasses import dataclass, field
from typing import Literal

from threadline.contract.access import Role
from threadline.contract.errors import (
    ApiError,
    Busy,
    CrossSite,
    InsufficientRole,
    InsufficientScope,
    InternalError,
    InvalidApiKey,
    InvalidLink,
    InvalidParams,
    InvalidPayload,
    KeyKindMismatch,
    KeyKindNotAllowed,
    MalformedApiKey,
    MissingBearerToken,
    NotFound,
    NotSignedIn,
    OriginNotAllowed,
    OutsideShareLink,
    PayloadTooLarge,
    RateLimited,
    RequestTimeout,
    Unavailable,
    UnsupportedMediaType,
)

Errors = tuple[type[ApiError], ...]

# The kinds of key that may ask.
READ = ("sk", "rk")
KEY_ERRORS: Errors = (
    MissingBearerToken,
    MalformedApiKey,
    InvalidApiKey,
    KeyKindMismatch,
    KeyKindNotAllowed,
)
# Of who is signed in to the dashboard.
MEMBER_ERRORS: Errors = (NotSignedIn, InsufficientRole, CrossSite)
INGEST_TAGS = ("Ingest", "Segment spec")
BODY_ERRORS: Errors = (InvalidPayload, RequestTimeout, PayloadTooLarge, UnsupportedMediaType)


@dataclass(frozen=True, kw_only=True)
class Doc:
    """One route. `keys`: the kinds that may use it; none: everybody may. `scope`: what such a key
    has to have been given besides. `unless`: the setting by which it takes no key. `role`: the
    least that a member of the dashboard has to be, where the keys do not say it; on a route without
    keys nobody else may use it. `shared`: the name by which pages that are shared ask it.

    `by_key_only`: no member's session counts here. `refusal`: the error for a key of another kind.
    `bucket`: the rate limit that browser keys draw on. `segment`: the Segment spec's shape of the
    body, which is taken, too. `choices`: of parameters that take less here than elsewhere. `notes`:
    what else to say of parameters.
    """

    summary: str
    tag: str
    answer: object
    status: int = 200
    keys: tuple[str, ...] = ()
    scope: str = ""
    unless: str = ""
    role: Role | Literal[""] = ""
    shared: str = ""
    by_key_only: bool = False
    refusal: type[ApiError] = InsufficientScope
    bucket: str | None = None
    params: type | None = None
    body: type | None = None
    segment: type | None = None
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    path_params: dict[str, str] = field(default_factory=dict)
    media_types: tuple[str, ...] = ("application/json",)
    errors: Errors = ()

    @property
    def takes_events(self) -> bool:
        """Whether what it refuses is counted as refused events."""
        return self.tag in INGEST_TAGS

    @property
    def least_role(self) -> Role | Literal[""]:
        """What a member has to be at least; empty: a member's session does not count. It never
        does where a page sends events, nor where a key needs to have been given more."""
        if self.role or not self.keys or "pk" in self.keys or self.scope or self.by_key_only:
            return self.role
        return "viewer" if "rk" in self.keys else "owner"

    def all_errors(self) -> Errors:
        """Every error that the route can answer with."""
        found = [*self.errors]
        if self.keys:
            found += [*KEY_ERRORS, self.refusal, Unavailable]
        if self.least_role:
            found += MEMBER_ERRORS
        if self.shared:
            found += [InvalidLink, OutsideShareLink]
        if self.least_role and self.keys:
            found += [NotFound, InvalidParams]
        if "pk" in self.keys:
            found += [OriginNotAllowed]
        if self.bucket:
            found += [RateLimited]
        if self.body:
            found += BODY_ERRORS
        if self.params:
            found += [InvalidParams, Busy]
        return tuple(dict.fromkeys([*found, InternalError]))
