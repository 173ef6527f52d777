"""What a body costs: CPU of the way from bytes to rows, beside an ordinary body of its size."""

import sys
import time

from tests.attack.hostile import ordinary
from threadline.classify import NO_SITE, classify
from threadline.contract.bodies import Batch
from threadline.contract.decoding import decode
from threadline.contract.errors import ApiError
from threadline.contract.replies import Notice
from threadline.enrich import read_agent, scrubber
from threadline.ingest.accept import accept
from threadline.ingest.context import IngestContext

NOW_MS = 1_790_000_000_000
SENDER = IngestContext(
    project_id="p",
    site=NO_SITE,
    scrub=scrubber(),
    browser_key=False,
    address="203.0.113.7",
    address_hash=bytes(16),
    user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36",
    country="",
    salt=bytes(32),
    id_key=7,
    now_ms=NOW_MS,
)


def warm_up() -> None:
    """What the server does before it says that it is ready."""
    read_agent("Mozilla/5.0")
    classify("https://example.com/", "https://example.org/")


def cpu_s(body: bytes) -> float:
    """CPU seconds of this thread until the body is rows, or refused."""
    notices: list[Notice] = []
    # Where coverage is measured, that would cost more than what is measured here.
    tracer = sys.gettrace()
    sys.settrace(None)
    started = time.thread_time()
    try:
        accept(decode(body, Batch, NOW_MS, notices).events, SENDER, in_batch=True)
    except ApiError as error:
        if error.status not in (400, 413):
            raise
    finally:
        spent_s = time.thread_time() - started
        sys.settrace(tracer)
    return spent_s


def ordinary_cpu_s(size: int, seed: int = 0) -> float:
    """The same of an ordinary body with addresses that no cache has seen."""
    return cpu_s(ordinary(size, seed=seed))
