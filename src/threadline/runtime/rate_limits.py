"""Token buckets for browser keys, per project and client address: requests of each route, and what
all of them bring in events and unpacked bytes."""

import time

from threadline.contract.errors import RateLimited
from threadline.settings import Settings

# Addresses are the sender's to choose: a bound, so that nobody can fill our memory with buckets.
MAX_BUCKETS = 100_000
VOLUMES = ("events", "bytes")
# Others hear of so many that spend most, of those who have spent this share of a burst.
MOST_SHARED = 1000
MUCH = 0.25

# Of a project, what it limits, of an address.
Bucket = tuple[str, str, str]


class Buckets:
    """Filled at a steady rate up to a burst; a request takes one token or is refused. What it
    brings is known only after it is read, so a bucket of volume may be overdrawn; until that is
    made up for, requests are refused.

    Where several nodes take requests, each tells the others what those spent here that spend much
    (`spent`), and draws what they spent elsewhere."""

    def __init__(self, settings: Settings, shared: bool = False) -> None:
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
        self._buckets: dict[Bucket, tuple[float, float]] = {}
        self._shared = shared
        self._spent: dict[Bucket, float] = {}

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

    def spent(self) -> dict[Bucket, float]:
        """What was spent here altogether, by those who spend much."""
        much = [
            (amount / self._rates[bucket[1]][1], bucket)
            for bucket, amount in [*self._spent.items()]
            if amount > MUCH * self._rates[bucket[1]][1]
        ]
        return {bucket: self._spent[bucket] for _, bucket in sorted(much)[-MOST_SHARED:]}

    def are_used(self) -> list[Bucket]:
        """Those that anything was taken out of here."""
        return [*self._spent]

    def spend_elsewhere(self, bucket: Bucket, amount: float, now_s: float | None = None) -> None:
        """So much was spent on another node."""
        now = time.monotonic() if now_s is None else now_s
        self._draw(*bucket, amount, now, overdraw=True, here=False)

    def _draw(
        self,
        project_id: str,
        kind: str,
        address: str,
        amount: float,
        now: float,
        overdraw: bool = False,
        here: bool = True,
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
        if self._shared and here and left < tokens:
            self._spent[key] = self._spent.pop(key, 0.0) + tokens - left
            if len(self._spent) > MAX_BUCKETS:
                del self._spent[next(iter(self._spent))]
        return tokens


def _too_many(kind: str, route: str) -> str:
    if kind == "mcp":
        return "Too many calls of tools with this key; wait, and ask for more at once."
    what = f"{route} requests" if kind == route else kind
    return f"Too many {what} from this address; send less, and events in batches."
