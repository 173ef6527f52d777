"""This server as one of several that write into the same store: it says how far it is, signs the
barriers that others raise, and raises one for each request to forget."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from threadline.contract.errors import InvalidParams
from threadline.control.errors import ControlFileError
from threadline.control.others import KnownLog, node_of
from threadline.ingest import held_forgets
from threadline.ingest.log import Log
from threadline.metrics import Metrics
from threadline.runtime.rate_limits import Buckets
from threadline.runtime.shared_limits import SharedLimits

if TYPE_CHECKING:  # what speaks to PostgreSQL is an extra
    from threadline.control.nodes import Nodes

LOOK_EVERY_S = 0.1
# Whoever says nothing for longer is taken for away.
REPORT_EVERY_S = 1.0
LOOK_AGAIN_S = 0.025
MOST_DIGITS = 18
# What ingest answers with, and questions take.
WRITTEN = "threadline-written"

_logger = structlog.get_logger("threadline.nodes")


class _Promise(NamedTuple):
    """The barrier is signed as soon as so much of the log is in the store."""

    barrier: int
    acked_seq: int


class ThisNode:
    """Opened with its log, and closed when that is written."""

    def __init__(
        self,
        nodes: "Nodes",
        log: Log,
        folder: Path,
        hash_of: Callable[[str, str], bytes],
        buckets: Buckets,
        metrics: Metrics,
    ) -> None:
        """`hash_of`: the keyed hash of an id in a project, as receipts have it. Raises
        `ControlError`."""
        self._nodes = nodes
        self._log = log
        self._hash_of = hash_of
        self._metrics = metrics
        self.node = node_of(log.log_id)
        self.known: KnownLog = nodes.register(log.log_id, folder, log.acked_seq, log.written_seq)
        self._limits = SharedLimits(nodes, self.node, buckets, hash_of)
        self._signed = self.known.signed
        self._promise: _Promise | None = None
        self._reported = (0, 0, 0)
        self._reported_at = 0.0
        # Others that may have events which the store has not, and say nothing.
        self.away: list[str] = []
        self._waited_for: dict[int, list[str]] = {}
        self._looking = threading.Lock()
        self._failing = False

    def close(self) -> None:
        """Say that nothing more is to be expected."""
        with self._looking, suppress(ControlFileError):  # then others take it for away
            self._report(stopped=True)

    def look(self, wake: Callable[[], None]) -> None:
        """All that is to be done now. `wake`: called where there is something to write."""
        with self._looking:
            try:
                self._sign()
                if self._report():
                    self._look_for_others()
                    self._limits.look()
                self._raise_barrier()
                self._release(wake)
            except ControlFileError as error:
                if not self._failing:
                    _logger.error("nodes_not_reached", error=str(error))
                self._failing = True
            else:
                if self._failing:
                    _logger.info("nodes_reached_again")
                self._failing = False

    def token(self) -> str:
        """For who reads elsewhere: what was acknowledged here by now."""
        return f"{self.node}:{self._log.acked_seq}"

    def is_written(self, token: str, within_s: float) -> bool:
        """Wait until the store has what `token` stands for, of whichever node; whether it has.
        Raises `InvalidParams` and `ControlFileError`."""
        node, _, said = token.partition(":")
        if not (said.isascii() and said.isdigit() and len(said) <= MOST_DIGITS):
            raise InvalidParams(f"The header {WRITTEN} is what an answer to events gave you.")
        if node == self.node:  # whoever asks waits for these anyway
            return True
        latest = time.monotonic() + within_s
        while True:
            written = self._nodes.written(node)
            if written is None:
                raise InvalidParams(f"The header {WRITTEN} names a node that is not one of these.")
            if written >= int(said):
                return True
            if time.monotonic() > latest:
                return False
            time.sleep(LOOK_AGAIN_S)

    def behind(self, within_s: float) -> list[str]:
        """Wait until the store has what every node has acknowledged by now; the names of those of
        which it has not. Raises `ControlFileError`."""
        barrier = self._nodes.raise_barrier([])
        latest = time.monotonic() + within_s
        while names := self._nodes.not_signed(barrier):
            if time.monotonic() > latest:
                return names
            time.sleep(LOOK_AGAIN_S)
        return []

    def _sign(self) -> None:
        last = self._nodes.last_barrier()
        if self._promise is None and last > self._signed:
            self._promise = _Promise(last, self._log.acked_seq)
        promise = self._promise
        if promise and self._log.written_seq >= promise.acked_seq:
            whom = self._nodes.forgotten_between(self._signed, promise.barrier)
            if whom:
                held_forgets.forget_letters(self._log, whom, self._hash_of)
            self._signed, self._promise = promise.barrier, None

    def _report(self, stopped: bool = False) -> bool:
        """Whether a second has passed."""
        now, reported = time.monotonic(), (self._log.acked_seq, self._log.written_seq, self._signed)
        due = now - self._reported_at > REPORT_EVERY_S
        if due or stopped or reported != self._reported:
            self._nodes.report(self.node, *reported, stopped=stopped)
            self._reported = reported
        if due:
            self._reported_at = now
        return due

    def _look_for_others(self) -> None:
        away = [n.name for n in self._nodes.listed() if n.is_away and n.node != self.node]
        for name in set(away) - set(self.away):
            _logger.error(
                "node_away",
                node=name,
                problem="Events that it acknowledged may not be in the store yet, and answers miss"
                " them then. Start it again, or let it reach PostgreSQL; or, if its data folder is"
                " lost for good, take it off the list: threadline node remove.",
            )
        for name in set(self.away) - set(away):
            _logger.info("node_back", node=name)
        self.away = away
        self._metrics.nodes_away.set(len(away))

    def _raise_barrier(self) -> None:
        if unraised := held_forgets.unraised(self._log):
            barrier = self._nodes.raise_barrier([*{*unraised.values()}])
            held_forgets.hold(self._log, unraised, barrier)

    def _release(self, wake: Callable[[], None]) -> None:
        for barrier in held_forgets.barriers(self._log):
            waited_for = self._nodes.not_signed(barrier)
            if not waited_for:
                held_forgets.release(self._log, barrier)
                self._nodes.lower_barrier(barrier)
                self._waited_for.pop(barrier, None)
                wake()
            elif waited_for != self._waited_for.get(barrier):
                self._waited_for[barrier] = waited_for
                held_forgets.wait_for(self._log, barrier, waited_for)
