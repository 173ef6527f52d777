"""For the tests of programs that use Threadline: a client that sends nothing and remembers all.

with threadline.testing.record() as recorded:
    client.post("/signup", …)
assert recorded.names() == ["$identify", "signup"]
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from threadline.client import default
from threadline.client.client import Client
from threadline.client.queue import QueuedEvent, encode
from threadline.client.wire import Json, QueryParams


class Recorder(Client):
    """`recorded`: what would have been sent, as the server would read it. `calls`: other requests,
    as method, path and body; they answer {} or what `answers` says for their path."""

    def __init__(self, answers: Mapping[str, Json] | None = None) -> None:
        super().__init__("sk_test_recorder", "http://127.0.0.1:9", proxy="")
        self.recorded: list[QueuedEvent] = []
        self.calls: list[tuple[str, str, object]] = []
        self.answers = dict(answers or {})

    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [event["event"] for event in self.recorded]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.recorded.clear()
        self.calls.clear()

    def _put(self, event: QueuedEvent) -> None:
        self.recorded.append(json.loads(encode(event)))

    def _ask(self, method: str, path: str, params: QueryParams = None, body: object = None) -> Json:
        self.calls.append((method, path, body))
        return self.answers.get(path, {})


@contextmanager
def record(answers: Mapping[str, Json] | None = None) -> Iterator[Recorder]:
    """Every event of `threadline.track` and of integrations that were given no client of their own,
    for the length of the block."""
    recorder = Recorder(answers)
    before = default.stand_in(recorder)
    try:
        yield recorder
    finally:
        default.stand_in(before)
        recorder.close()
