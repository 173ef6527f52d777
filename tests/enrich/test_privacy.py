"""docs/privacy.md says exactly what is stored; here it is held to that."""

import re
from pathlib import Path

from tests.enrich.test_enrich import CHROME
from tests.support import ROOT, Project, Server
from threadline.ingest.row import COLUMNS
from threadline.store import Store, store_url

ADDRESS = "203.0.113.77"


def test_the_page_names_every_column(folder: Path) -> None:
    text = (ROOT / "docs" / "privacy.md").read_text()
    table = text.partition("## Of each event")[2].partition("\n\nBesides")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(COLUMNS)
    with Store(store_url("chdb", folder)) as store:
        kept = store.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase()"
            " AND table = 'events' AND default_kind != 'MATERIALIZED'",
            {},
        )
        made = store.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase()"
            " AND table = 'events' AND default_kind = 'MATERIALIZED'",
            {},
        )
    assert {row["name"] for row in kept} == set(named)
    assert {row["name"] for row in made} == {"visitor", "user_hash", "traffic_source"}


def test_no_address_and_no_user_agent_is_anywhere(folder: Path) -> None:
    """In no file, in no column, in no line of the log."""
    agent = f"{CHROME} Unmistakable/7"
    with Server(folder, THREADLINE_CLIENT_ADDRESS_HEADER="X-Forwarded-For") as server:
        project = Project(server)
        for key in ("pk", "sk"):
            headers = {"User_Agent": agent, "X_Forwarded_For": ADDRESS}
            assert project.post("/v1/track", {"event": "x"}, key=key, **headers).status == 202
            project.post("/v1/track", {"event": ""}, key=key, **headers)
        assert len(project.stored()) == 2
        files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert server.stop() == 0
    with Store(store_url("chdb", folder)) as store:
        tables = store.query("SELECT name FROM system.tables WHERE database = 'default'", {})
        assert "events" in {table["name"] for table in tables}
        for table in tables:
            columns = "*, visitor, user_hash" if table["name"] == "events" else "*"
            files += store.query_bytes(f"SELECT {columns} FROM {table['name']}", {}, "JSONEachRow")
    for secret in (ADDRESS, "Unmistakable"):
        assert secret.encode() not in files
        assert secret not in "".join(server.lines)
