"""What only PostgreSQL has: several nodes, a network between, and a server that goes away."""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.postgres import PASSWORD, Postgres
from tests.support import until
from threadline.contract.errors import AlreadyExists, InvalidApiKey, InvalidLink, LastOwner
from threadline.control import (
    Control,
    ControlError,
    ControlFileError,
    check,
    new_pepper,
    postgres_connections,
)
from threadline.control.on_postgres import PostgresDatabase
from threadline.migrations import SchemaTooNew, SchemaTooOld
from threadline.runtime.projects import set_timezone

STOPS_S = 1.0


def works(node: Control, key: object) -> bool:
    try:
        node.authenticate(str(key))
    except InvalidApiKey:
        return False
    return True


def write(folder: Path, url: str) -> None:
    with Control(folder, url=url) as node:
        node.create_project("another", [])


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    with closing(PostgresDatabase(url, create=False)) as db, db.reading() as statements:
        return statements.execute(sql).fetchall()


@contextmanager
def nodes(tmp_path: Path, url: str) -> Iterator[tuple[Control, Control]]:
    """Two that share a database and a pepper, and no folder."""
    with Control(tmp_path / "a", url=url) as one:
        (tmp_path / "b").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "a" / "pepper", tmp_path / "b" / "pepper")
        with Control(tmp_path / "b", url=url) as other:
            yield one, other


def test_what_one_node_changes_holds_on_the_other(tmp_path: Path, url: str) -> None:
    with nodes(tmp_path, url) as (one, other):
        project, keys = one.create_project("shop", ["https://shop.example"])
        until(lambda: works(other, keys["sk"]))
        assert other.projects() == [project]
        assert other.origins() == {"https://shop.example"}
        assert one.salt() == other.salt()
        assert one.event_id_key == other.event_id_key
        other.set_origins(project.project_id, ["https://b.example"], [])
        assert other.origins() == {"https://shop.example", "https://b.example"}, "at once"
        until(lambda: one.origins() == other.origins())
        one.revoke_key(str(keys["sk"]))
        assert not works(one, keys["sk"]), "at once where it was revoked"
        until(lambda: not works(other, keys["sk"]))


def test_whoever_revokes_waits_until_others_have_looked(tmp_path: Path, url: str) -> None:
    """A look takes a fraction of the second in which a revoked key has to have stopped."""
    with nodes(tmp_path, url) as (one, other):
        _, keys = one.create_project("shop", [])
        until(lambda: works(other, keys["sk"]))
        waits: list[float] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("threadline.control.opened.time.sleep", waits.append)
            one.revoke_key(str(keys["sk"]))
        assert waits == [2 * PostgresDatabase.look_every_s]
        assert 3 * PostgresDatabase.look_every_s < STOPS_S
        until(lambda: not works(other, keys["sk"]))


def test_made_up_keys_ask_postgresql_nothing(tmp_path: Path, url: str) -> None:
    with Control(tmp_path / "a", url=url) as node:
        made_up = f"sk_live_{'A' * 10}_{'B' * 43}"
        with node._reading:  # whoever asked would wait for this for ever
            for _ in range(100):
                assert not works(node, made_up)


def test_writers_of_two_nodes_take_turns(tmp_path: Path, url: str) -> None:
    """There is always an owner left, though each of two nodes removes another one."""
    with nodes(tmp_path, url) as (one, other):
        members = [one.add_member(f"{name}@example.com", "", "owner") for name in "ab"]
        until(lambda: len(other.members()) == 2)

        def remove(node: Control, member_id: str) -> bool:
            try:
                node.remove_member(member_id)
            except LastOwner:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            removed = pool.map(remove, (one, other), [member.member_id for member in members])
            assert sorted(removed) == [False, True]
        until(lambda: len(other.members()) == 1)


def test_members_sessions_and_links(tmp_path: Path, url: str) -> None:
    with nodes(tmp_path, url) as (one, other):
        owner = one.new_owner("ada@example.com", "Ada", None)
        signed_in, project, _ = one.set_up(one.setup_link(), owner, "shop", [], "firefox on linux")
        assert project
        with pytest.raises(AlreadyExists):
            one.add_member("ADA@example.com", "", "viewer")
        until(lambda: other.member_of(signed_in.token) is not None)
        link, token = other.create_share_link(project.project_id, "week", "sources", "a=%", "key")
        until(lambda: bool(one.share_links(project.project_id)))
        assert one.share_link_of(token)[0] == link
        assert one.share_link_of(token)[0].query == "a=%"
        token = one.make_link(owner.member_id)
        other.sign_in_by_link(token, "curl")
        with pytest.raises(InvalidLink):
            one.sign_in_by_link(token, "curl")
        for node in (one, other):
            node.housekeeping()
        assert other.sessions_of(owner.member_id)[0].last_used_ms >= owner.created_ms
        assert one.find_member(owner.member_id).last_seen_ms
        other.end_sessions(owner.member_id)
        until(lambda: one.member_of(signed_in.token) is None)


def test_counts_of_two_nodes_add_up(tmp_path: Path, url: str) -> None:
    with nodes(tmp_path, url) as (one, other):
        project, _ = one.create_project("shop", [])
        for node, ids in ((one, 3), (other, 4)):
            node.count_placeholder_ids(project.project_id, ids)
            node.save_uses()
        until(lambda: one.placeholder_ids(project.project_id) == 7)


def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path, url: str) -> None:
    def start(number: int) -> int:
        with closing(PostgresDatabase(url, create=True)) as db:
            key = db.event_id_key()
        assert key is not None
        return key

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert query(url, "SELECT count(*) FROM schema_migrations") == [(1,)]


def test_schemas_of_other_versions_are_refused(tmp_path: Path, url: str) -> None:
    Control(tmp_path, url=url).close()
    with closing(PostgresDatabase(url, create=False)) as db:
        for number, error in ((999, SchemaTooNew), (3, SchemaTooOld)):
            with db.writing() as statements:
                statements.execute("UPDATE schema_migrations SET number = ?", (number,))
            with pytest.raises(error, match=r"control plane \(PostgreSQL\)"):
                Control(tmp_path, url=url)
            assert "PostgreSQL) has schema" in check(tmp_path, url)[0].found
        with db.writing() as statements:
            statements.execute("UPDATE schema_migrations SET number = 10")
        (problem,) = check(tmp_path, url)
        assert "has schema 10, and this version" in problem.found
        assert "threadline upgrade" in problem.mend


def test_a_database_of_the_schema_before_opens_with_all_it_had(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "a"
    with Control(folder, url=url) as node:
        project, keys = node.create_project("shop", ["https://shop.example"], "next")
        hashed_with = node.event_id_key
    with (
        closing(PostgresDatabase(url, create=False)) as db,
        db.writing() as statements,
    ):
        statements.execute("ALTER TABLE projects DROP COLUMN timezone")
        statements.execute("UPDATE schema_migrations SET number = 11, name = 'baseline'")
    (problem,) = check(folder, url)
    assert "has schema 11, and this version" in problem.found
    with nodes(tmp_path, url) as (one, other):
        assert one.project("shop") == project
        assert one.event_id_key == hashed_with
        assert works(one, keys["sk"])
        set_timezone(one, project.project_id, "Asia/Kolkata")
        until(lambda: other.project("shop").timezone == "Asia/Kolkata")
    assert query(url, "SELECT number FROM schema_migrations ORDER BY number") == [(11,), (12,)]
    assert check(folder, url) == []


def test_a_command_that_only_looks_makes_nothing(tmp_path: Path, url: str) -> None:
    with pytest.raises(ControlError, match="no Threadline in postgresql://"):
        Control(tmp_path, create=False, url=url)
    assert not (tmp_path / "pepper").exists()


# -- the pepper ------------------------------------------------------------------------------


def test_a_node_needs_the_pepper_of_the_others(tmp_path: Path, url: str) -> None:
    with Control(tmp_path / "a", url=url) as one:
        _, keys = one.create_project("shop", [])
        with pytest.raises(ControlError, match=r"pepper is missing.*Copy the file `pepper`"):
            Control(tmp_path / "b", url=url)
        Control(tmp_path / "other").close()  # a folder with its own
        with pytest.raises(ControlError, match=r"not the one that the keys.*Copy the file"):
            Control(tmp_path / "other", url=url)
        problem = check(tmp_path / "other", url)[0]
        assert "pepper is not the one" in problem.found
        assert "Copy the file `pepper`" in problem.mend
        shutil.copy2(tmp_path / "a" / "pepper", tmp_path / "other" / "pepper")
        with Control(tmp_path / "other", url=url) as other:
            other.authenticate(str(keys["sk"]))


def test_a_pepper_is_made_by_the_first_node_alone(tmp_path: Path, url: str) -> None:
    """Also where nothing was hashed with it yet."""
    with Control(tmp_path / "a", url=url) as one:
        with pytest.raises(ControlError, match="pepper is missing"):
            Control(tmp_path / "b", url=url)
        assert works(one, one.create_project("shop", [])[1]["sk"])


def test_a_pepper_that_is_replaced_on_one_node_is_missed_on_the_other(
    tmp_path: Path, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with nodes(tmp_path, url) as (one, other):
        project, keys = one.create_project("shop", [])
        until(lambda: works(other, keys["sk"]))
        (tmp_path / "a" / "pepper").write_bytes(b"damaged")
        assert new_pepper(tmp_path / "a", url) == 3
        until(lambda: not works(other, keys["sk"]))
        until(lambda: one.pepper.hex() == (tmp_path / "a" / "pepper").read_text().strip())
        token = one.create_key(project.project_id, "sk")
        assert works(one, token)
        until(lambda: bool(other._other_pepper))
        assert not works(other, token)
        shutil.copy2(tmp_path / "a" / "pepper", tmp_path / "b" / "pepper")
        until(lambda: works(other, token))
    said = capfd.readouterr().err
    assert said.count("pepper_is_another") == 1
    assert "Copy the file `pepper`" in said


# -- what goes wrong -------------------------------------------------------------------------


def test_requests_go_on_while_it_is_away(
    tmp_path: Path, postgres: Postgres, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with nodes(tmp_path, url) as (node, other):
        project, keys = node.create_project("shop", ["https://shop.example"])
        until(lambda: works(other, keys["rk"]))
        salt = node.salt()
        postgres.stop()
        try:
            until(lambda: node._outdated and other._outdated)
            for each in (node, other):
                assert works(each, keys["sk"])
                assert each.origins() == {"https://shop.example"}
                assert each.salt() == salt
            with pytest.raises(ControlFileError, match=r"does not answer: .*refused"):
                node.revoke_key(str(keys["sk"]))
            assert works(node, keys["sk"]), "it was said that nothing was changed"
            node.count_placeholder_ids(project.project_id, 5)
            with pytest.raises(ControlFileError):
                node.housekeeping()
            with pytest.raises(ControlFileError, match="does not answer"):
                Control(tmp_path / "a", url=url)
            (problem,) = check(tmp_path / "a", url)
            assert "does not answer" in problem.found
        finally:
            postgres.start()
        node.revoke_key(str(keys["sk"]))  # at once, by a new connection
        assert not works(node, keys["sk"])
        until(lambda: not works(other, keys["sk"]))
        node.housekeeping()
        until(lambda: other.placeholder_ids(project.project_id) == 5)
    said = capfd.readouterr().err
    assert said.count("control_not_read") == 2, "once on each node"
    assert PASSWORD not in said


def test_no_request_waits_for_a_server_that_hangs(
    tmp_path: Path, postgres: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "ANSWERS_S", 0.5)
    monkeypatch.setattr(postgres_connections, "WATCH_EVERY_S", 0.1)
    monkeypatch.setitem(postgres_connections.CONNECTING, "connect_timeout", "2")
    with Control(tmp_path, url=url) as node:
        _, keys = node.create_project("shop", [])
        postgres.freeze()
        try:
            until(node._reading.locked)  # it asks, and gets no answer
            for _ in range(100):
                assert works(node, keys["sk"])
                assert not works(node, f"sk_live_{'A' * 10}_{'B' * 43}")
                node.salt()
            assert node._reading.locked(), "it still waits, and nobody else does"
            with pytest.raises(ControlFileError, match="does not answer"):
                node.revoke_key(str(keys["sk"]))
            until(lambda: node._outdated)
        finally:
            postgres.thaw()
        until(lambda: not node._outdated)
        node.revoke_key(str(keys["sk"]))
        assert not works(node, keys["sk"])


def test_a_connection_that_was_cut_is_made_anew(
    tmp_path: Path, postgres: Postgres, url: str
) -> None:
    with Control(tmp_path, url=url) as node:
        node.create_project("shop", [])
        for name in "ab":
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'threadline'"
            )
            node.create_project(name, [])
        assert [project.name for project in node.projects()] == ["a", "b", "shop"]


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path, url: str) -> None:
    def fail(node: Control) -> None:
        with node._write() as db:
            db.execute("INSERT INTO deleted_projects VALUES ('p', 1)")
            raise ZeroDivisionError

    with Control(tmp_path, url=url) as node:
        with pytest.raises(ZeroDivisionError):
            fail(node)
        assert node.deleted_projects() == []
        node.create_project("shop", [])


def test_a_lock_that_is_held_for_long_is_said(tmp_path: Path, postgres: Postgres, url: str) -> None:
    with Control(tmp_path, url=url) as node:
        with node._db.reading():
            pass
        database = url.rpartition("/")[2]
        with postgres.owner(database) as shell, shell.transaction():
            shell.execute("SELECT number FROM changes FOR UPDATE")
            assert isinstance(node._db, PostgresDatabase)
            node._db._writer.opened().execute("SET lock_timeout = '10ms'")
            with pytest.raises(ControlFileError, match=r"locked by another transaction.*again"):
                node.create_project("shop", [])
        node.create_project("shop", [])


def test_what_is_wrong_is_said_plainly_and_without_the_password(
    tmp_path: Path, postgres: Postgres, url: str
) -> None:
    Control(tmp_path, url=url).close()
    postgres.execute("CREATE ROLE stranger LOGIN PASSWORD 'secret'")
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
    database = url.rpartition("/")[2]
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    closed = postgres.database("closed").rpartition("/")[2]
    postgres.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    taken = postgres.database("taken")
    postgres.execute("CREATE TABLE projects (id int)", "taken")
    rails = postgres.database("rails")
    postgres.execute("CREATE TABLE schema_migrations (version text)", "rails")
    postgres.execute("GRANT SELECT ON schema_migrations TO threadline", "rails")
    empty = postgres.database("empty").rpartition("/")[2]
    for wrong, says in {
        postgres.url("nowhere"): "does not exist. Make it there",
        postgres.url(database, password="secret:"): "refuses the user or the password",
        postgres.url(database, user="nobody", password="secret"): "refuses the user or the pass",
        postgres.url(closed, user="stranger", password="secret"): "refuses this: .*has to own",
        postgres.url(database, user="stranger", password="secret"): "permission denied",
        postgres.url(database, user="reader", password="secret"): "permission denied .*has to own",
        postgres.url(empty, user="stranger", password="secret"): "permission denied for schema",
        taken: "tables of these names that are not Threadline's",
        rails: "tables of these names that are not Threadline's",
        url + "?options=-cdefault_transaction_read_only%3Don": "is read-only",
        url.replace(f":{postgres.port}", ":1"): "does not answer: .*refused",
        url + "?colour=green": "is no URL",
        f"postgresql://threadline:secret@/w@{postgres.port}/x": "is no URL",
        "mysql://threadline:secret@host/x": "neither control.db",
        "control.sqlite": "neither control.db",
    }.items():
        with pytest.raises(ControlError, match=says) as said:
            write(tmp_path, wrong)
        shown = str(said.value) + repr(check(tmp_path, wrong))
        assert "secret" not in shown, shown
        assert PASSWORD not in shown, shown
        assert "se%3Acret" not in shown, shown


def test_a_text_that_it_does_not_keep_is_said(tmp_path: Path, url: str) -> None:
    with Control(tmp_path, url=url) as node:
        project, _ = node.create_project("shop", [])
        with pytest.raises(ControlError, match="character NUL"):
            node.set_site(project.project_id, rules="a\0b")
        node.set_site(project.project_id, rules="# 100 % ?")
        assert node.project("shop").rules == "# 100 % ?"


def test_without_the_driver_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "threadline.control.on_postgres")
    monkeypatch.delitem(sys.modules, "threadline.control.postgres_errors")
    with pytest.raises(ControlError, match=r"pip install 'threadline\[postgres\]'"):
        Control(tmp_path, url="postgresql://threadline:secret@localhost/x")


def test_closing_waits_for_no_look(tmp_path: Path, url: str) -> None:
    with Control(tmp_path, url=url) as node:
        assert node._looking
        assert node._looking.is_alive()
    assert not node._looking.is_alive()
