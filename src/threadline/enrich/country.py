"""The country of an address, from a file in MaxMind's format."""

import os
import threading
from ipaddress import ip_address
from pathlib import Path

import maxminddb
import structlog

_logger = structlog.get_logger("threadline.country")


class CountryFileError(Exception):
    """The file cannot be used; the message says why."""


class Countries:
    """Looks into the file, and into the new one as soon as it is replaced."""

    def __init__(self, path: Path) -> None:
        """Raises `CountryFileError`."""
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._reader = self._open()

    def country(self, address: str) -> str:
        """Two letters, or nothing for an address that is unknown or none."""
        self._reload_if_replaced()
        try:
            found = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError) as error:
            reason = type(error).__name__
            _logger.warning("country_not_found", address=truncated(address), reason=reason)
            return ""
        return _code(found) if isinstance(found, dict) else ""

    def _reload_if_replaced(self) -> None:
        """A file that cannot be read is left alone: the old one serves on."""
        try:
            stamp = self._stat()
        except CountryFileError:
            return
        if stamp == self._stamp:
            return
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._reader = self._open()
            except CountryFileError as error:
                _logger.error("country_file_not_reloaded", error=str(error))
            else:
                _logger.info("country_file_reloaded", path=str(self._path))

    def _stat(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise CountryFileError(f"{self._path} cannot be read: {error.strerror}.") from error
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _open(self) -> maxminddb.Reader:
        try:
            # Into memory: a file that is written over in place must not change under a lookup.
            return maxminddb.open_database(str(self._path), maxminddb.MODE_MEMORY)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise CountryFileError(
                f"{self._path} is not a country file in MaxMind's format (.mmdb): {error}."
            ) from error


def no_country(_address: str) -> str:
    """Where there is no file to look into."""
    return ""


def _code(entry: dict[str, object]) -> str:
    """MaxMind's files have `country.iso_code`; others in its format are flatter."""
    country = entry.get("country")
    nested = country.get("iso_code") if isinstance(country, dict) else None
    for code in (nested, entry.get("country_code"), country):
        if isinstance(code, str) and len(code) == 2:
            return code
    return ""


def truncated(address: str) -> str:
    """The address without what tells its holders apart, for logs: of IPv4 the first 24 bits, of
    IPv6 the first 48."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    packed = found.packed
    kept = 3 if len(packed) == 4 else 6
    return str(ip_address(packed[:kept] + bytes(len(packed) - kept)))
