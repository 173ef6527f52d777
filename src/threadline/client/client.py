"""Sending events from Python: queued at once, delivered in batches by a thread of its own."""

import atexit
import json
import logging
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Any, Literal, Self

from threadline.client.context import UserId, current, fill
from threadline.client.errors import APIError, Dropped, ThreadlineError, Unreachable
from threadline.client.queue import Event, MemoryQueue, Queue, encode
from threadline.client.read import Reader
from threadline.client.wire import Json, Params, Wire

MAX_BATCH_EVENTS = 1000
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
DEFAULT_HOST = "http://127.0.0.1:8787"

# What callers send by mistake instead of an id; the server knows more of them.
NOBODY = ("", "undefined", "null", "None", "nan")

OnError = Callable[[ThreadlineError, list[Event]], None]
WhenFull = Literal["drop_oldest", "drop_newest"]

_logger = logging.getLogger("threadline")


class Client(Reader):
    """A connection to one project. Safe to share between threads, and to take through a fork.

    Every event gets its id here, so a batch that is sent twice is counted once. Nothing that goes
    wrong with events is raised into your program: it is logged under the name `threadline`, given
    to `on_error`, and counted in `dropped`.
    """

    def __init__(
        self,
        key: str | None = None,
        host: str | None = None,
        *,
        flush_at: int = 100,
        flush_interval_s: float = 1.0,
        flush_bytes: int = 1024 * 1024,
        max_queue: int = 10_000,
        when_full: WhenFull = "drop_oldest",
        timeout_s: float = 10.0,
        exit_timeout_s: float = 10.0,
        gzip: bool = True,
        spool: str | Path | None = None,
        spool_max_bytes: int = 256 * 1024 * 1024,
        sync: bool = False,
        disabled: bool = False,
        debug: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        """`key`: an sk key, or `THREADLINE_SDK_KEY`. `host`: the server, or `THREADLINE_SDK_HOST`.

        A batch leaves when `flush_at` events wait, `flush_interval_s` after the first of them, and
        holds about `flush_bytes` at most. `max_queue`: events kept while the server is away; then
        `when_full` says which go. `exit_timeout_s`: how long the end of the program may wait for
        what is queued. `spool`: a folder in which events wait instead, up to `spool_max_bytes`, and
        outlive the process. `sync`: every event is sent before `track` returns, by no thread, for
        programs that are frozen between requests. `disabled`: nothing is sent. `debug`: what is
        sent is logged to standard error.

        Raises `ValueError` for a host that is no address, a key that is missing, or `sync` with a
        spool: what is not queued would not be in it.
        """
        key = key or os.environ.get("THREADLINE_SDK_KEY", "")
        if not key and not disabled:
            raise ValueError("Client needs a key: Client('sk_live_…'), or set THREADLINE_SDK_KEY.")
        if sync and spool is not None:
            raise ValueError("sync and spool exclude each other: sync queues nothing.")
        host = host or os.environ.get("THREADLINE_SDK_HOST") or DEFAULT_HOST
        self.disabled = disabled
        self.dropped = 0
        self._wire = Wire(host, key, timeout_s, gzip)
        self._flush_at = min(flush_at, MAX_BATCH_EVENTS)
        self._flush_interval_s = flush_interval_s
        self._flush_bytes = flush_bytes
        self._exit_timeout_s = exit_timeout_s
        self._sync = sync
        self._on_error = on_error
        self._debug = debug
        self._queue: Queue = MemoryQueue(max_queue, when_full == "drop_oldest", self._unfit)
        if spool is not None:
            self._queue = _open_spool(Path(spool), spool_max_bytes)
        if debug:
            _log_to_stderr()
        self._closed = False
        self._begin()
        _living.add(self)
        atexit.register(self.close)
        if len(self._queue) and not disabled:  # left by a process before this one
            self._wake(at_once=True)

    def _begin(self) -> None:
        """What a process needs for itself. The thread starts with the first event."""
        self._prefix = os.urandom(16).hex() + "-"
        self._numbers = count(1)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._some, self._enough = threading.Event(), threading.Event()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._state = threading.Condition()
        self._busy = False

    # Sending

    def track(
        self,
        event: str,
        properties: Mapping[str, object] | None = None,
        *,
        user_id: UserId = None,
        anonymous_id: str | None = None,
        timestamp: datetime | None = None,
        url: str | None = None,
        referrer: str | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
    ) -> str:
        """Queue one event and return its id. A timestamp without a zone is UTC; default: now.

        Within a request or job that middleware knows, the visitor and their page are filled in.
        """
        if event_id is None:
            event_id = self._prefix + str(next(self._numbers))
        fields: Event = {"event": event, "event_id": event_id, "timestamp": _moment(timestamp)}
        if properties:
            fields["properties"] = dict(properties)  # the caller's may change before it leaves
        if user_id is not None:
            fields["user_id"] = str(user_id)
        if anonymous_id is not None:
            fields["anonymous_id"] = anonymous_id
        if url is not None:
            fields["url"] = url
        if referrer is not None:
            fields["referrer"] = referrer
        if session_id is not None:
            fields["session_id"] = session_id
        context = current()
        if context is not None:
            fill(fields, context)
        self._put(fields)
        return event_id

    def identify(
        self,
        user_id: UserId,
        traits: Mapping[str, object] | None = None,
        *,
        anonymous_id: str | None = None,
        timestamp: datetime | None = None,
    ) -> str | None:
        """Say that this visitor is this user; within a request, the visitor is known. Without a
        user it warns and does nothing."""
        if user_id is None or str(user_id).strip() in NOBODY:
            _logger.warning("identify(%r) does nothing: that is nobody", user_id)
            return None
        return self.track(
            "$identify", traits, user_id=user_id, anonymous_id=anonymous_id, timestamp=timestamp
        )

    def page(
        self,
        name: str | None = None,
        properties: Mapping[str, object] | None = None,
        **fields: Any,
    ) -> str:
        """A page view that the server saw. Fields as of `track`."""
        named = {"name": name} if name else {}
        return self.track("$pageview", {**named, **(properties or {})}, **fields)

    def batch(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """Queue events that are dictionaries of the fields of `track`; their ids."""
        return [self.track(**event) for event in events]

    def alias(self, user_id: UserId, alias_of: UserId) -> bool:
        """Declare a user the same person as another; whether that is new. Asks the server at once.

        Raises `APIError` (409 where it would run in a circle) or `Unreachable`.
        """
        body = {"user_id": str(user_id), "alias_of": str(alias_of)}
        return bool(self._ask("PUT", "/v1/identity/aliases", body=body).get("changed"))

    def forget(self, user_id: UserId = None, *, anonymous_id: str | None = None) -> str:
        """Have everything about a user or a device deleted; the receipt's id. Asks the server at
        once, after what is queued.

        Raises `APIError` or `Unreachable`.
        """
        self.flush()
        body = {"user_id": str(user_id)} if user_id is not None else {"anonymous_id": anonymous_id}
        return str(self._ask("POST", "/v1/forget", body=body).get("receipt_id", ""))

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Send everything queued so far and wait for it; False if that took too long."""
        if self.disabled or not (len(self._queue) or self._busy):
            return True
        self._wake(at_once=True)
        with self._state:
            return self._state.wait_for(lambda: not self._busy and not len(self._queue), timeout_s)

    def close(self) -> None:
        """Flush and stop. Called by itself when the program ends."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._deadline = monotonic() + self._exit_timeout_s
        self._closing.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._some.set()
            self._enough.set()
            thread.join(self._exit_timeout_s + 1)
        elif not self.disabled:
            self._drain()
        self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, params: Params = None, body: object = None) -> Json:
        return {} if self.disabled else self._wire.ask(method, path, params, body)

    # On the caller's thread

    def _put(self, event: Event) -> None:
        if self.disabled:
            return
        if self._closed:
            self._drop(Dropped("the client is closed"), [event])
            return
        if self._debug:
            _logger.debug("queued %s", event)
        if self._sync:
            self._deadline = monotonic() + self._exit_timeout_s
            try:
                self._deliver([encode(event)])
            except (ValueError, TypeError, RecursionError) as error:
                self._unfit(event, error)
            return
        try:
            gone = self._queue.put(event)
        except (ValueError, TypeError, RecursionError) as error:
            self._unfit(event, error)
            return
        except OSError as error:
            self._drop(Dropped(f"the spool cannot be written: {error}"), [event])
            return
        if gone is not None:
            self._drop(Dropped("the queue is full"), [gone])
        if not self._some.is_set():
            self._wake()
        if len(self._queue) >= self._flush_at and not self._enough.is_set():
            self._enough.set()

    def _wake(self, at_once: bool = False) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="threadline-client", daemon=True
                    )
                    try:
                        self._thread.start()
                    except RuntimeError:  # the program is ending; `close` sends what is there
                        self._thread = None
                    else:
                        _close_with_process(self)
        if at_once:
            self._enough.set()
        self._some.set()

    # On a thread of its own

    def _run(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._enough.wait(self._flush_interval_s)
            self._some.clear()
            self._enough.clear()
            try:
                self._drain()
            except Exception:  # a bug must not end the thread, or nothing is sent ever after
                _logger.exception("sending failed")
        self._drain()

    def _drain(self) -> None:
        """Send all there is. What cannot be sent before the end stays, if it is on disk."""
        with self._state:
            self._busy = True
        try:
            while True:
                batch = self._queue.take(self._flush_at, self._flush_bytes)
                if not self._deliver(batch):
                    self._give_up()
                    return
                self._queue.arrived()
                if not batch and not len(self._queue):
                    return
        finally:
            with self._state:
                self._busy = False
                self._state.notify_all()

    def _give_up(self) -> None:
        """The program ends. What is in memory is lost; what is on disk waits for the next one."""
        if self._queue.outlives:
            return
        while batch := self._queue.take(MAX_BATCH_EVENTS, self._flush_bytes):
            self._drop(Dropped("the program ended before they could be sent"), _decoded(batch))

    def _deliver(self, batch: list[bytes]) -> bool:
        """Until they have arrived, were refused, or the program ends; whether they are done with.

        An event that spoils its batch is taken out; where the server does not say which one it is,
        halves are tried.
        """
        failures = 0
        while batch:
            refused, wait_s = self._try(batch)
            if refused is None:
                return True
            if isinstance(refused, APIError) and not refused.may_pass:
                bad = _guilty(refused, len(batch))
                if bad is None:
                    half = len(batch) // 2
                    first = self._deliver(batch[:half])
                    return self._deliver(batch[half:]) and first
                self._drop(refused, _decoded([batch[at] for at in bad]))
                batch = [event for at, event in enumerate(batch) if at not in bad]
                continue
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures)
            failures = min(failures + 1, 16)  # an outage may be long; the power of two must not
            pause_s = max(wait_s, random.uniform(pause_s / 2, pause_s))
            _logger.info("%s; %d events wait for %.1f s", refused, len(batch), pause_s)
            if not self._pause(pause_s):
                if not self._queue.outlives:
                    self._drop(refused, _decoded(batch))
                return False
        return True

    def _try(self, batch: list[bytes]) -> tuple[ThreadlineError | None, float]:
        """Send it once: what is wrong, and how long the server asks to wait."""
        began = monotonic()
        try:
            reply = self._wire.send("POST", "/v1/batch", b'{"events":[%s]}' % b",".join(batch))
        except Unreachable as error:
            return error, 0.0
        if self._debug:
            took_ms = (monotonic() - began) * 1000
            _logger.debug("sent %d events: %d in %.0f ms", len(batch), reply.status, took_ms)
        if reply.status == 202:
            for warning in reply.json().get("warnings", []):
                _logger.warning("event %s: %s", warning["index"], warning["message"])
            return None, 0.0
        return reply.error(), reply.wait_s()

    def _pause(self, seconds: float) -> bool:
        """Wait; False where the end of the program does not leave the time."""
        if not self._sync and not self._closing.wait(seconds):
            return True
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            return False
        threading.Event().wait(min(seconds, left_s))
        return True

    def _unfit(self, event: Event, error: Exception) -> None:
        self._drop(Dropped(f"the event is no JSON: {error}"), [event])

    def _drop(self, error: ThreadlineError, events: list[Event]) -> None:
        with self._state:
            self.dropped += len(events)
        # As Python writes them: a name may hold a line's end, or what no log can.
        names = ", ".join(sorted({repr(event["event"]) for event in events})[:5])
        _logger.error("%d events lost (%s): %s", len(events), names, error)
        if self._on_error is not None:
            try:
                self._on_error(error, events)
            except Exception:  # the program's own, on a thread that has to go on
                _logger.exception("on_error failed")

    def _after_fork(self) -> None:
        """In the child. What is queued and on its way is the parent's to send."""
        self._begin()
        self._wire.forget_connections()
        self._queue.after_fork()


def _guilty(error: APIError, events: int) -> list[int] | None:
    """Which events of the batch the server refuses; None where it does not say."""
    index = error.details.get("index")
    if isinstance(index, int) and 0 <= index < events:
        return [index]
    if error.status in (400, 413) and events > 1:
        return None
    return list(range(events))


def _decoded(batch: list[bytes]) -> list[Event]:
    """Events again. A line of a spool may have been broken."""
    events: list[Event] = []
    for line in batch:
        try:
            events.append(json.loads(line))
        except ValueError:
            events.append({"event": "unreadable", "line": line.decode(errors="replace")})
    return events


def _moment(timestamp: datetime | None) -> float | str:
    if timestamp is None:
        return time()
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).isoformat()


def _open_spool(folder: Path, max_bytes: int) -> Queue:
    try:
        from threadline.client.spool import Spool
    except ImportError as error:
        raise ValueError("spool needs file locks as Linux and macOS have them.") from error
    return Spool(folder, max_bytes)


def _log_to_stderr() -> None:
    _logger.setLevel(logging.DEBUG)
    if not _logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("threadline: %(message)s"))
        _logger.addHandler(handler)


def _close_with_process(client: Client) -> None:
    """Children of multiprocessing end without atexit, but not without this."""
    module = sys.modules.get("multiprocessing.util")
    parent = sys.modules.get("multiprocessing.process")
    if module and parent and parent.parent_process() is not None:
        module.Finalize(None, client.close, exitpriority=100)


_living: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_living):
        client._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
