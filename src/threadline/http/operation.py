"""`/v1/dead-letters`, `/v1/jobs` and `/v1/receipts`: what the machine has to say of a project. They
are read from the log's file, as the commands of these names do; none of them shows what an event
held, or whom a request to forget was about."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Annotated, TypeVar

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.contract.times import format_ms
from threadline.http.answers import Answer, answer
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.ingest import dead_letters, receipts
from threadline.ingest.log import open_db
from threadline.jobs.view import shown
from threadline.questions.parameters import Limit
from threadline.runtime.params import read_params

TAG = "Operation"
Found = TypeVar("Found")


class ListParams(msgspec.Struct, kw_only=True):
    """How many."""

    limit: Limit = 100


class JobsParams(msgspec.Struct, kw_only=True):
    """How many of those that are over; all others are there in any case."""

    limit: Limit = 20


class DeadLetterRow(msgspec.Struct):
    """An event that the store refused, and why. `retry`: somebody has it sent again. What it held
    shows `threadline dead-letter show`."""

    letter_id: str
    event: str
    event_id: str
    reason: str
    refused_at: str
    retry: bool


class DeadLetterList(msgspec.Struct):
    """The project's dead letters, the latest first. `total`: how many there are."""

    rows: list[DeadLetterRow]
    total: int


class JobRow(msgspec.Struct):
    """Work that takes long. `meaning`: of its state, in words. `done` of `total` units, `progress`
    from 0 to 1; null where it is not known. `about`: a file or a time; never whom. `project_id`:
    null for work on everything there is."""

    job_id: str
    kind: str
    project_id: str | None
    about: str
    state: str
    meaning: str
    step: str
    done: int
    total: int
    unit: str
    progress: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    requested_at: str
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    cancelling: bool
    error: str
    events: int | None


class JobList(msgspec.Struct):
    """The project's jobs and those of all projects together, the latest first."""

    rows: list[JobRow]


class ReceiptRow(msgspec.Struct):
    """A request to forget somebody. `meaning`: how far it is. `events`: how many went; null where
    they were not found yet. `hidden_at`: since when no answer shows any of them; `erased_at`: since
    when they are off the disk."""

    receipt_id: str
    meaning: str
    accepted_at: str
    hidden_at: str | None
    erased_at: str | None
    events: int | None


class ReceiptList(msgspec.Struct):
    """The project's requests to forget, the latest first. `total`: how many there are."""

    rows: list[ReceiptRow]
    total: int


async def list_dead_letters(request: Request) -> Answer:
    limit = read_params(request.query, ListParams).limit
    found = await _in_log(request, partial(dead_letters.listed, project_id=_project(request)))
    rows = [
        DeadLetterRow(
            letter.letter_id,
            letter.event_name,
            letter.event_id,
            letter.reason,
            format_ms(letter.refused_ms),
            bool(letter.retry),
        )
        for letter in found[::-1][:limit]
    ]
    return answer(DeadLetterList(rows, len(found)))


async def list_jobs(request: Request) -> Answer:
    limit = read_params(request.query, JobsParams).limit
    folder = _folder(request)
    look = partial(shown, folder=folder, latest=limit, project_id=_project(request))
    rows = [
        JobRow(
            job_id=job.job_id,
            kind=job.kind,
            project_id=job.project or None,
            about=job.about,
            state=job.state,
            meaning=job.meaning,
            step=job.step,
            done=job.done,
            total=job.total,
            unit=job.unit,
            progress=job.progress,
            requested_at=job.requested,
            started_at=job.started,
            finished_at=job.finished,
            seconds=job.took_s,
            cancelling=job.cancelling,
            error=job.error,
            events=job.events,
        )
        for job in reversed(await _in_log(request, look))
    ]
    return answer(JobList(rows))


async def list_receipts(request: Request) -> Answer:
    limit = read_params(request.query, ListParams).limit
    found = await _in_log(request, partial(receipts.listed, project_id=_project(request)))
    rows = [
        ReceiptRow(
            receipt.receipt_id,
            receipts.meaning(receipt),
            format_ms(receipt.accepted_ms),
            _time(receipt.finished_ms),
            _time(receipt.erased_ms),
            receipt.events,
        )
        for receipt in found[::-1][:limit]
    ]
    return answer(ReceiptList(rows, len(found)))


async def _in_log(request: Request, look: Callable[[Connection], Found]) -> Found:
    """On a connection of its own, so that nobody who sends events waits for it."""
    folder = _folder(request)

    def read() -> Found:
        with closing(open_db(folder)) as db:
            return look(db)

    return await asyncio.to_thread(read)


def _folder(request: Request) -> Path:
    return Path(request.services.settings.data)


def _project(request: Request) -> str:
    return request.project.project_id


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_ms(ms)


# (path, handler, what it is, its parameters, its answer)
LISTS = (
    (
        "/v1/dead-letters",
        list_dead_letters,
        "Events that the store refused, with the reason",
        ListParams,
        DeadLetterList,
    ),
    ("/v1/jobs", list_jobs, "Work that takes long, and how far it is", JobsParams, JobList),
    ("/v1/receipts", list_receipts, "Requests to forget, and how far they are", ListParams,
     ReceiptList),
)  # fmt: skip
ROUTES = [
    Route(
        "GET",
        path,
        handle,
        Doc(
            summary=summary,
            tag=TAG,
            keys=READ,
            params=params,
            answer=answered,
            errors=(InvalidParams,),
        ),
    )
    for path, handle, summary, params, answered in LISTS
]
