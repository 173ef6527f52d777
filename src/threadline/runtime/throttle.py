"""How often somebody may try to sign in: by address and by e-mail, so that neither one machine nor
many guess a password. Counted in memory."""

import time
from typing import NamedTuple

from threadline.contract.errors import RateLimited

# Both are the sender's to choose: a bound, so that nobody can fill our memory.
MAX_KEPT = 100_000


class AttemptRate(NamedTuple):
    """So many tries at once, and one more every so many seconds."""

    at_once: int
    every_s: float


BY_ADDRESS = AttemptRate(20, 30.0)
BY_EMAIL = AttemptRate(10, 60.0)


class Throttle:
    """A try is taken before it is known how it ends, and given back where it succeeds."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, address: str, email: str = "", now_s: float | None = None) -> None:
        """Raises `RateLimited` with the seconds until the next try."""
        now = time.monotonic() if now_s is None else now_s
        tried = self._tried(address, email)
        left = {key: self._refilled(key, rate, now) for key, rate in tried.items()}
        waits = [(1 - left[key]) * rate.every_s for key, rate in tried.items() if left[key] < 1]
        if waits:
            raise RateLimited(
                "Too many tries to sign in. Wait, or run `threadline dashboard login-link` where "
                "the server runs.",
                retry_after_s=round(max(waits), 3),
            )
        for key in tried:
            self._keep(key, left[key] - 1, now)

    def give_back(self, address: str, email: str = "") -> None:
        """The try succeeded."""
        for key in self._tried(address, email):
            if key in self._left:
                left, since = self._left[key]
                self._left[key] = (left + 1, since)

    def _tried(self, address: str, email: str) -> dict[tuple[str, str], AttemptRate]:
        by_email = {("email", email): BY_EMAIL} if email else {}
        return {("address", address): BY_ADDRESS, **by_email}

    def _refilled(self, key: tuple[str, str], rate: AttemptRate, now: float) -> float:
        left, since = self._left.get(key, (float(rate.at_once), now))
        return min(float(rate.at_once), left + (now - since) / rate.every_s)

    def _keep(self, key: tuple[str, str], left: float, now: float) -> None:
        # Taken out and put back: the dictionary stays in order of last use.
        self._left.pop(key, None)
        if len(self._left) >= MAX_KEPT:
            del self._left[next(iter(self._left))]
        self._left[key] = (left, now)
