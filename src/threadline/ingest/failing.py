"""How writing fails: since when, what it is, and when to try again."""

import random
import time

import structlog

from threadline.control.errors import ControlFileError
from threadline.metrics import Metrics
from threadline.store import StoreAway, StoreError

RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)
# How often to say that writing still fails.
SAY_AGAIN_S = 60.0

# What a failure is: the store cannot be reached, or does not carry out what it is given; anything
# else is ours to mend.
KINDS: tuple[tuple[type[Exception], str], ...] = (
    (StoreAway, "store_away"),
    (StoreError, "store_failed"),
    (ControlFileError, "control_away"),
)
BUG = "writer_failed"

_logger = structlog.get_logger("threadline.writer")


class Failing:
    """`since`: when the first of the failures was, by the monotonic clock; None: all is well."""

    def __init__(self, metrics: Metrics, is_away: bool) -> None:
        """`is_away`: the store is, before anything is written."""
        self.since: float | None = time.monotonic() if is_away else None
        self._metrics = metrics
        self._attempts = 0
        self._said: tuple[str, float] = ("", 0.0)

    def again(self, error: Exception) -> float:
        """Count it, and say what it is: when it begins or changes, and again while it lasts. After
        how many seconds to try again."""
        pause = RETRY_S[min(self._attempts, len(RETRY_S) - 1)] * random.uniform(0.75, 1.25)
        self._attempts += 1
        what = next((name for kind, name in KINDS if isinstance(error, kind)), BUG)
        self._metrics.write_failures.labels(what).inc()
        now = time.monotonic()
        first = self.since is None
        if first:
            self.since = now
        said, said_at = self._said
        if first or said != what or now - said_at > SAY_AGAIN_S:
            self._said = (what, now)
            _logger.error(what, error=str(error), attempts=self._attempts, exc_info=what == BUG)
        return pause

    def is_over(self) -> None:
        """The store was there again."""
        if self.since is not None:
            away_s = round(time.monotonic() - self.since, 1)
            _logger.info("store_back", away_s=away_s, attempts=self._attempts)
        self._attempts, self.since = 0, None
