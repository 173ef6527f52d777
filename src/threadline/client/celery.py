"""Celery: `threadline.client.celery.connect()` once, where the application is made.

What a request knows of its visitor goes into the headers of the tasks that it starts, and counts
while they run. Workers send what is queued before they end.
"""

from contextlib import ExitStack
from typing import Any

from celery.signals import (
    before_task_publish,
    task_postrun,
    task_prerun,
    worker_process_shutdown,
    worker_shutdown,
)

from threadline.client import default
from threadline.client.context import extract, inject, use_context

HEADER = "threadline"
_running: dict[str, ExitStack] = {}


def connect() -> None:
    """Have every task carry the context. To call it twice does no harm."""
    before_task_publish.connect(_publish, dispatch_uid=HEADER)
    task_prerun.connect(_begin, dispatch_uid=HEADER)
    task_postrun.connect(_end, dispatch_uid=HEADER)
    worker_process_shutdown.connect(_flush, dispatch_uid=HEADER)
    worker_shutdown.connect(_flush, dispatch_uid=HEADER)


def _publish(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is not None and (fields := inject()):
        headers.setdefault(HEADER, fields)


def _begin(task_id: str, task: Any, **_: object) -> None:
    fields = task.request.get(HEADER)
    if fields:
        _running[task_id] = ExitStack()
        _running[task_id].enter_context(use_context(extract(fields)))


def _end(task_id: str, **_: object) -> None:
    if task_id in _running:
        _running.pop(task_id).close()


def _flush(**_: object) -> None:
    default.flush()
