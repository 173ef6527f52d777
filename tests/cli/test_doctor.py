"""What the doctor finds, and what it advises."""

from pathlib import Path

import pytest

from tests.cli.test_commands import ok, run
from tests.support import Project, Server, row_values
from threadline.cli import checks, checks_machine
from threadline.ingest import row
from threadline.runtime.folder import Running
from threadline.settings import Settings
from threadline.store import Store, store_url


def test_a_folder_that_others_can_read(folder: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    assert "✓ access" in ok("doctor", "--data", str(folder))
    for mode in (0o755, 0o750, 0o701):
        folder.chmod(mode)
        finding = checks.CHECKS["access"](Settings(), folder)
        assert f"(mode {mode:04o})" in finding.found
        assert finding.mend == f"Close it: chmod -R go= {folder}"
    done = run("doctor", "--data", str(folder))
    assert done.returncode == 1
    assert f"(mode {mode:04o})" in done.stdout
    assert f"Close it: chmod -R go= {folder}" in done.stdout
    folder.chmod(0o700)
    assert "✓ access" in ok("doctor", "--data", str(folder))


def test_advice_for_a_store_that_is_none(folder: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    for store in ("postgres://x", "chdb:/x", "clickhouse://", "clickhouse://h:port/x"):
        done = run("doctor", "--data", str(folder), THREADLINE_STORE=store)
        assert done.returncode == 1
        assert f"✗ store      THREADLINE_STORE={store} is not supported" in done.stdout
        assert "Correct THREADLINE_STORE" in done.stdout
        assert "Restore the folder" not in done.stdout


def test_which_file_was_read(folder: Path, tmp_path: Path) -> None:
    ok("project", "create", "shop", "--data", str(folder))
    assert "no threadline.toml" in ok("doctor", "--data", str(folder))
    (folder / "threadline.toml").write_text("dedup_days = 3")
    assert f"read from {folder}/threadline.toml" in ok("doctor", "--data", str(folder))
    other = tmp_path / "other.toml"
    other.write_text("dedup_days = 4")
    done = run("doctor", "--data", str(folder), THREADLINE_CONFIG=str(other))
    assert done.returncode == 1
    assert f"{folder}/threadline.toml is not read, because {other} is" in done.stdout


def test_descriptors_of_the_server_and_of_this_user(folder: Path) -> None:
    with Server(folder) as server:
        Project(server)
        assert "✓ limits     the server may have " in ok("doctor", "--data", str(folder))
        server.stop()
    assert "✓ limits     a server may have " in ok("doctor", "--data", str(folder))


def test_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    finding = checks.CHECKS["limits"](Settings(), tmp_path)
    assert "1,024" in finding.found
    assert "LimitNOFILE" in finding.mend


def test_a_proxy_whose_header_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checks.CHECKS["proxy"]
    monkeypatch.setattr(
        checks_machine, "running_server", lambda folder: Running(1, "http://127.0.0.1:1")
    )
    monkeypatch.setattr(checks_machine, "metric", lambda server, folder, name: 12_000.0)
    assert "12,000 requests came through a proxy" in check(Settings(), tmp_path).found
    assert "THREADLINE_CLIENT_ADDRESS_HEADER" in check(Settings(), tmp_path).mend
    assert not check(Settings(client_address_header="X-Forwarded-For"), tmp_path).mend
    monkeypatch.setattr(checks_machine, "metric", lambda server, folder, name: None)
    assert not check(Settings(), tmp_path).mend


def test_numbers_of_a_running_server(server: Server, project: Project) -> None:
    running = Running(server.process.pid, server.url)
    project.track("counted")
    chosen = Settings(data=str(server.folder))
    accepted = checks_machine.metric(running, chosen, "threadline_events_accepted_total")
    assert accepted is not None
    assert accepted >= 1
    assert checks_machine.metric(running, chosen, "threadline_no_such") is None
    assert (
        checks_machine.metric(Running(1, "http://127.0.0.1:1"), chosen, "threadline_no_such")
        is None
    )


def test_where_most_events_are_of_bots(folder: Path) -> None:
    bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    with Server(folder) as server:
        project = Project(server)
        project.track("x", anonymous_id="d")
        project.track("x", anonymous_id="d", user_agent=bot)
        project.stored()
        found = ok("doctor", "--data", str(folder))
        assert "✓ bots       1 of the last 7 days' 2 events are bots'\n" in found
        project.track("x", anonymous_id="d", user_agent=bot)
        project.stored()
        found = ok("doctor", "--data", str(folder))
        assert "2 of the last 7 days' 3 events are bots', and answers leave them out" in found


def test_where_sources_are_named_by_an_older_version(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.track("x", anonymous_id="d", url="https://shop.example/?gclid=1")
        project.stored()
        assert server.stop() == 0
    found = ok("doctor", "--data", str(folder))
    assert "✓ sources    all are named by this version\n" in found
    with Store(store_url("chdb", folder)) as store:
        older = row.encode(row_values(project_id=project.project_id, source="google"))
        store.insert("events", row.COLUMNS, "MsgPack", older, "older")
    done = run("doctor", "--data", str(folder))
    assert "1 of 2 events were named before there were channels" in done.stdout
    assert "threadline reclassify names them as events are named today." in done.stdout
    assert done.returncode == 1
