"""Two projects whose ids are all the same: nothing of one is in any answer to the other."""

import itertools
import random
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from tests.support import Json, Project, Reply, Server, side_by_side
from tests.width import wide

# Of each parameter values that lead somewhere; those with a list of allowed values bring their own.
VALUES: dict[str, list[str]] = {
    "from": ["2026-05-01", "2026-05-01T10:00:00Z"],
    "to": ["2026-06-01", "2026-05-03T00:00:00+14:00"],
    "as_of": ["2026-11-01T00:00:00Z"],
    "event": ["$pageview", "{mark} bought"],
    "source": ["{mark}-news"],
    "medium": ["email"],
    "user_id": ["u1", "u2"],
    "anonymous_id": ["d1", "shared"],
    "event_id": ["e1", "e7"],
    "at": ["2026-05-01T10:00:00Z"],
    "limit": ["1", "100"],
    "conversion": ["{mark} bought", "bought"],
    "steps": ["$pageview,{mark} bought", "$pageview,bought"],
    "start": ["$pageview"],
    "end": ["{mark} bought"],
    "value_property": ["amount"],
    "property": ["amount"],
    "group_by": ["source", "event_name", "source,medium", "path"],
    "tz": ["Asia/Kolkata"],
    "window": ["7d", "86400"],
    "url": ["https://shop.example/?utm_source={mark}"],
    "q": ["u"],
}
ASKED_PER_ROUTE = wide(2, 50)


def events(mark: str) -> list[Json]:
    """The same people on the same devices, who do things that only this project knows."""
    seen: Iterator[int] = itertools.count(1)

    def event(name: str, device: str, day: int, user: str | None = None, **more: object) -> Json:
        number = next(seen)
        return {
            "event": name,
            "event_id": f"e{number}",
            "timestamp": f"2026-05-{day:02}T10:{number:02}:00Z",
            "anonymous_id": device,
            "user_id": user,
            "url": f"https://shop.example/{mark}?utm_source={mark}-news&utm_medium=email"
            f"&utm_campaign=secret-of-{mark}",
            "properties": {
                "amount": 7,
                "of": f"secret-of-{mark}",
                "account_id": f"secret-of-{mark}",
            },
            **more,
        }

    return [
        event("$pageview", "d1", 1),
        event("$identify", "d1", 2, "u1", properties={"name": f"secret-of-{mark}"}),
        event(f"{mark} bought", "d1", 3, "u1"),
        event("bought", "d1", 3, "u1"),
        event("$pageview", "shared", 1),
        event("$identify", "shared", 2, "u1"),
        event("$identify", "shared", 4, "u2"),
        event(f"{mark} bought", "shared", 5, "u2"),
        event("$pageview", f"secret-of-{mark}-device", 6, f"{mark}-user"),
        event(f"secret-of-{mark}", "d1", 7, f"secret-of-{mark}-user"),
    ]


@pytest.fixture(scope="module")
def projects(server: Server) -> tuple[Project, Project]:
    made = []
    for mark in ("alpha", "beta"):
        project = Project(server)
        project.batch(events(mark))
        project.change("PUT", "/v1/identity/aliases", {"user_id": "u2", "alias_of": f"{mark}-user"})
        project.change(
            "DELETE", "/v1/identity/links", {"anonymous_id": "d1", "user_id": f"{mark}-user"}
        )
        made.append(project)
    return made[0], made[1]


def questions(document: Json, mark: str, other: str) -> Iterator[str]:
    """Paths of all routes that take a read key, each with many sets of parameters."""
    chance = random.Random(7)
    for path, methods in document["paths"].items():
        operation = methods.get("get")
        if not operation or not operation.get("security"):
            continue
        parameters = [at for at in operation["parameters"] if at["in"] == "query"]
        for number in range(ASKED_PER_ROUTE):
            # What is asked for may be the other's, too.
            named = mark if number % 2 else other
            given = {
                at["name"]: value.replace("{mark}", named)
                for at in parameters
                if (at["required"] or chance.random() < 0.35)
                and (value := chance.choice(_values(at))) is not None
            }
            found = path
            for name in ("user_id", "event_id"):
                found = found.replace(
                    f"{{{name}}}", quote(chance.choice(["u1", "u2", f"{named}-user"]))
                )
            yield f"{found}?{urlencode(given)}"


def _values(parameter: Json) -> list[str]:
    schema = parameter["schema"]
    parts = [schema, *schema.get("anyOf", [])]
    listed = [str(value) for part in parts for value in part.get("enum", []) if value is not None]
    if listed:
        return listed
    if any(part.get("type") == "boolean" for part in parts):
        return ["true", "false"]
    return VALUES.get(parameter["name"], ["1"])


def _reply(project: Project, path: str) -> Reply:
    return project.send("GET", path, headers={"Authorization": f"Bearer {project.keys['rk']}"})


def test_nothing_of_another_project_is_in_any_answer(projects: tuple[Project, Project]) -> None:
    marks = ("alpha", "beta")
    document = projects[0].send("GET", "/openapi.json").json
    asked, own, answered = 0, 0, set()
    sides = list(zip(projects, marks, reversed(marks), strict=True))[: wide(1, 2)]
    for project, mark, other in sides:
        # What chance asks twice is answered once.
        paths = list(dict.fromkeys(questions(document, mark, other)))
        for path, reply in zip(paths, side_by_side(_reply, project, paths), strict=True):
            assert reply.status < 500, (path, reply)
            asked += 1
            if reply.status != 200:
                continue
            answered.add(path.partition("?")[0])
            # Which nobody asked for by its name.
            assert f"secret-of-{other}".encode() not in reply.body, (path, reply)
            own += f"secret-of-{mark}".encode() in reply.body
    assert asked > 15 * ASKED_PER_ROUTE * len(sides)
    assert own > 3 * ASKED_PER_ROUTE * len(sides), "the questions have to lead somewhere"
    assert len(answered) >= 12, sorted(answered)
