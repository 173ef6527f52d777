"""RQ: enqueue on this `Queue`, and start workers with `--job-class threadline.client.rq.Job`.

What a request knows of its visitor goes with its jobs, and counts while they run. Events are sent
before a job ends, because its process ends with it.
"""

from typing import Any

import rq
import rq.job

from threadline.client import default
from threadline.client.context import extract, inject, use_context

META = "threadline"


class Job(rq.job.Job):
    """A job that runs for the visitor it was enqueued for."""

    def perform(self) -> Any:
        try:
            with use_context(extract(self.meta.get(META, {}))):
                return super().perform()
        finally:
            default.flush()


class Queue(rq.Queue):
    """Jobs carry the context."""

    job_class = Job

    def create_job(self, *args: Any, **more: Any) -> rq.job.Job:
        more["meta"] = {META: inject(), **(more.get("meta") or {})}
        return super().create_job(*args, **more)
