"""The backups that a target has; whether they are whole; and which of them go."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from threadline.backup import manifest as manifests
from threadline.backup.manifest import BACKUPS, BLOBS, ENDING, BackupError, Manifest
from threadline.backup.packing import verify
from threadline.backup.targets import Target
from threadline.contract.times import DAY_MS


class Listed(NamedTuple):
    """`broken`: names of manifests that cannot be read, with why."""

    backups: list[Manifest]
    broken: dict[str, str]


def listed(target: Target) -> Listed:
    """Those that are finished, oldest first."""
    found, broken = [], {}
    for name in sorted(target.sizes(BACKUPS)):
        if not name.endswith(ENDING):
            continue
        try:
            with target.read(name) as file:
                found.append(manifests.read(name, file.read()))
        except BackupError as error:
            broken[name] = str(error)
    return Listed(found, broken)


def chosen(target: Target, backup_id: str | None) -> Manifest:
    """That one, or the latest. Raises `BackupError`, also where the latest cannot be read: nobody
    is given an older one without having asked for it."""
    found = listed(target)
    if backup_id is None and found.backups:
        latest = found.backups[-1].backup_id
        for name, why in found.broken.items():
            if name > f"{BACKUPS}{latest}":
                raise BackupError(
                    f"{why} It is later than every backup that can be read; the latest of those is"
                    f" {latest}: name it with --at, if that is the one."
                )
        return found.backups[-1]
    for each in found.backups:
        if each.backup_id == backup_id:
            return each
    broken = f" {next(iter(found.broken.values()))}" if found.broken else ""
    if not found.backups:
        raise BackupError(f"There is no backup in {target.where}.{broken}")
    raise BackupError(
        f"There is no backup {backup_id} in {target.where}; `threadline backup list` lists"
        f" them.{broken}"
    )


def check(target: Target, manifest: Manifest, progressed: Callable[[int, int], None]) -> list[str]:
    """Read every blob; sentences that say what is wrong, none where all is whole."""
    sizes = target.sizes(BLOBS)
    problems = []
    done, total = 0, manifest.stored
    for name, blob in manifest.blobs.items():
        try:
            if name not in sizes:
                raise BackupError(f"{target.where} has no {name}.")
            verify(target, name, blob)
        except (BackupError, OSError) as error:
            problems.append(str(error))
        done += blob.size
        progressed(done, total)
    return problems


def outdated(
    backups: Sequence[Manifest], now_ms: int, keep: int = 0, keep_days: int = 0
) -> list[Manifest]:
    """Those that go where the latest `keep` stay, and all of the last `keep_days`; 0: says nothing.
    The latest stays always."""
    if not keep and not keep_days:
        return []
    latest = {each.backup_id for each in backups[-max(keep, 1) :]}
    since_ms = now_ms - keep_days * DAY_MS if keep_days else now_ms
    return [
        each for each in backups if each.backup_id not in latest and each.moment.at_ms < since_ms
    ]


def prune(target: Target, gone: Sequence[Manifest]) -> int:
    """Delete these, and every blob that no other needs; bytes that are free then. To be called
    while the target is `alone`. Raises `BackupError` where a manifest cannot be read: nobody knows
    what it needs."""
    found = listed(target)
    if found.broken:
        raise BackupError(
            f"{next(iter(found.broken.values()))} Nothing is deleted as long as it is there:"
            f" delete {target.where}/{next(iter(found.broken))} if it cannot be put back."
        )
    for each in gone:
        target.delete(f"{BACKUPS}{each.backup_id}{ENDING}")
    ids = {each.backup_id for each in gone}
    needed = {name for each in found.backups if each.backup_id not in ids for name in each.blobs}
    freed = 0
    for name, size in target.sizes(BLOBS).items():
        if name not in needed:
            target.delete(name)
            freed += size
    for name in target.sizes(BACKUPS):
        if name.endswith(manifests.UNFINISHED):
            target.delete(name)
    return freed
