"""Where an address is from: trusted headers, then a file in MaxMind's format."""

import os
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tests.cli.test_commands import fails
from tests.support import Project, Server
from threadline.enrich import Countries, CountryFileError
from threadline.enrich.country import truncated


def write(path: Path, **countries: str) -> None:
    """A file that knows networks by country; replaced at once, as downloaders do."""
    writer = MMDBWriter(ip_version=6, database_type="GeoLite2-Country", ipv4_compatible=True)
    for code, network in countries.items():
        writer.insert_network(IPSet([network]), {"country": {"iso_code": code}})
    writer.to_db_file(str(path.with_suffix(".new")))
    path.with_suffix(".new").replace(path)


def test_addresses_are_looked_up_and_a_new_file_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    write(path, DE="203.0.113.0/24", FR="2001:db8::/32")
    countries = Countries(path)
    assert countries.country("203.0.113.9") == "DE"
    assert countries.country("2001:db8::1") == "FR"
    assert countries.country("198.51.100.1") == countries.country("no address") == ""

    write(path, AT="203.0.113.0/24")
    assert countries.country("203.0.113.9") == "AT"
    path.write_bytes(b"not a database")
    assert countries.country("203.0.113.9") == "AT", "the old one serves on"
    path.unlink()
    assert countries.country("203.0.113.9") == "AT"
    write(path, CH="203.0.113.0/24")
    assert countries.country("203.0.113.9") == "CH"


@pytest.mark.parametrize(
    "entry",
    [
        {"country": {"iso_code": "DE", "names": {"en": "Germany"}}},
        {"country": "Germany", "country_code": "DE"},
        {"country": "DE"},
    ],
)
def test_files_of_several_makers(tmp_path: Path, entry: dict[str, object]) -> None:
    path = tmp_path / "countries.mmdb"
    writer = MMDBWriter()
    writer.insert_network(IPSet(["203.0.113.0/24"]), entry)
    writer.to_db_file(str(path))
    assert Countries(path).country("203.0.113.9") == "DE"


def test_a_file_that_is_none_stops_the_start(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "countries.mmdb"
    with pytest.raises(CountryFileError, match="cannot be read: No such file"):
        Countries(path)
    path.write_text("hello")
    said = fails("serve", "--port", "0", "--data", str(folder), THREADLINE_COUNTRY_DB=str(path))
    assert "is not a country file in MaxMind's format (.mmdb)" in said


def test_addresses_in_the_log_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert truncated("203.0.113.77") == "203.0.113.0"
    assert truncated("2001:db8:1:2:3:4:5:6") == "2001:db8:1::"
    assert truncated("<script>") == ""
    path = tmp_path / "countries.mmdb"
    write(path, DE="203.0.113.0/24")
    countries = Countries(path)
    assert countries.country("300.1.2.3") == ""
    said = capsys.readouterr().out
    assert "country_not_found" in said
    assert "300.1" not in said


def test_the_server_asks_headers_first(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "countries.mmdb"
    write(path, DE="203.0.113.0/24")
    environ = {
        "THREADLINE_COUNTRY_DB": os.fspath(path),
        "THREADLINE_COUNTRY_HEADER": "CF-IPCountry, X-Country",
        "THREADLINE_CLIENT_ADDRESS_HEADER": "X-Forwarded-For",
    }
    with Server(folder, **environ) as server:
        project = Project(server)

        def country(**headers: str) -> str | None:
            given = {"X_Forwarded_For": "203.0.113.9", **headers}
            assert project.post("/v1/track", {"event": "x"}, key="pk", **given).status == 202
            found: str | None = project.stored()[0]["country"]
            return found

        assert country() == "DE"
        assert country(CF_IPCountry="at") == "AT"
        assert country(CF_IPCountry="XX", X_Country="ch") == "CH"
        assert country(CF_IPCountry="T1") == "DE"
        assert country(X_Forwarded_For="nonsense") is None
        write(path, NL="203.0.113.0/24")
        assert country() == "NL"
        assert server.stop() == 0
        assert not [line for line in server.lines if "203.0.113.9" in line]
