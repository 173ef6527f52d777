"""What all routes share that change something in `control.db`."""

import asyncio
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from threadline.contract.decoding import decode
from threadline.contract.errors import InvalidPayload, Unavailable
from threadline.contract.replies import Notice
from threadline.contract.times import now_ms
from threadline.control import ControlError, ControlFileError
from threadline.http.request import Request
from threadline.runtime.memory import MIB

BODY_LIMIT = MIB // 16

Body = TypeVar("Body", bound=msgspec.Struct)
Result = TypeVar("Result")


class NoParams(msgspec.Struct):
    """These routes take none."""


async def read_exactly(
    request: Request, kind: type[Body], limit: int = BODY_LIMIT, answered: Collection[str] = ()
) -> Body:
    """The body, of at most `limit` bytes. `answered`: fields that only answers have, so that what
    was answered may be sent back.
    Raises `InvalidPayload` for a field that does not exist, too: what would be kept
    without it would be something else than was meant."""
    notices = list[Notice]()
    raw = await request.body(limit)
    given = decode(raw, kind, now_ms(), notices)
    unknown = {
        each.field: [each.message.removesuffix(" It was ignored.")]
        for each in notices
        if each.code == "unknown_field" and each.field not in answered
    }
    if unknown:
        raise InvalidPayload(next(iter(unknown.values()))[0], fieldErrors=unknown)
    return given


async def write_control(step: Callable[[], Result]) -> Result:
    """Beside the event loop: the file may be locked, and everybody is to know when it is done.
    Raises `Unavailable` where the file cannot be written, and `InvalidPayload` for what may not be.
    """
    try:
        return await asyncio.to_thread(step)
    except ControlFileError as error:
        raise Unavailable(f"{error} Nothing was changed.") from error
    except ControlError as error:
        raise InvalidPayload(str(error), fieldErrors={}) from error
