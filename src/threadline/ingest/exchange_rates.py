"""Exchange rates out of a file, into the store.

The file is what the European Central Bank publishes: a line of column names, `Date` and codes of
currencies, and a line for each day that says how much of each one euro is. `N/A`, or nothing, is a
day without a rate. What one file says of a day and a currency takes the place of what one before
said, no rate included; what it does not speak of stays.
"""

import csv
import io
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Context, Decimal
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from threadline.ingest.formats import FileError
from threadline.ingest.unpacking import OTHERWISE, is_utf16
from threadline.store import Statements

EURO = "EUR"
CODE = re.compile(r"[A-Z]{3}")
RATE = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
NO_RATE = frozenset(["", "n/a", "-"])
# What the store holds: 28 digits, 12 of them decimals.
DIGITS = Context(prec=28)
DECIMALS = 12
LAST_DECIMAL = Decimal(1).scaleb(-DECIMALS)
MOST = Decimal(10) ** 12
# How the bank's file of all days writes them, and its file of one day.
DAYS = ("%Y-%m-%d", "%d %B %Y")
EPOCH = date(1970, 1, 1)
LAST = date(2299, 12, 31)
# A block is there whole or not at all, and this is more than the bank's file of all days.
BLOCK_ROWS = 500_000

# What `zipfile` raises: for a broken archive the first three, for one with a password RuntimeError,
# for one that is packed in a newer way NotImplementedError.
UNPACKING = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)

WAY_OUT = (
    "Take eurofxref-hist.csv or .zip of the European Central Bank, or write one like it: a line "
    "Date,USD,JPY and below it lines such as 2026-05-04,1.0834,162.51"
)


class ExchangeRate(NamedTuple):
    """How much of the currency one euro is on that day; 0: there is no rate."""

    currency: str
    day: date
    per_euro: Decimal


class RatesFile:
    """A CSV file, or a ZIP archive with one in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.bytes_read = 0

    def read(self, progressed: Callable[[], None] = lambda: None) -> list[ExchangeRate]:
        """All that it says, with a rate of 1 for the euro on each of its days. `progressed` is
        called line by line. Raises `FileError` for the first line that is wrong, `OSError`."""
        rates: list[ExchangeRate] = []
        seen: dict[date, int] = {}
        with self._text() as text:
            lines = self._lines(text)
            number, names = next(lines, (1, [""]))
            currencies = self._currencies(number, names)
            for number, cells in lines:
                day = self._day(number, cells[0])
                if day in seen:
                    raise self._wrong(
                        number, f"{day} is there already, in line {seen[day]}; keep one of the two"
                    )
                seen[day] = number
                rates.append(ExchangeRate(EURO, day, Decimal(1)))
                rates += self._rates(number, day, currencies, cells[1:])
                progressed()
        if not seen:
            raise FileError(f"{self.path.name} has column names, but no rates below. {WAY_OUT}.")
        return rates

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        with self.path.open("rb") as raw:
            beginning = raw.read(8)
            is_zip = zipfile.is_zipfile(raw)
            raw.seek(0)
            if is_zip:
                with self._unzipped(raw) as packed:
                    yield _as_text(packed)
                return
            for mark, what in OTHERWISE.items():
                if beginning.startswith(mark):
                    raise FileError(f"{self.path.name} {what}. {WAY_OUT}.")
            if is_utf16(beginning):
                raise FileError(
                    f"{self.path.name} is UTF-16; save it as UTF-8, for example: "
                    f"iconv -f UTF-16 -t UTF-8 {self.path.name} > rates.csv"
                )
            yield _as_text(raw)

    @contextmanager
    def _unzipped(self, raw: IO[bytes]) -> Iterator[IO[bytes]]:
        try:
            with zipfile.ZipFile(raw) as archive:
                tables = [name for name in archive.namelist() if name.lower().endswith(".csv")]
                if len(tables) != 1:
                    found = f"{len(tables)} CSV files" if tables else "no CSV file"
                    message = f"{self.path.name} holds {found}, and should hold one. {WAY_OUT}."
                    raise FileError(message)
                self.size = archive.getinfo(tables[0]).file_size
                with archive.open(tables[0]) as packed:
                    yield packed
        except UNPACKING as error:
            message = f"{self.path.name} cannot be unpacked: {error}. Get it again, or unpack it."
            raise FileError(message) from None

    def _lines(self, text: IO[str]) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line that has any."""
        reader = csv.reader(self._measured(text), skipinitialspace=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
        except UnicodeDecodeError:
            raise self._wrong(
                reader.line_num + 1, "not UTF-8 text; save the file as UTF-8"
            ) from None
        except csv.Error as error:
            raise self._wrong(reader.line_num, f"not a line of CSV ({error})") from None

    def _measured(self, text: IO[str]) -> Iterator[str]:
        for number, line in enumerate(text, start=1):
            if not line.isprintable() and any("\udc80" <= char <= "\udcff" for char in line):
                raise self._wrong(number, "not UTF-8 text; save the file as UTF-8")
            self.bytes_read += len(line)
            yield line

    def _currencies(self, number: int, names: Sequence[str]) -> list[str]:
        """Of the columns behind the first; '' of one without a name."""
        if names[0].casefold() != "date":
            shown = names[0][:40]
            hint = (
                "its columns are separated by semicolons; separate them by commas"
                if ";" in shown
                else f"it should begin with Date, and begins with {shown!r}"
            )
            raise self._wrong(number, f"not column names of exchange rates: {hint}. {WAY_OUT}")
        found = [name.upper() for name in names[1:]]
        for name in found:
            if name and not CODE.fullmatch(name):
                raise self._wrong(
                    number, f"{name[:40]!r} is not a currency code; write three letters, as USD"
                )
            if name == EURO:
                raise self._wrong(number, "EUR is what all rates are against; leave the column out")
            if name and found.count(name) > 1:
                raise self._wrong(number, f"there are two columns {name}; leave one out")
        if not any(found):
            raise self._wrong(number, f"there is no currency. {WAY_OUT}")
        return found

    def _day(self, number: int, text: str) -> date:
        for form in DAYS:
            try:
                day = datetime.strptime(text, form).date()
            except ValueError:
                continue
            if EPOCH <= day <= LAST:
                return day
        raise self._wrong(number, f"{text[:40]!r} is not a date; write it as 2026-05-04")

    def _rates(
        self, number: int, day: date, currencies: Sequence[str], cells: Sequence[str]
    ) -> Iterator[ExchangeRate]:
        if len(cells) < len([name for name in currencies if name]) or any(cells[len(currencies) :]):
            raise self._wrong(
                number,
                f"there are {len(currencies)} currencies, but {len(cells)} rates; write N/A for a "
                "day without one",
            )
        # A comma at the end of lines makes a column without a name, which some lines may lack.
        for currency, cell in zip(currencies, cells, strict=False):
            if not currency:
                if cell:
                    raise self._wrong(number, f"{cell[:40]!r} stands in a column without a name")
                continue
            yield ExchangeRate(currency, day, self._rate(number, currency, cell))

    def _rate(self, number: int, currency: str, cell: str) -> Decimal:
        if cell.casefold() in NO_RATE:
            return Decimal(0)
        if RATE.fullmatch(cell):
            rate = Decimal(cell)
            if rate < MOST and (rounded := DIGITS.quantize(rate, LAST_DECIMAL)):
                return rounded
        raise self._wrong(
            number,
            f"{currency} is {cell[:40]!r}, which is not a rate; write how much one euro is, "
            "such as 1.0834, or N/A",
        )

    def _wrong(self, number: int, what: str) -> FileError:
        return FileError(f"{self.path.name}, line {number}: {what}. Nothing was imported.")


def _as_text(raw: IO[bytes]) -> IO[str]:
    """What is no UTF-8 comes as half characters, so that its line is known."""
    return io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")


ROW = Struct("<iq")
NEWEST = """
    SELECT max(toUnixTimestamp64Micro(latest.imported_at)) AS newest_us FROM exchange_rates"""


def save(store: Statements, rates: Sequence[ExchangeRate]) -> None:
    """Let these take the place of what there is of their days and currencies. The same again
    changes nothing. Raises `StoreError`."""
    (found,) = store.query(NEWEST, {})
    # Later than all before, also with a clock set back.
    at_us = max(time.time_ns() // 1000, int(found["newest_us"]) + 1)
    for start in range(0, len(rates), BLOCK_ROWS):
        body = b"".join(_encoded(rate, at_us) for rate in rates[start : start + BLOCK_ROWS])
        token = f"exchange-rates-{at_us}-{start}"
        store.insert("exchange_rates", ["currency", "day", "latest"], "RowBinary", body, token)


def _encoded(rate: ExchangeRate, at_us: int) -> bytes:
    units = int(rate.per_euro.scaleb(DECIMALS))
    code = rate.currency.encode()
    return b"%c%b%b%b" % (
        len(code),
        code,
        ROW.pack((rate.day - EPOCH).days, at_us),
        units.to_bytes(16, "little"),
    )


class Loaded(NamedTuple):
    """What there is of one currency, or (`currency` '') of all. Days are ISO 8601."""

    currency: str
    first: str
    last: str
    days: int


# By its name, FINAL would read a part of the tuple from whichever row comes first.
LOADED = f"""
    SELECT toString(currency) AS currency, toString(min(day)) AS first, toString(max(day)) AS last,
        toUInt32(uniqExact(day)) AS days
    FROM exchange_rates FINAL
    WHERE latest.2 > 0 AND currency != '{EURO}'
    GROUP BY ROLLUP(currency)
    HAVING days > 0
    ORDER BY currency"""


def loaded(store: Statements) -> list[Loaded]:
    """What there is: of all currencies together, and then of each. Nothing where there is none."""
    return [Loaded(**row) for row in store.query(LOADED, {})]
