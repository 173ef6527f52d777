# mypy: ignore-errors
"""Makes the data folder that `test_schema_12.py` opens, and what was answered from it.

It has to run on the last code with schema 12 (commit 7090645), whose checkout `OLD` is:

    PYTHONPATH=OLD/src:OLD python tests/store/schema_12/make.py tests/store/schema_12

The folder is packed as a killed server left it: with events and requests to forget that are not in
the store yet. The answers are those of the old server after it finished that.
"""

import asyncio
import datetime as dt
import gzip
import json
import random
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tests.cli.test_commands import ok
from tests.support import Project, Server, row_values

from threadline.control import Control
from threadline.enrich import time_ordered_id
from threadline.ingest import dead_letters, row
from threadline.ingest.log import ForgetRequest, Log, open_db
from threadline.store import REBUILD, Store, begin, store_url

START = dt.datetime(2026, 5, 1, 8, tzinfo=dt.UTC)
BOTS = "&include_bots=true"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PAGES = [
    "https://shop.example/?utm_source=newsletter&utm_medium=email&utm_campaign=may",
    "https://shop.example/?utm_source=facebook&utm_medium=cpc&utm_campaign=spring",
    "https://shop.example/?gclid=1",
    "https://shop.example/pricing",
]
REFERRERS = ["https://www.google.com/", "https://chatgpt.com/", "https://shop.example/", ""]
NAMES = ["$pageview", "$pageview", "clicked_pricing", "signup", "purchase"]


def story(chance: random.Random) -> list[dict[str, Any]]:
    """Forty days of eight people on ten devices, some of them shared, with bots and servers."""
    events = []
    for number in range(260):
        device = chance.randrange(10)
        known = chance.random() < 0.35
        user = f"user{device // 2 if chance.random() < 0.7 else chance.randrange(8)}"
        event: dict[str, Any] = {
            "event": chance.choice(NAMES),
            "event_id": f"e{number:03}",
            "timestamp": (START + dt.timedelta(minutes=chance.randrange(40 * 24 * 60))).isoformat(),
            "anonymous_id": f"device{device}",
            "url": chance.choice(PAGES),
            "referrer": chance.choice(REFERRERS),
            "properties": {
                "amount": chance.randrange(1, 90),
                "plan": chance.choice(["pro", "free"]),
            },
            "user_agent": BOT if chance.random() < 0.1 else PERSON,
        }
        if known:
            event["user_id"] = user
        if chance.random() < 0.1:  # a server that knows no device
            event["user_id"] = user
            del event["anonymous_id"]
        events.append(event)
    return events


def fill(server: Server) -> tuple[Project, Project]:
    chance = random.Random(12)
    project, other = Project(server), Project(server)
    events = story(chance)
    for start in range(0, 200, 50):
        project.batch(events[start : start + 50])
        project.stored()
    other.batch(events[:20])
    for user, canonical in (("user6", "user1"), ("user7", "user6")):
        body = {"user_id": user, "alias_of": canonical}
        assert project.change("PUT", "/v1/identity/aliases", body).json["changed"]
    for device, user in (("device2", "user1"), ("device4", "user2")):
        body = {"anonymous_id": device, "user_id": user}
        assert project.change("DELETE", "/v1/identity/links", body).json["changed"]
    assert project.post("/v1/forget", {"user_id": "user3"}).status == 200
    project.batch(events[200:])
    project.stored()
    return project, other


def leave_in_the_middle(folder: Path, project: Project) -> None:
    """What a server that is killed leaves: a rebuild, a dead letter, events and requests to forget
    that are in the log only."""
    with Store(store_url("chdb", folder)) as store:
        begin(store, REBUILD, ["places", "links"])
        store.execute(f"CREATE TABLE places_new_{uuid.uuid4().hex} AS places")
        store.execute("DELETE FROM places WHERE source = 'facebook'")
    asyncio.run(_append(folder, project.project_id))
    db = open_db(folder)
    for number in range(2):
        body = row.encode(
            row_values(
                project_id=project.project_id,
                event_id=f"d{number}",
                event_name="odd",
                user_id=f"dead{number}",
            )
        )
        letter = dead_letters.Letter(
            f"letter-{number}", project.project_id, f"d{number}", "odd", body
        )
        dead_letters.set_aside(db, letter, "Code: 469. It violates a constraint.")
    dead_letters.mark(db, "letter-1")
    db.close()


async def _append(folder: Path, project_id: str) -> None:
    log = Log(folder)
    loop = asyncio.get_running_loop()
    log.deliver_by(loop.call_soon_threadsafe)

    def waiting(number: int) -> list[row.Value]:
        return row_values(
            project_id=project_id,
            event_id=f"w{number}",
            event_name="waited",
            anonymous_id="device1",
            user_id="user0" if number else None,
            source="google",
            medium="organic",
            session_id="s",
            timestamp=int((START + dt.timedelta(days=41, hours=number)).timestamp() * 1000),
        )

    rows = row.Rows.join([row.Rows.one(row.encode(waiting(number))) for number in range(3)])
    done = loop.create_future()
    log.append(rows, done)
    await done
    done = loop.create_future()
    log.append_forget(ForgetRequest(time_ordered_id(), project_id, user_id="user4"), b"hash", done)
    await done
    log.close()


def questions(project: Project, as_of: str) -> list[str]:
    """Every question, under every policy it takes, plain and with what changes what counts."""
    found = [
        "/v1/query?limit=1000",
        "/v1/query?limit=1000&include_bots=true",
        "/v1/export?format=csv",
        "/v1/export?format=ndjson&include_bots=true",
        "/v1/identity/shared-devices",
    ]
    for stitch, *more in (("any", ""), ("first", "", as_of), ("next", "", as_of, BOTS)):
        for each in more:
            how = f"stitch={stitch}{each}"
            found += [
                f"/v1/users?limit=100&{how}",
                f"/v1/users?conversion=purchase&{how}",
                *(f"/v1/users/user{n}?{how}" for n in (0, 3, 6)),
                *(f"/v1/users/user{n}/events?limit=1000&{how}" for n in (0, 6)),
                f"/v1/identity/stats?{how}",
                f"/v1/time-to-conversion?conversion=purchase&group_by=source&{how}",
                *(
                    f"/v1/stats?metric={metric}&group_by=source&interval=month&{how}"
                    for metric in ("persons", "count")
                ),
                f"/v1/stats?metric=persons&interval=day&{how}",
                f"/v1/sources?{how}",
                f"/v1/sessions?group_by=source&{how}",
                f"/v1/attribution?conversion=purchase&model=linear&{how}",
                f"/v1/funnel?steps=$pageview,signup,purchase&window=30d&{how}",
                f"/v1/funnel?steps=$pageview,signup&group_by=source&{how}",
                f"/v1/retention?interval=week&{how}",
                f"/v1/paths?event=$pageview&{how}",
            ]
    return found + [f"/v1/identity/explain?event_id=e{n:03}" for n in range(0, 260, 9)]


def answer(project: Project, path: str) -> dict[str, Any]:
    reply = project.send("GET", path, headers={"Authorization": f"Bearer {project.keys['rk']}"})
    assert "Threadline-Stale" not in reply.headers
    return {"path": path, "status": reply.status, "body": reply.body.decode()}


def main(into: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "data"
        with Server(folder) as server:
            project, other = fill(server)
            export = project.get("/v1/export", format="ndjson").body.decode().splitlines()
            received = sorted(json.loads(line)["received_at"] for line in export)
            server.stop()
        tokens = {"rk": project.keys["rk"], "other": other.keys["rk"]}
        with Control(folder) as control:
            control.set_site(project.project_id, "separate", "")
            named = control.create_key(project.project_id, "rk", name="for the wall")
            tokens["named"] = str(named)
            revoked = control.create_key(project.project_id, "rk")
            tokens["revoked"] = str(revoked)
            control.revoke_key(str(revoked))
            control.rotate_key(str(named), keep_ms=50 * 365 * 86_400_000)
        leave_in_the_middle(folder, project)
        with sqlite3.connect(folder / "control.db") as db:  # a command that was killed
            db.execute(
                "INSERT INTO keys SELECT 'passingkey', project_id, kind, env, secret_hash,"
                " created_ms, NULL, NULL FROM keys WHERE prefix = ?",
                (named.prefix,),
            )
            db.execute("INSERT INTO key_details VALUES ('passingkey', '', 1, 1)")
        db.close()
        for name in ("server.json", "admin.sock", "maintenance.lock"):
            (folder / name).unlink(missing_ok=True)
        with tarfile.open(into / "data.tar.xz", "w:xz", preset=9) as packed:
            packed.add(folder, "data")
        tried = Path(made) / "tried"
        shutil.copytree(folder, tried, symlinks=True)
        with Server(tried) as server:
            project, other = project.again(server), other.again(server)
            server.await_line("rebuild_finished", "links")
            ok("dead-letter", "list", "--data", str(tried))
            answers = [
                answer(project, path) for path in questions(project, f"&as_of={received[120]}")
            ]
            answers += [
                {**answer_of, "key": "other"}
                for answer_of in [
                    answer(other, "/v1/users"),
                    answer(other, "/v1/stats?metric=persons"),
                ]
            ]
            said = {
                "dead-letter": json.loads(
                    ok("dead-letter", "list", "--json", "--data", str(tried))
                ),
                "receipts": json.loads(ok("receipts", "--json", "--data", str(tried))),
                "keys": json.loads(ok("key", "list", "--json", "--data", str(tried))),
            }
            server.stop()
        refused = {
            found["path"]: found["body"] for found in answers if found["status"] not in (200, 404)
        }
        print(json.dumps(refused, indent=1))
        answers = [found for found in answers if found["path"] not in refused]
        print(len(answers), "answers")
        expected = {"tokens": tokens, "answers": answers, "commands": said}
        with gzip.GzipFile(into / "answers.json.gz", "wb", mtime=0) as file:
            file.write(json.dumps(expected, indent=1).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
