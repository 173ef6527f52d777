"""From the queue to the server: in batches, by a thread of its own, until all has arrived."""

import logging
import os
import random
import threading
from itertools import count
from queue import SimpleQueue
from time import monotonic

from threadline.client import lifetime
from threadline.client.batches import OnWay, decoded, guilty, repeat_warnings, said
from threadline.client.errors import Dropped, ThreadlineError, Unreachable
from threadline.client.losses import Losses, OnError
from threadline.client.queue import Queue, QueuedEvent, encode
from threadline.client.wire import Wire

MAX_BATCH_EVENTS = 1000
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# The end of the program waits so much longer than it was told, for a thread that is just about to
# say what was lost; and no request gets less time.
GRACE_S = 1.0

_logger = logging.getLogger("threadline")


class Sender(Losses):
    """Keeps events and sends them. The thread starts with the first one, and holds the sender only
    while something is queued, so that one that nobody has any more goes away."""

    def __init__(
        self,
        wire: Wire,
        queue: Queue,
        *,
        flush_at: int,
        flush_interval_s: float,
        flush_bytes: int,
        exit_timeout_s: float,
        sync: bool,
        disabled: bool,
        debug: bool,
        on_error: OnError | None,
    ) -> None:
        super().__init__(on_error)
        self.disabled = disabled
        self._wire = wire
        self._queue = queue
        self._flush_at = min(flush_at, MAX_BATCH_EVENTS)
        self._flush_interval_s = flush_interval_s
        self._flush_bytes = flush_bytes
        self._exit_timeout_s = exit_timeout_s
        self._sync = sync
        self._debug = debug
        self._closed = False
        self._begin()
        lifetime.add(self)
        if len(self._queue) and not disabled:  # left by a process before this one
            self._wake(at_once=True)

    def _begin(self) -> None:
        """What a process needs for itself."""
        self._prefix = os.urandom(16).hex() + "-"
        self._numbers = count(1)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        # What the thread has to look after: this one, or None once nobody else has it.
        self._calls: SimpleQueue[lifetime.Living | None] = SimpleQueue()
        self._awake = False
        self._enough = threading.Event()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._counting = threading.Lock()
        self._state = threading.Condition()
        self._busy = False
        self._on_way = OnWay([])

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Send everything queued so far and wait for it; False if that took too long."""
        if self.disabled or not (len(self._queue) or self._busy):
            return True
        self._wake(at_once=True)
        with self._state:
            return self._state.wait_for(lambda: not self._busy and not len(self._queue), timeout_s)

    def close(self) -> None:
        """Flush and stop. Called by itself when the program ends."""
        if not self._stop():
            return
        thread = self._thread
        if thread is None or not thread.is_alive():
            if not self.disabled:
                self._drain()
        elif thread is not threading.current_thread():
            thread.join(max(0.0, self._deadline - monotonic()) + GRACE_S)
            if thread.is_alive():
                self._abandon()
            elif len(self._queue):  # came after its last round
                self._drain()
        self._queue.close()

    def _stop(self) -> bool:
        """Take no more events; False if that is so already."""
        if self._closed:
            return False
        self._closed = True
        self._hurry()
        self._calls.put(self)
        return True

    def _hurry(self) -> None:
        """From now on there is an end to the time."""
        if not self._closing.is_set():
            self._deadline = monotonic() + self._exit_timeout_s
            self._closing.set()
            self._enough.set()

    def __del__(self) -> None:
        if "_on_way" not in self.__dict__:  # it was never made
            return
        self._calls.put(None)
        if not self._closed:
            self._closed = True
            self._give_up()
            self._queue.close()

    # On the caller's thread

    def _put(self, event: QueuedEvent) -> None:
        if self.disabled:
            return
        if self._closed:
            self._drop(Dropped("the client is closed"), [event])
            return
        if self._debug:
            _logger.debug("queued %s", event)
        if self._sync:
            self._deadline = monotonic() + self._exit_timeout_s
            self._deliver([encode(event)])
            return
        try:
            gone = self._queue.put(event)
        except OSError as error:
            self._drop(Dropped(f"the spool cannot be written: {error}"), [event])
            return
        if gone is not None:
            self._drop(Dropped("the queue is full"), [gone])
        if not self._awake:
            self._wake()
        if len(self._queue) >= self._flush_at and not self._enough.is_set():
            self._enough.set()

    def _wake(self, at_once: bool = False) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=lifetime.look_after,
                        args=[self._calls],
                        name="threadline-client",
                        daemon=True,
                    )
                    try:
                        self._thread.start()
                    except RuntimeError:  # the program is ending; `close` sends what is there
                        self._thread = None
                    else:
                        lifetime.close_with_process()
        if at_once:
            self._enough.set()
        self._awake = True
        self._calls.put(self)

    # On a thread of its own

    def _round(self) -> bool:
        """Send what is queued, a little later; False where it was the last time."""
        if not self._closing.is_set():
            self._enough.wait(self._flush_interval_s)
        last = self._closing.is_set()
        self._awake = False
        self._enough.clear()
        try:
            self._drain()
        except Exception:  # of the queue's; it must not end the thread, or nothing is sent after it
            _logger.exception("sending failed")
        return not last

    def _drain(self) -> None:
        """Send all there is. What cannot be sent before the end stays, if it is on disk."""
        with self._state:
            self._busy = True
        try:
            while True:
                batch = self._queue.take(self._flush_at, self._flush_bytes, self._unfit)
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
        while batch := self._queue.take(MAX_BATCH_EVENTS, self._flush_bytes, self._unfit):
            self._drop(Dropped("the program ended before they could be sent"), decoded(batch))

    def _abandon(self) -> None:
        """The program ends, and the thread still waits for an answer."""
        lost = self._on_way.take()
        if not self._queue.outlives:
            ended = Dropped("the program ended before the server answered; it may have them")
            self._drop(ended, decoded(lost))
        self._give_up()

    def _deliver(self, batch: list[bytes]) -> bool:
        """Until they have arrived, were refused, or the program ends; whether they are done with.

        An event that spoils its batch is taken out; where the server does not say which one it is,
        halves are tried.
        """
        on_way = self._on_way = OnWay(batch)
        try:
            return self._work_off(on_way)
        except Exception as error:  # a bug, which must not end the sending
            _logger.exception("sending failed")
            self._drop(Dropped(f"sending failed: {said(error)}"), decoded(on_way.take()))
            return True

    def _work_off(self, on_way: OnWay) -> bool:
        failures = 0
        while part := on_way.part():
            refused, wait_s = self._try(part)
            if refused is None:
                on_way.replace()
                failures = 0
            elif refused.may_pass:
                pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures)
                pause_s = max(wait_s, random.uniform(pause_s / 2, pause_s))
                # The first time so that it is seen; an outage may be long.
                level = logging.INFO if failures else logging.WARNING
                _logger.log(level, "%s; %d events wait for it", refused, len(part))
                failures = min(failures + 1, 16)  # the power of two must not be as long
                if not self._pause(pause_s):
                    lost = on_way.take()
                    if not self._queue.outlives:
                        self._drop(refused, decoded(lost))
                    return False
            elif (bad := guilty(refused, len(part))) is None:
                half = len(part) // 2
                on_way.replace(part[:half], part[half:])
            else:
                rest = [event for at, event in enumerate(part) if at not in bad]
                if on_way.replace(rest):
                    self._drop(refused, decoded(part[at] for at in bad))
        return not on_way.taken

    def _try(self, batch: list[bytes]) -> tuple[ThreadlineError | None, float]:
        """Send it once: what is wrong, and how long the server asks to wait."""
        began = monotonic()
        body = b'{"events":[%s]}' % b",".join(batch)
        within_s = max(GRACE_S, self._deadline - began)
        try:
            reply = self._wire.send("POST", "/v1/batch", body, within_s)
        except Unreachable as error:
            return error, 0.0
        if self._debug:
            took_ms = (monotonic() - began) * 1000
            _logger.debug("sent %d events: %d in %.0f ms", len(batch), reply.status, took_ms)
        if reply.status == 202:
            repeat_warnings(reply)
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

    def _after_fork(self) -> None:
        """In the child. What is queued and on its way is the parent's to send."""
        self._begin()
        self._wire.forget_connections()
        self._queue.after_fork()
