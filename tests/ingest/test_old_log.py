"""Events that an older version acknowledged and could not write before it stopped."""

from contextlib import closing
from pathlib import Path
from zlib import crc32

from tests.support import Project, Server, row_values
from threadline.control import Control
from threadline.enrich import time_ordered_id
from threadline.ingest import dead_letters, row
from threadline.ingest.log import Log, open_db

OLD = 23  # columns


def test_they_are_stored_by_this_version(folder: Path) -> None:
    with Control(folder) as control:
        project_id = control.create_project("shop", [])[0].project_id
    Log(folder).close()
    bodies = [
        row.encode(row_values(project_id=project_id, event_id=f"e{n}", event_name="x")[:OLD])
        for n in range(1, 4)
    ]
    rows = row.Rows.join([row.Rows.one(body) for body in bodies[:2]])
    with closing(open_db(folder)) as db:
        checksum = crc32(rows.hashes, crc32(rows.lengths, crc32(rows.body)))
        db.execute(
            "INSERT INTO records (kind, events, body, lengths, hashes, checksum)"
            " VALUES ('rows', 2, ?, ?, ?, ?)",
            (*rows, checksum),
        )
        letter = dead_letters.RefusedEvent(time_ordered_id(), project_id, "e3", "xxx", bodies[2])
        dead_letters.set_aside(db, letter, "the store refused it")
        dead_letters.mark(db, None)
        db.execute("UPDATE row_columns SET columns = ?", (OLD,))
    with Server(folder) as server:
        project = Project(server)
        with Control(folder) as control:
            project.keys["rk"] = str(control.create_key(project_id, "rk"))
        assert sorted(row["event_id"] for row in project.stored()) == ["e1", "e2", "e3"]
        assert server.stop() == 0
