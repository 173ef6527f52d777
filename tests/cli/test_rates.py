"""`threadline rates`: files of exchange rates, as they come, and what is there afterwards."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.test_commands import fails, ok
from tests.support import Json, Project, Server
from threadline.ingest.exchange_rates import ExchangeRate, RatesFile
from threadline.ingest.lines import FileError

CSV = "Date,USD,JPY,\n2026-05-05,1.25,N/A,\n2026-05-04,1.2,160,\n"
MONDAY, TUESDAY = "2026-05-04", "2026-05-05"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bank")) as server:
        yield server
        assert server.stop() == 0


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return packed.getvalue()


def load(folder: Path, content: bytes | str, name: str = "rates.csv") -> Json:
    """What is loaded after this file."""
    path = folder.parent / f"{folder.name}-{name}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found: Json = json.loads(ok("rates", "import", str(path), "--json", "--data", str(folder)))
    return found


def converted(project: Project, code: str, day: str, to: str = "EUR") -> Json:
    """What 100 of a currency on a day are."""
    project.track(
        "paid",
        user_id="ada",
        timestamp=f"{day}T12:00:00Z",
        properties={"value": 100, "currency": code},
    )
    answer = project.ask("/v1/stats", metric="sum", property="value", currency=to)
    return {"value": answer["rows"][0]["value"], "unconverted": answer.get("unconverted")}


LOADED = {
    "days": 2,
    "first": MONDAY,
    "last": TUESDAY,
    "currencies": [
        {"currency": "JPY", "first": MONDAY, "last": MONDAY, "days": 1},
        {"currency": "USD", "first": MONDAY, "last": TUESDAY, "days": 2},
    ],
}


def test_rates_with_the_server_and_without(folder: Path) -> None:
    data = ["--data", str(folder)]
    with Server(folder) as server:
        project = Project(server)
        assert "No exchange rates are loaded" in ok("rates", *data)
        nothing: Json = {"days": 0, "first": None, "last": None, "currencies": []}
        assert json.loads(ok("rates", "--json", *data)) == nothing
        assert load(folder, CSV) == LOADED
        assert json.loads(ok("rates", "--json", *data)) == LOADED
        assert converted(project, "USD", MONDAY)["value"] == 83.333333333
        server.stop()
    assert json.loads(ok("rates", "--json", *data)) == LOADED
    text = ok("rates", *data)
    assert "Loaded: 2 days from 2026-05-04 to 2026-05-05." in text
    assert [line.split() for line in text.splitlines()[-2:]] == [
        ["JPY", MONDAY, MONDAY, "1"],
        ["USD", MONDAY, TUESDAY, "2"],
    ]
    assert load(folder, "Date,USD\n2026-05-06,2\n")["last"] == "2026-05-06"
    with Server(folder) as server:
        again = project.again(server)
        assert converted(again, "USD", "2026-05-06")["value"] == 133.333333333


RATES = [
    ExchangeRate("EUR", date(2026, 5, 4), Decimal(1)),
    ExchangeRate("EUR", date(2026, 5, 5), Decimal(1)),
    ExchangeRate("JPY", date(2026, 5, 4), Decimal(160)),
    ExchangeRate("JPY", date(2026, 5, 5), Decimal(0)),
    ExchangeRate("USD", date(2026, 5, 4), Decimal("1.2")),
    ExchangeRate("USD", date(2026, 5, 5), Decimal("1.25")),
]
# Each is the same two days.
SHAPES: dict[str, bytes | str] = {
    "as it is": CSV,
    "windows": CSV.replace("\n", "\r\n"),
    "with a byte order mark": f"\ufeff{CSV}",
    "old mac": CSV.replace("\n", "\r"),
    "without the last comma": CSV.replace(",\n", "\n"),
    "with blanks": "Date, USD, JPY, \n05 May 2026, 1.25, , \n04 May 2026, 1.2, 160, \n",
    "small letters": CSV.replace("USD", "usd").replace("Date", "date"),
    "with quotes": 'Date,"USD","JPY"\n"2026-05-05","1.25",n/a\n2026-05-04,1.2,160.000\n',
    "oldest first, empty lines": "\nDate,USD,JPY\n\n2026-05-04,1.2,160\n,,\n2026-05-05,1.25,-\n\n",
    "without the end of the last line": CSV.rstrip("\n"),
    "zip": zipped(eurofxref_csv=CSV),
    "zip beside others": zipped(README_txt="rates", rates_CSV=CSV),
}


def test_every_shape_of_the_file_is_the_same(bank: Server, tmp_path: Path) -> None:
    path = tmp_path / "rates"
    for name, content in SHAPES.items():
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        assert sorted(RatesFile(path).read()) == RATES, name
    for name in ("as it is", "zip"):
        assert load(bank.folder, SHAPES[name]) == LOADED


def test_what_is_imported_again_takes_the_place_of_what_was_there(folder: Path) -> None:
    with Server(folder) as server:
        for content, usd, jpy in (
            (CSV, 80, None),
            ("Date,USD,JPY\n2026-05-05,2,100\n", 50, 1),
            (CSV, 80, None),
            (CSV, 80, None),
            # Who has no rate any more falls back to the day before.
            ("Date,USD\n2026-05-05,N/A\n", 83.333333333, None),
            # Of currencies and days that a file does not speak of, all stays.
            ("Date,CHF\n2026-05-05,0.5\n", 83.333333333, None),
        ):
            load(folder, content)
            assert converted(Project(server), "USD", TUESDAY)["value"] == usd
            assert converted(Project(server), "JPY", TUESDAY)["value"] == (jpy or 0.625)
        assert converted(Project(server), "CHF", TUESDAY)["value"] == 200


def test_a_rate_of_many_digits(bank: Server) -> None:
    load(bank.folder, "Date,AAA,BBB\n2026-05-04,0.000000000001,999999999999.999999999999\n")
    assert converted(Project(bank), "AAA", MONDAY)["value"] == 1e14
    assert converted(Project(bank), "EUR", MONDAY, "BBB")["value"] == 1e14
    assert converted(Project(bank), "AAA", MONDAY, "BBB")["value"] == 1e26


def test_a_file_of_all_days(bank: Server) -> None:
    """As large as the bank's: 27 years of 41 currencies."""
    codes = [f"{a}{b}Q" for a in "ABCDE" for b in "FGHIJKLM"]
    lines = [f"Date,{','.join(codes)},"]
    for year in range(1999, 2026):
        for number in range(260):
            day = f"{year}-{number // 26 + 1:02}-{number % 26 + 1:02}"
            lines.append(f"{day},{','.join(f'{number + 1}.5' for _ in codes)},")
    loaded = load(bank.folder, zipped(hist_csv="\n".join(lines)), "rates.zip")
    mine = [each for each in loaded["currencies"] if each["currency"].endswith("Q")]
    assert len(mine) == len(codes)
    assert {(each["first"], each["days"]) for each in mine} == {("1999-01-01", 27 * 260)}


WRONG: dict[str | bytes, str] = {
    "": "line 1: not column names of exchange rates: it should begin with Date",
    "Date,USD\n": "has column names, but no rates below",
    "Date\n2026-05-04\n": "line 1: there is no currency",
    "event,user_id\nsignup,ada\n": "it should begin with Date, and begins with 'event'",
    "Date;USD;JPY\n2026-05-04;1,2;160\n": "its columns are separated by semicolons; separate them",
    "Date,USD\n2026-05-04,1.2\n2026-05-05,zwei\n": "line 3: USD is 'zwei', which is not a rate",
    'Date,USD\n2026-05-04,"1,2"\n': "line 2: USD is '1,2', which is not a rate",
    "Date,USD\n2026-05-04,1,2\n": "line 2: there are 1 currencies, but 2 rates",
    "Date,USD,JPY\n2026-05-04,1.2\n": "line 2: there are 2 currencies, but 1 rates",
    "Date,USD\n2026-05-04,-1.2\n": "line 2: USD is '-1.2', which is not a rate",
    "Date,USD\n2026-05-04,0\n": "line 2: USD is '0', which is not a rate",
    "Date,USD\n2026-05-04,NaN\n": "line 2: USD is 'NaN', which is not a rate",
    "Date,USD\n2026-05-04,inf\n": "line 2: USD is 'inf', which is not a rate",
    "Date,USD\n2026-05-04,1e3\n": "line 2: USD is '1e3', which is not a rate",
    "Date,USD\n2026-05-04,1000000000000\n": "line 2: USD is '1000000000000', which is not a rate",
    "Date,USD\n2026-05-04,0.0000000000001\n": "line 2: USD is '0.0000000000001', which is no",
    "Date,USD\n04.05.2026,1.2\n": "line 2: '04.05.2026' is not a date; write it as 2026-05-04",
    "Date,USD\n2026-02-30,1.2\n": "line 2: '2026-02-30' is not a date",
    "Date,USD\n,1.2\n": "line 2: '' is not a date",
    "Date,USD\n2026-05-04,1.2\n2026-05-04,1.3\n": "line 3: 2026-05-04 is there already, in line 2",
    "Date,USD,USD\n2026-05-04,1,2\n": "line 1: there are two columns USD",
    "Date,Dollar\n2026-05-04,1\n": "line 1: 'DOLLAR' is not a currency code",
    "Date,EUR,USD\n2026-05-04,1,2\n": "line 1: EUR is what all rates are against",
    "Date,USD,\n2026-05-04,1.2,7\n": "line 2: '7' stands in a column without a name",
    b"Date,USD\n2026-05-04,1.2\n2026-05-05,\xff\n": "line 3: not UTF-8 text",
    CSV.encode("utf-16"): "is UTF-16; save it as UTF-8",
    b"\x1f\x8b\x08": "is packed with gzip",
    b"PAR1": "is Parquet",
    zipped(a_txt="x"): "holds no CSV file, and should hold one",
    zipped(a_csv=CSV, b_csv=CSV): "holds 2 CSV files",
    zipped(a_csv="Date,USD\nx,1\n"): "line 2: 'x' is not a date",
    b"PK\x03\x04nonsense": "is a ZIP archive",
    zipped(a_csv=CSV)[:-30]: "is a ZIP archive",
    zipped(a_csv=CSV).replace(b"a.csv", b"b.csv", 1): "cannot be unpacked",
}


@pytest.mark.parametrize("content", WRONG, ids=range(len(WRONG)))
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(FileError) as refused:
        RatesFile(path).read()
    assert WRONG[content] in str(refused.value)


def test_a_wrong_file_changes_nothing(bank: Server) -> None:
    data = ["--data", str(bank.folder)]
    load(bank.folder, CSV)
    before = ok("rates", "--json", *data)
    path = bank.folder / "wrong.csv"
    path.write_text("Date,CAD\n2026-05-04,1.2\n2026-05-05,zwei\n")
    said = fails("rates", "import", str(path), *data)
    assert (
        "wrong.csv, line 3: CAD is 'zwei', which is not a rate; write how much one euro is" in said
    )
    assert "Nothing was imported." in said
    assert ok("rates", "--json", *data) == before
    assert "No such file" in fails("rates", "import", str(bank.folder / "missing.csv"), *data)
