"""Token buckets for browser keys, per project and client address: requests of each route, and what
all of them bring in events and unpacked bytes."""

import time

from threadline.contract.errors import RateLimited
from threadline.settings import Settings

# Addresses are the sender's to choose: a bound, so that nobody can fill our memory with buckets.
MAX_BUCKETS = 100_000
VOLUMES = ("events", "bytes")


class Buckets:
    """Filled at a steady rate up to a burst; a request takes one token or is refused. What it
    brings is known only after it is read, so a bucket of volume may be overdrawn; until that is
    made up for, requests are refused."""

    def __init__(self, settings: Settings) -> None:
        track = (float(settings.track_per_second), float(settings.track_burst))
        batch = (float(settings.batch_per_second), float(settings.batch_burst))
        self._rates = {
            "track": track,
            "identify": track,
            "batch": batch,
            "mcp": (float(settings.mcp_per_second), float(settings.mcp_burst)),
            "events": (float(settings.events_per_second), float(settings.events_burst)),
            "bytes": (float(settings.bytes_per_second), float(settings.bytes_burst)),
        }
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def take(self, project_id: str, route: str, address: str, now_s: float | None = None) -> None:
        """Raises `RateLimited` with the seconds until the next token."""
        now = time.monotonic() if now_s is None else now_s
        for kind in (*VOLUMES, route):
            needed = 0.0 if kind in VOLUMES else 1.0
            tokens = self._draw(project_id, kind, address, needed, now)
            if tokens < needed:
                wait_s = (needed - tokens) / self._rates[kind][0]
                raise RateLimited(
                    _too_many(kind, route),
                    retry_after_s=round(wait_s, 3),
                )

    def spend(
        self, project_id: str, address: str, events: int, size: int, now_s: float | None = None
    ) -> None:
        """So many events and unpacked bytes have come."""
        now = time.monotonic() if now_s is None else now_s
        for kind, amount in zip(VOLUMES, (events, size), strict=True):
            self._draw(project_id, kind, address, float(amount), now, overdraw=True)

    def _draw(
        self,
        project_id: str,
        kind: str,
        address: str,
        amount: float,
        now: float,
        overdraw: bool = False,
    ) -> float:
        """Take so many tokens out, if they are there or may be overdrawn; how many there were."""
        rate, burst = self._rates[kind]
        key = (project_id, kind, address)
        # Taken out and put back: the dictionary stays in order of last use.
        tokens, since = self._buckets.pop(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        if len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        left = tokens - amount if overdraw or tokens >= amount else tokens
        self._buckets[key] = (left, now)
        return tokens


def _too_many(kind: str, route: str) -> str:
    if kind == "mcp":
        return "Too many calls of tools with this key; wait, and ask for more at once."
    what = f"{route} requests" if kind == route else kind
    return f"Too many {what} from this address; send less, and events in batches."
