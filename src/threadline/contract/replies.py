"""What the ingest routes answer, and the shape of every error."""

from typing import Any, Literal

import msgspec


class Notice(msgspec.Struct):
    """Something was changed on the way in; the event itself was kept."""

    index: int
    field: str
    code: str
    message: str


class Tracked(msgspec.Struct):
    """The event is safe on disk. `warnings` is there only if something was changed."""

    event_id: str
    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True


class Batched(msgspec.Struct):
    """All events of the batch are safe on disk; `count` of them were sent."""

    count: int
    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True


class Ok(msgspec.Struct):
    """Done. `warnings` is there only if something was changed or ignored."""

    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True


class Unfinished(msgspec.Struct):
    """Work on the store that was begun and is not done: it goes on, or was interrupted. `left`:
    what that means and what to do."""

    name: str
    since: str
    left: str


class Ready(msgspec.Struct):
    """The store answers. `unfinished` is there only if something is; `control` only while what has
    projects and keys cannot be read: then all goes on with what was known of it, and changes of it
    get 503."""

    unfinished: list[Unfinished] | msgspec.UnsetType = msgspec.UNSET
    control: Literal["away"] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True


class Success(msgspec.Struct):
    """To a Segment-spec library: what is good of it is safe on disk. `warnings` is there only if
    something was changed or left out."""

    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    success: bool = True


class Decided(msgspec.Struct):
    """The decision counts from the next question on. `changed`: it was not so before."""

    changed: bool
    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True


class Forgotten(msgspec.Struct):
    """The request to forget is safe on disk and will be carried out next."""

    receipt_id: str
    warnings: list[Notice] | msgspec.UnsetType = msgspec.UNSET
    ok: bool = True
    queued: bool = True


class Error(msgspec.Struct):
    """Every error: the code is stable, `details.message` is for people. `docs_url`: what it means
    and what to do, in this server's documentation."""

    error: str
    details: dict[str, Any]
    docs_url: str


class SegmentError(Error):
    """The same where Segment-spec libraries look for it."""

    code: str
    message: str
    success: bool = False
