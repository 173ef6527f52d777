"""Sending events from Python: queued at once, delivered in batches by a thread of its own."""

import atexit
import json
import logging
import random
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Self
from urllib.parse import urlsplit

MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 4 * 1024 * 1024
RETRIES = 6
LONGEST_PAUSE_S = 30.0

_logger = logging.getLogger("threadline")


class Client:
    """A connection to one project. Safe to share between threads.

    Every event gets its id here, so a batch that is sent twice is counted once. Bad events never
    raise into your program: what the server refuses is logged under the name `threadline`.
    """

    def __init__(
        self,
        key: str,
        host: str = "http://127.0.0.1:8787",
        *,
        flush_at: int = 100,
        flush_interval_s: float = 1.0,
        max_queue: int = 10_000,
        timeout_s: float = 10.0,
    ) -> None:
        """`key`: an sk key. `max_queue`: events kept while the server is away; older ones go
        first."""
        address = urlsplit(host)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"host has to look like https://example.com, not {host!r}")
        self._address = address
        self._key = key
        self._flush_at = min(flush_at, MAX_BATCH_EVENTS)
        self._flush_interval_s = flush_interval_s
        self._timeout_s = timeout_s
        self._queue: deque[dict[str, Any]] = deque(maxlen=max_queue)
        self._changed = threading.Condition()
        self._sending = 0
        self._flushing = False
        self._closed = False
        self._connection: HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="threadline-client", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def track(
        self,
        event: str,
        properties: Mapping[str, object] | None = None,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        timestamp: datetime | None = None,
        url: str | None = None,
        referrer: str | None = None,
        event_id: str | None = None,
    ) -> str:
        """Queue one event and return its id. A timestamp without a zone is UTC; default: now."""
        moment = timestamp or datetime.now(UTC)
        fields = {
            "event": event,
            "event_id": event_id or str(uuid.uuid4()),
            "timestamp": moment.replace(tzinfo=moment.tzinfo or UTC).isoformat(),
            "user_id": user_id,
            "anonymous_id": anonymous_id,
            "url": url,
            "referrer": referrer,
            "properties": dict(properties) if properties else None,
        }
        queued = {name: value for name, value in fields.items() if value is not None}
        with self._changed:
            if len(self._queue) == self._queue.maxlen:
                _logger.warning("queue full: the oldest event was dropped")
            self._queue.append(queued)
            if len(self._queue) >= self._flush_at:
                self._changed.notify_all()
        return str(queued["event_id"])

    def identify(
        self, anonymous_id: str, user_id: str, traits: Mapping[str, object] | None = None
    ) -> str:
        """Say that this visitor is this user."""
        return self.track("$identify", traits, user_id=user_id, anonymous_id=anonymous_id)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Send everything queued so far and wait for it; False if that took too long."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._queue and not self._sending, timeout_s)

    def close(self) -> None:
        """Flush and stop. Called by itself when the program ends."""
        if self._closed:
            return
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(self._timeout_s)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._deliver(batch)
            with self._changed:
                self._sending = 0
                self._changed.notify_all()

    def _next_batch(self) -> list[bytes]:
        """The next events, encoded; empty when the client is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._closed)
            self._changed.wait_for(
                lambda: len(self._queue) >= self._flush_at or self._flushing or self._closed,
                self._flush_interval_s,
            )
            batch: list[bytes] = []
            size = 0
            while self._queue and len(batch) < MAX_BATCH_EVENTS and size < MAX_BATCH_BYTES:
                event = json.dumps(self._queue.popleft(), default=str).encode()
                batch.append(event)
                size += len(event)
            self._flushing = self._flushing and bool(self._queue)
            self._sending = len(batch)
            return batch

    def _deliver(self, batch: list[bytes]) -> None:
        body = b'{"events":[' + b",".join(batch) + b"]}"
        for attempt in range(RETRIES):
            pause_s = min(LONGEST_PAUSE_S, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                status, retry_after, text = self._post(body)
            except (OSError, HTTPException) as error:
                self._drop_connection()
                _logger.info("attempt %d failed: %s", attempt + 1, error)
            else:
                if status == 202:
                    return
                if status != 429 and status < 500:
                    _logger.error("%d events refused with %d: %s", len(batch), status, text)
                    return
                pause_s = max(pause_s, retry_after)
            with self._changed:
                if self._closed:
                    break
                self._changed.wait(pause_s)
        _logger.error("%d events lost after %d attempts", len(batch), RETRIES)

    def _post(self, body: bytes) -> tuple[int, float, str]:
        if self._connection is None:
            secure = self._address.scheme == "https"
            kind = HTTPSConnection if secure else HTTPConnection
            self._connection = kind(
                self._address.hostname or "", self._address.port, timeout=self._timeout_s
            )
        path = f"{self._address.path.rstrip('/')}/v1/batch"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        text = response.read().decode(errors="replace")
        wait = response.getheader("Retry-After", "0")
        return response.status, float(wait) if wait.isdecimal() else 0.0, text

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
