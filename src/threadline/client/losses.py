"""What is lost, and what is odd: logged under `threadline`, counted, given to `on_error`."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from threadline.client.batches import said, shown
from threadline.client.errors import Dropped, ThreadlineError
from threadline.client.queue import QueuedEvent
from threadline.client.values import Unfit

MAX_NOTES = 1000

OnError = Callable[[ThreadlineError, list[QueuedEvent]], None]

_logger = logging.getLogger("threadline")


class Losses:
    """Base of what sends. `dropped`: how many events were lost."""

    def __init__(self, on_error: OnError | None) -> None:
        self.dropped = 0
        self._on_error = on_error
        self._notes: set[str] = set()
        self._counting = threading.Lock()

    def _unfit(self, event: QueuedEvent, error: Exception) -> None:
        what = "cannot be sent" if isinstance(error, Unfit) else "cannot be written as JSON"
        self._drop(Dropped(f"the event {what}: {said(error)}"), [event])

    def _drop(self, error: ThreadlineError, events: list[QueuedEvent]) -> None:
        if not events:
            return
        with self._counting:
            self.dropped += len(events)
        # As Python writes them: a name may hold a line's end, or what no log can.
        names = ", ".join(sorted({shown(event.get("event")) for event in events})[:5])
        _logger.error("%d events lost (%s): %s", len(events), names, error)
        if self._on_error is not None:
            try:
                self._on_error(error, events)
            except Exception:  # the program's own, on a thread that has to go on
                _logger.exception("on_error failed")

    def _note(self, message: str, *given: object) -> None:
        """Log what was made of something odd, once for each kind of it."""
        if message not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes.add(message)
            with suppress(Exception):  # the text form of what is odd
                _logger.warning("%s (said once)", message % given if given else message)
