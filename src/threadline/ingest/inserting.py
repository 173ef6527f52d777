"""Rows into the store, each once however often it is tried; what the store refuses is set aside."""

import structlog

from threadline.ingest.dead_letters import RefusedEvent
from threadline.ingest.log import Log
from threadline.ingest.row import COLUMNS, Rows, decode
from threadline.store import Store, StoreRefused

_logger = structlog.get_logger("threadline.writer")


def insert(store: Store, log: Log, rows: Rows, token: str, part: tuple[int, int] | None) -> None:
    """The rows that the settled block of the log comes to. `part`: the store has not taken them
    as a whole before. Raises `StoreError`."""
    if part:
        _in_parts(store, log, rows, token, *part)
        return
    try:
        store.insert("events", COLUMNS, "MsgPack", rows.body, token, written=rows.written())
    except StoreRefused as error:
        _logger.error("store_refused_block", error=str(error), token=token)
        _in_parts(store, log, rows, token, 0, rows.size)


def _in_parts(store: Store, log: Log, rows: Rows, block_token: str, start: int, end: int) -> None:
    """Halve what is refused until one event remains; that becomes a dead letter. Each part is
    written down before it goes: after a crash it goes again under the same token."""
    while start < rows.size:
        log.settle_part(start, end)
        part, size = rows.part(start, end), end - start
        token = f"{block_token}-{start}-{end}"
        try:
            store.insert("events", COLUMNS, "MsgPack", part, token)
        except StoreRefused as error:
            if size > 1:
                end = start + size // 2
                continue
            _set_aside(log, part, token, str(error))
        start, end = end, min(rows.size, end + 2 * size)


def _set_aside(log: Log, body: bytes, token: str, reason: str) -> None:
    project_id, _, event_id, event_name, *_ = map(str, decode(body))
    log.set_aside(RefusedEvent(token, project_id, event_id, event_name, body), reason)
    _logger.error("dead_letter", project_id=project_id, event_id=event_id, reason=reason)
