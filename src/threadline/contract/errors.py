"""Every error that may reach a caller: one class, one code, one status.

The code is the contract; `details.message` is for the person who reads it. Nothing outside this
hierarchy is raised to HTTP on purpose: anything else is a bug and answers 500 `internal_error`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

# Of a text in an error: whoever sent more knows it.
HEAD, TAIL = 900, 500


def shortened(said: Any) -> Any:
    """The same with long texts cut in the middle, wherever they stand in it."""
    if isinstance(said, str):
        left_out = len(said) - HEAD - TAIL
        if left_out <= 0:
            return said
        return f"{said[:HEAD]}… ({left_out:,} characters left out) …{said[-TAIL:]}"
    if isinstance(said, dict):
        return {shortened(name): shortened(value) for name, value in said.items()}
    return [shortened(each) for each in said] if isinstance(said, list) else said


class ApiError(Exception):
    """Base of all errors with a code. `details` goes to the caller, `shortened`."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(shortened(message))
        self.details: dict[str, object] = shortened({"message": message, **details})


class InvalidPayload(ApiError):
    """The body is not what the route takes; `details.fieldErrors` names each field."""

    status, code = 400, "invalid_payload"


class InvalidParams(ApiError):
    """A query parameter is unknown, missing or out of range; `details.fieldErrors` names it."""

    status, code = 400, "invalid_params"


class InvalidGroupBy(ApiError):
    """`group_by` names a column that cannot be grouped by; `details.allowed` lists those."""

    status, code = 400, "invalid_group_by"


class PlaceholderId(ApiError):
    """The id is a placeholder such as `undefined`; it would merge strangers into one person."""

    status, code = 400, "placeholder_id"


class MissingBearerToken(ApiError):
    """No `Authorization: Bearer …` header."""

    status, code = 401, "missing_bearer_token"


class MalformedApiKey(ApiError):
    """The bearer token does not have the shape `kind_env_prefix_secret`."""

    status, code = 401, "malformed_api_key"


class InvalidApiKey(ApiError):
    """No such key, a wrong secret, or a key that was revoked or has expired."""

    status, code = 401, "invalid_api_key"


class KeyKindMismatch(ApiError):
    """The key exists under another kind than the one written in it."""

    status, code = 401, "key_kind_mismatch"


class NotSignedIn(ApiError):
    """The route is for members, and nobody is signed in, or the session has ended."""

    status, code = 401, "not_signed_in"


class SignInFailed(ApiError):
    """No member has this e-mail address and this password."""

    status, code = 401, "sign_in_failed"


class InvalidLink(ApiError):
    """A one-time link that was used or has expired, or a share link that was revoked."""

    status, code = 401, "invalid_link"


class CrossSite(ApiError):
    """A request with a session's cookie came from another site than the dashboard's own."""

    status, code = 403, "csrf"


class InsufficientRole(ApiError):
    """The member's role may not do this."""

    status, code = 403, "insufficient_role"


class OutsideShareLink(ApiError):
    """A share link asked for something else than the page that it shares."""

    status, code = 403, "outside_share_link"


class OriginNotAllowed(ApiError):
    """A browser key was used without an `Origin`, or from one the project does not list."""

    status, code = 403, "origin_not_allowed"


class InsufficientScope(ApiError):
    """The key is valid, but its kind may not use this route."""

    status, code = 403, "insufficient_scope"


class ForgetRequiresSecretKey(ApiError):
    """Forgetting people takes a secret (`sk`) key."""

    status, code = 403, "forget_requires_secret_key"


class KeyKindNotAllowed(ApiError):
    """An account key on a project's route, another than a browser key in a body, or a browser key
    where agents ask."""

    status, code = 403, "key_kind_not_allowed"


class AccountKeyRequired(ApiError):
    """Only an account key (`ak`) opens what is about all projects."""

    status, code = 403, "account_key_required"


class NotFound(ApiError):
    """No such route, or no such user."""

    status, code = 404, "not_found"


class MethodNotAllowed(ApiError):
    """The route exists, but not for this method."""

    status, code = 405, "method_not_allowed"

    def __init__(self, message: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(ApiError):
    """The body took too long to arrive; the connection is closed."""

    status, code = 408, "request_timeout"


class AliasCycle(ApiError):
    """The alias would make a user, by some chain, the same person as itself (`details.cycle`)."""

    status, code = 409, "alias_cycle"


class AlreadyExists(ApiError):
    """There is one already: a member of this e-mail address, or an owner on first run."""

    status, code = 409, "already_exists"


class LastOwner(ApiError):
    """The last owner can neither be removed nor become something else."""

    status, code = 409, "last_owner"


class InUse(ApiError):
    """What is to be deleted is used by something else (`details.used_by`)."""

    status, code = 409, "in_use"


class StitchNotAPartition(ApiError):
    """`stitch=any` counts an event for several people, so people cannot be counted with it."""

    status, code = 400, "stitch_not_a_partition"


class PayloadTooLarge(ApiError):
    """The body, or what it unpacks to, is over the route's limit (`details.limit_bytes`)."""

    status, code = 413, "payload_too_large"


class UnsupportedMediaType(ApiError):
    """The body is neither JSON nor JSON packed with gzip or zstd."""

    status, code = 415, "unsupported_media_type"


class RateLimited(ApiError):
    """Too many requests, or tries to sign in; wait `details.retry_after_s` seconds."""

    status, code = 429, "rate_limited"


class InternalError(ApiError):
    """A bug in Threadline. The log has the line with this request id."""

    status, code = 500, "internal_error"


class Busy(ApiError):
    """So many questions are being answered that this one's turn did not come; `Retry-After`."""

    status, code = 503, "busy"


class Unavailable(ApiError):
    """The event could not be put on disk, or the store cannot answer; try again."""

    status, code = 503, "unavailable"
