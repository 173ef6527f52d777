"""Token buckets for browser keys, per project, route and client address."""

import time

from threadline.contract.errors import RateLimited
from threadline.settings import Settings

# Addresses are the sender's to choose: a bound, so that nobody can fill our memory with buckets.
MAX_BUCKETS = 100_000


class Buckets:
    """Filled at a steady rate up to a burst; a request takes one token or is refused."""

    def __init__(self, settings: Settings) -> None:
        track = (float(settings.track_per_second), float(settings.track_burst))
        batch = (float(settings.batch_per_second), float(settings.batch_burst))
        self._rates = {"track": track, "identify": track, "batch": batch}
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def take(self, project_id: str, route: str, address: str, now_s: float | None = None) -> None:
        """Raises `RateLimited` with the seconds until the next token."""
        rate, burst = self._rates[route]
        now = time.monotonic() if now_s is None else now_s
        key = (project_id, route, address)
        # Taken out and put back: the dictionary stays in order of last use.
        tokens, since = self._buckets.pop(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        if len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (max(tokens - 1, min(tokens, 0.0)), now)
        if tokens < 1:
            wait_s = (1 - tokens) / rate
            raise RateLimited(
                f"Too many {route} requests from this address; send events in batches.",
                retry_after_s=round(wait_s, 3),
            )
