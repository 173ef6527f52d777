"""A backup of a data folder from its snapshot to its manifest: by a command, or by the server every
so often."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import structlog

from threadline.backup import listing, snapshot
from threadline.backup.making import back_up
from threadline.backup.manifest import BackupError, Manifest, Moment
from threadline.backup.targets import Target, open_target
from threadline.contract.times import now_ms
from threadline.jobs import JobError, Work, work
from threadline.jobs.table import BACKUP
from threadline.runtime import kept, taking
from threadline.runtime.housekeeping import repeated
from threadline.runtime.services import Services
from threadline.settings import Settings
from threadline.settings_files import SettingsError

UNITS = {"m": 60, "h": 3600, "d": 24 * 3600}
EVERY = re.compile(r"([1-9]\d{0,4})([mhd])")
# How often to look whether a backup is due, and how long to wait after one that failed.
LOOK_EVERY_S = 60.0
AGAIN_AFTER_S = 900.0

_logger = structlog.get_logger("threadline.backup")


class Stopped(Exception):
    """The server stops."""


def back_up_folder(
    settings: Settings,
    target: Target,
    recipients: Sequence[str] = (),
    progressed: Callable[[int, int], None] = lambda done, total: None,
    take: Callable[[str], Moment] | None = None,
) -> Manifest:
    """The finished backup. `take`: takes the snapshot of this name; None: the running server, or
    this process where there is none. Raises `BackupError`, `JobError`, `StoreError`, `OSError`."""
    check_recipients(recipients)
    folder = Path(settings.data)
    check_apart(folder, target)
    with target.alone(), _job(folder, target) as job:
        held = kept.of(settings, snapshot.snapshot_name(job.job_id))

        def noted(done: int, total: int) -> None:
            job.progress(done, total)
            progressed(done, total)

        try:
            moment = (take or held.take)(held.name)
            held.check(moment)
            with held.pieces(recipients) as pieces:
                return back_up(target, pieces, moment, recipients, noted)
        finally:
            held.remove()


def _job(folder: Path, target: Target) -> AbstractContextManager[Work]:
    return work(folder, BACKUP, about=target.where, unit="bytes", left_by=(Stopped,))


def check_apart(folder: Path, target: Target) -> None:
    """Raises `BackupError` where what loses the folder loses its backups."""
    if Path(target.where).resolve().is_relative_to(folder.resolve()):
        raise BackupError(
            f"{target.where} is inside the data folder: what takes the one takes the other. Name a"
            " folder elsewhere, best on another disk."
        )


def recipients_of(settings: Settings) -> list[str]:
    """Whom the settings name."""
    return [each.strip() for each in settings.backup_encrypt_to.split(",") if each.strip()]


def check_recipients(recipients: Sequence[str]) -> None:
    """Raises `BackupError` for what is no public key of age."""
    if recipients:
        from threadline.backup.encryption import read_recipients  # needed by few

        read_recipients(recipients)


def seconds_of(every: str) -> int:
    """Of `30m`, `24h`, `7d`; 0 where it is empty. Raises `SettingsError`."""
    if not every:
        return 0
    found = EVERY.fullmatch(every)
    if not found:
        raise SettingsError(
            f"THREADLINE_BACKUP_EVERY={every}: write a number and m, h or d, such as 24h."
        )
    return int(found[1]) * UNITS[found[2]]


def check_settings(settings: Settings) -> None:
    """What is wrong with the settings is said before anything starts. Raises `SettingsError`."""
    every = seconds_of(settings.backup_every)
    if every and not settings.backup_to:
        raise SettingsError(
            "THREADLINE_BACKUP_EVERY is set: THREADLINE_BACKUP_TO has to say where."
        )
    try:
        check_recipients(recipients_of(settings))
        if settings.backup_to:
            open_target(settings.backup_to)
    except BackupError as error:
        raise SettingsError(str(error)) from None


@contextmanager
def backups_made(services: Services) -> Iterator[None]:
    """The server's own backups, as long as the block lasts."""
    metrics = services.metrics
    scheduled = Scheduled(
        lambda: services.settings,
        lambda name: taking.take(services, name),
        lambda: taking.clear_up(services),
        lambda at_ms: metrics.backup_at.set(at_ms / 1000),
        metrics.backup_failures.inc,
    )
    with repeated(scheduled.look, LOOK_EVERY_S, "backup"):
        try:
            yield
        finally:
            scheduled.stop()


class Scheduled:
    """The server's own backups."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        take: Callable[[str], Moment],
        clear_up: Callable[[], object],
        made: Callable[[int], None],
        failed: Callable[[], None],
    ) -> None:
        """`settings`: as they are now, for shards may be added meanwhile. `clear_up`: after backups
        that were killed. `made`: is told the moment of the latest. Raises `SettingsError`."""
        chosen = settings()
        check_settings(chosen)
        self._settings = settings
        self._every_s = seconds_of(chosen.backup_every)
        self._take = take
        self._clear_up = clear_up
        self._made = made
        self._failed = failed
        self._not_before = 0.0
        self._stopping = threading.Event()
        self._target = open_target(chosen.backup_to) if self._every_s else None

    def stop(self) -> None:
        """The one that is under way ends; the next takes what it wrote."""
        self._stopping.set()

    def _progressed(self, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise Stopped

    def look(self) -> None:
        """Clear up after backups that were killed, and make one if it is due."""
        self._clear_up()
        if self._target is None or time.monotonic() < self._not_before:
            return
        try:
            self._back_up(self._target)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is: said, counted, tried again
            self._not_before = time.monotonic() + AGAIN_AFTER_S
            self._failed()
            _logger.error("backup_failed", target=self._target.where, error=str(error))

    def _back_up(self, target: Target) -> None:
        latest = _latest(target)
        if latest:
            self._made(latest)
        if latest > now_ms() - self._every_s * 1000:
            return
        started, settings = time.monotonic(), self._settings()
        with suppress(JobError):  # a command does it
            made = back_up_folder(
                settings, target, recipients_of(settings), self._progressed, self._take
            )
            self._made(made.moment.at_ms)
            gone = self._prune(target)
            _logger.info(
                "backup_made",
                backup_id=made.backup_id,
                target=target.where,
                bytes=made.unpacked,
                added=made.added,
                pruned=gone,
                seconds=round(time.monotonic() - started, 1),
            )

    def _prune(self, target: Target) -> int:
        settings = self._settings()
        keep, keep_days = settings.backup_keep, settings.backup_keep_days
        with target.alone():
            gone = listing.outdated(listing.listed(target).backups, now_ms(), keep, keep_days)
            if gone:
                listing.prune(target, gone)
        return len(gone)


def _latest(target: Target) -> int:
    """Of the target's backups; 0: there is none."""
    found = listing.listed(target).backups
    return found[-1].moment.at_ms if found else 0
