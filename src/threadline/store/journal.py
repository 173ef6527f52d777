"""What this process has changed in a store, change by change, so that whoever keeps something of it
knows whether that is still so."""

import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

# Changes of which it is known what they were; before these, anything may have changed.
MOST_NOTED = 300


class WrittenEvent(NamedTuple):
    """Where an event was: on a device, or without one at its user. `known`: it carries one."""

    project_id: str
    anonymous_id: str | None
    user_id: str | None

    @property
    def known(self) -> bool:
        return self.user_id is not None


class Journal:
    """Changes are numbered. Safe to use from several threads."""

    def __init__(self) -> None:
        self.changes = 0
        self._noted: deque[tuple[int, Sequence[WrittenEvent] | None]] = deque(maxlen=MOST_NOTED)
        self._lock = threading.Lock()

    def note(self, events: Sequence[WrittenEvent] | None) -> None:
        """One change more. `events`: it brought these and did nothing else that a question sees;
        None: it may have done anything."""
        with self._lock:
            self.changes += 1
            self._noted.append((self.changes, events))

    def since(self, change: int, until: int) -> list[WrittenEvent] | None:
        """The events that came after a change and until another; None if anything else did, or may
        have."""
        with self._lock:
            noted = [events for number, events in self._noted if change < number <= until]
        if len(noted) < until - change:
            return None
        found: list[WrittenEvent] = []
        for events in noted:
            if events is None:
                return None
            found += events
        return found


# By the store's URL: a process may have several open that are the same engine.
journals: defaultdict[str, Journal] = defaultdict(Journal)
