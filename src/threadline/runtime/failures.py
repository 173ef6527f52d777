"""What went wrong, as callers are told: only here other errors become those of the API."""

import errno

import structlog

from threadline.contract.errors import ApiError, InternalError, Unavailable
from threadline.enrich import time_ordered_id
from threadline.store import StoreAway

STORE_AWAY = "The store does not answer now; try again."
# What goes away when others are done or an operator makes room.
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)

_logger = structlog.get_logger("threadline")


def as_api_error(error: Exception, **asked: str) -> ApiError:
    """What nobody foresaw is one line in the log, with what was `asked`; its id is the caller's."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StoreAway):
        return Unavailable(STORE_AWAY)
    if isinstance(error, OSError) and error.errno in FULL:
        _logger.error("machine_full", error=str(error), **asked)
        return Unavailable(f"The server cannot answer now ({error.strerror}); try again.")
    request_id = time_ordered_id()
    _logger.error("request_failed", request_id=request_id, exc_info=error, **asked)
    message = f"This is a bug in Threadline. The log has it under {request_id}."
    return InternalError(message, request_id=request_id)
