"""Answers and inserts of any size: they are read and written piece by piece."""

import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import structlog

from threadline.store.address import is_embedded
from threadline.store.connection import connect
from threadline.store.errors import store_errors
from threadline.store.handles import ANY_PARTITIONS, WRITE_S, Handles
from threadline.store.piped import piped
from threadline.store.statements import Params, Row

_logger = structlog.get_logger("threadline.store")

# Files are written as long as it takes.
UNLIMITED = {"max_execution_time": "0"}
# And with times and addresses as people write them.
FILE_SETTINGS = {
    **UNLIMITED,
    "date_time_output_format": "iso",
    "format_csv_null_representation": "",
    "output_format_json_escape_forward_slashes": "0",
    # Of large properties a block of the usual size, and several being written, take hundreds of
    # megabytes; these are as fast.
    "max_block_size": "4096",
    "output_format_parallel_formatting": "0",
}


class Streaming(Handles):
    """What is never in memory as a whole."""

    def stream(self, sql: str, params: Params) -> Generator[list[Row]]:
        """The rows of an answer of any size, some at a time, as `query` gives them. It may take as
        long as it takes; who stops in the middle closes the iterator. Raises `StoreBusy` while
        `SAVERS` others are being written."""
        self.open()
        with store_errors(), self._savers.handle(self._query_seconds) as client:
            if self._log_sql:
                _logger.info("sql", sql=sql.strip(), params=dict(params))
            asked = dict(params)
            with client.query_row_block_stream(sql, parameters=asked, settings=UNLIMITED) as blocks:
                names = blocks.source.column_names
                for block in blocks:
                    yield [dict(zip(names, row, strict=True)) for row in block]

    def save(self, sql: str, params: Params, format: str, path: Path) -> None:
        """Write an answer of any size to a file, in one of ClickHouse's formats. It may take as
        long as it takes. Raises `StoreBusy` while `SAVERS` others are being written."""
        self.open()
        handle = self._savers.handle(self._query_seconds)
        with self.asking(), store_errors(), handle as client:
            if self._log_sql:
                _logger.info("sql", sql=sql.strip(), params=dict(params))
            if is_embedded(self.url):
                # Streams past memory, which the client's own streams do not for every format.
                settings = ", ".join(f"{name} = '{value}'" for name, value in FILE_SETTINGS.items())
                target = str(path).replace("\\", "\\\\").replace("'", "\\'")
                client.command(
                    f"{sql} INTO OUTFILE '{target}' TRUNCATE FORMAT {format} SETTINGS {settings}",
                    parameters=dict(params),
                )
                return
            with path.open("wb") as file:
                answer = client.raw_stream(sql, dict(params), FILE_SETTINGS, format)
                shutil.copyfileobj(cast(BinaryIO, answer), file)

    @contextmanager
    def reading(self, sql: str, params: Params, format: str) -> Iterator[BinaryIO]:
        """An answer of any size in one of ClickHouse's formats, to be read as it comes. Raises
        `StoreBusy` while `SAVERS` others are being written."""
        self.open()
        with store_errors(), self._savers.handle(self._query_seconds) as client:
            # The driver reads all of it into memory where settings are not in the statement.
            limits = ", ".join(f"{name} = {value}" for name, value in UNLIMITED.items())
            asked = f"{sql} SETTINGS {limits}"
            answer = cast(BinaryIO, client.raw_stream(asked, dict(params), None, format))
            try:
                yield answer
            finally:
                answer.close()

    def insert_stream(
        self,
        table: str,
        columns: Sequence[str],
        format: str,
        chunks: Generator[bytes],
        selected: str = "",
    ) -> None:
        """Insert what comes in pieces, of any size. If it fails, some of it may be in the table.
        `selected`: of a server, SQL that makes rows for the table of those that come."""
        if is_embedded(self.url):
            with self._change() as writer, piped(chunks) as path:
                writer.command(
                    f"INSERT INTO {table} ({', '.join(columns)})"
                    f" FROM INFILE '{path}' COMPRESSION 'none' FORMAT {format}"
                )
            return
        self.open()
        into = f"{table} ({', '.join(columns)}) {selected}"
        with store_errors():
            # While it writes what came, a server may accept no more for a while.
            client = connect(self.url, WRITE_S, ANY_PARTITIONS, send_s=WRITE_S)
            try:
                client.raw_insert(into, None, chunks, fmt=format)
            finally:
                client.close()
                self._journal.note(None)
