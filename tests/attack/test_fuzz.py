"""Whatever stands in a query string or a body: an answer or a refusal, never a failure of ours."""

import base64
import json
import random
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from tests.support import Json, Project
from tests.width import wide

TIMES = wide(1, 20)
STRANGE = [
    "",
    " ",
    "0",
    "-1",
    "1e3",
    "NaN",
    "9" * 40,
    "null",
    "true",
    "[]",
    "{}",
    "a,b",
    ",",
    "a" * 3000,
    "\0",
    "\n",
    "😀",
    "\ufeff",
    "ü" * 200,
    "'; DROP TABLE events; --",
    "{x:String}",
    "%s",
    "%",
    "\\",
    "../../etc/passwd",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30",
    "2026-05-01T10:00:00",
    "1764583200",
    "Europe/Berlin",
    "../Europe/Berlin",
    "day",
    "any",
    "P7D",
    "7d",
    "-7d",
    "9" * 20 + "d",
    "source",
    "$pageview",
    "$pageview{path=/}",
    "a{b=c",
    "a{=}",
    "a}",
    "{",
    base64.urlsafe_b64encode(b'["2026-05-01",1]').decode(),
    base64.urlsafe_b64encode(b"{}").decode(),
    base64.urlsafe_b64encode(bytes(range(256))).decode(),
]


def questions(document: Json, chance: random.Random) -> Iterator[str]:
    for path, methods in document["paths"].items():
        operation = methods.get("get")
        if not operation or not operation.get("security"):
            continue
        parameters = [at for at in operation["parameters"] if at["in"] == "query"]
        for _ in range(15 * TIMES):
            given = [(at["name"], "$pageview") for at in parameters if at["required"]]
            for at in chance.sample(parameters, min(len(parameters), chance.randint(1, 3))):
                given.append((at["name"], chance.choice(STRANGE)))
            found = path
            for name in ("user_id", "event_id"):
                found = found.replace(f"{{{name}}}", quote(chance.choice(STRANGE) or "x", safe=""))
            yield f"{found}?{urlencode(given)}"


def test_no_question_fails(project: Project) -> None:
    project.batch([{"event": "$pageview", "anonymous_id": "a", "user_id": "u"}] * 3)
    chance = random.Random(17)
    document = project.send("GET", "/openapi.json").json
    headers = {"Authorization": f"Bearer {project.keys['rk']}"}
    asked: dict[int, int] = {}
    for path in questions(document, chance):
        reply = project.send("GET", path, headers=headers)
        asked[reply.status] = asked.get(reply.status, 0) + 1
        assert reply.status < 500, (path, reply)
        if reply.status >= 400:
            assert reply.json["details"]["message"], (path, reply)
    assert asked.keys() >= {200, 400}


def scrambled(body: bytes, chance: random.Random) -> bytes:
    """The body with a few bytes, or pieces, that are not as they were."""
    raw = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(raw))
        match chance.randrange(4):
            case 0:
                raw[place] = chance.randrange(256)
            case 1:
                del raw[place : place + chance.randint(1, 20)]
            case 2:
                raw[place:place] = chance.choice(STRANGE).encode()
            case _:
                raw[place:place] = raw[chance.randrange(len(raw)) :][: chance.randint(1, 40)]
        if not raw:
            return b"{"
    return bytes(raw)


def test_no_body_fails(project: Project) -> None:
    chance = random.Random(19)
    event = {
        "event": "x",
        "event_id": "e1",
        "timestamp": "2026-05-01T10:00:00Z",
        "anonymous_id": "a",
        "user_id": "u",
        "url": "https://shop.example/?utm_source=news&gclid=1",
        "referrer": "https://www.google.com/",
        "properties": {"value": 7, "text": 'ü \u2028 " \\'},
    }
    segment = {"type": "track", "event": "x", "userId": "u", "context": {"page": {"url": "/"}}}
    bodies: dict[str, list[object]] = {
        "/v1/track": [event, segment],
        "/v1/batch": [{"events": [event, event]}, {"batch": [segment, segment]}],
        "/v1/identify": [{"anonymous_id": "a", "user_id": "u", "traits": {"plan": "pro"}}],
        "/v1/forget": [{"anonymous_id": "nobody"}],
        "/v1/alias": [{"previousId": "a", "userId": "u"}],
        "/v1/page": [{"userId": "u", "properties": {"url": "https://shop.example/"}}],
    }
    statuses: set[int] = set()
    for path, examples in bodies.items():
        for example in examples:
            body = json.dumps(example, ensure_ascii=chance.random() < 0.5).encode()
            for _ in range(60 * TIMES):
                sent = scrambled(body, chance)
                reply = project.post(path, sent)
                statuses.add(reply.status)
                assert reply.status < 500, (path, sent, reply)
    assert statuses >= {200, 202, 400}
