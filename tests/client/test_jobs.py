"""What a request knows of its visitor goes with the jobs that it starts."""

import logging
from typing import Any

import celery
import pytest
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging
from fakeredis import FakeStrictRedis
from rq import SimpleWorker

import threadline
from threadline import Context, testing
from threadline.client import celery as celery_helper
from threadline.client import rq as rq_helper

VISIT = Context(
    anonymous_id=lambda: "v1", user_id="u1", url="https://shop.example/buy", ip="203.0.113.7"
)
CARRIED = {
    "anonymous_id": "v1",
    "user_id": "u1",
    "url": "https://shop.example/buy",
    "ip": "203.0.113.7",
}


def charge(amount: int) -> int:
    threadline.track("charged", {"amount": amount})
    return amount


def fail() -> None:
    raise RuntimeError("on purpose")


def leave_logging(**_: object) -> None:
    """A worker would let only errors through, also of the tests after it in this process."""


setup_logging.connect(leave_logging)


def test_celery_tasks_run_for_the_visitor() -> None:
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://")
    app.conf.broker_connection_retry_on_startup = True
    celery_helper.connect()
    celery_helper.connect()
    task = app.task(charge, name="charge")
    failing = app.task(fail, name="fail")
    with (
        testing.record() as recorder,
        start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20),
    ):
        with threadline.use_context(VISIT):
            results: list[Any] = [task.delay(7), failing.delay()]
        results.append(task.delay(8))
        assert results[0].get(timeout=20) == 7
        with pytest.raises(RuntimeError):
            results[1].get(timeout=20)
        assert results[2].get(timeout=20) == 8
    mine, nobodys = recorder.recorded
    assert mine.items() >= {**CARRIED, "properties": {"amount": 7}}.items()
    assert "anonymous_id" not in nobodys


def test_rq_jobs_run_for_the_visitor() -> None:
    connection = FakeStrictRedis()
    queue = rq_helper.Queue(connection=connection)
    with threadline.use_context(VISIT):
        queue.enqueue(charge, 7)
        queue.enqueue(charge, 8, meta={"mine": 1})
    job = queue.enqueue(charge, 9)
    assert job.meta == {"threadline": {}}
    with testing.record() as recorder:
        worker = SimpleWorker([queue], connection=connection, job_class=rq_helper.Job)
        worker.work(burst=True)
    *mine, nobodys = recorder.recorded
    assert [event["properties"]["amount"] for event in mine] == [7, 8]
    for event in mine:
        assert event.items() >= CARRIED.items()
    assert "anonymous_id" not in nobodys


def test_programs_run_without_a_client(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("THREADLINE_SDK_KEY", raising=False)
    threadline.close()
    connection = FakeStrictRedis()
    queue = rq_helper.Queue(connection=connection)
    queue.enqueue(charge, 7)
    job = queue.enqueue(max, 1, 2)
    with caplog.at_level(logging.WARNING, "threadline"):
        SimpleWorker([queue], connection=connection, job_class=rq_helper.Job).work(burst=True)
    assert job.return_value() == 2
    assert caplog.text.count("no key: nothing is sent") == 1
    threadline.close()


def test_the_recorder_stands_in_for_everything() -> None:
    with testing.record({"/v1/stats": {"rows": [{"value": 3}]}}) as recorder:
        threadline.track("x", {"n": 1}, anonymous_id="a")
        threadline.identify("u", anonymous_id="a")
        threadline.page("Home")
        threadline.batch([{"event": "y"}])
        assert threadline.alias("u", "w") is False
        assert threadline.forget("u") == ""
        threadline.flush()
        assert recorder.stats().rows == [{"value": 3}]
        assert recorder.names() == ["x", "$identify", "$pageview", "y"]
        assert recorder.calls[0] == (
            "PUT",
            "/v1/identity/aliases",
            {"user_id": "u", "alias_of": "w"},
        )
        recorder.clear()
        assert (recorder.recorded, recorder.calls) == ([], [])
        threadline.init("sk_1", disabled=True)  # as an application does when it starts
        assert threadline.get_client() is recorder
    assert threadline.get_client() is not recorder


def test_a_program_has_one_client() -> None:
    first = threadline.init("sk_1", disabled=True)
    assert threadline.get_client() is first
    second = threadline.init("sk_2", disabled=True)
    assert threadline.get_client() is second
    assert first._closed
    threadline.close()
    assert second._closed
    assert threadline.flush()  # and makes none
