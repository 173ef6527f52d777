"""Making a backup: what the target does not have yet is written and read back, then the
manifest."""

import time
from collections.abc import Callable, Sequence

import msgspec

from threadline.backup import manifest as manifests
from threadline.backup.manifest import (
    BACKUPS,
    BLOBS,
    EMBEDDED,
    ENDING,
    FORMAT,
    FORMAT_OF_ROWS,
    UNFINISHED,
    BackupError,
    Blob,
    Manifest,
    Moment,
)
from threadline.backup.packing import Piece, pack, verify
from threadline.backup.targets import Target

NOTE_EVERY_S = 5.0

# So many bytes are done, of so many.
Progressed = Callable[[int, int], None]


def back_up(
    target: Target,
    found: Sequence[Piece],
    moment: Moment,
    recipients: Sequence[str] = (),
    progressed: Progressed = lambda done, total: None,
) -> Manifest:
    """The finished backup of these. To be called while the target is `alone`. Raises `BackupError`,
    `OSError`; what is written by then is used by the next one."""
    making = _Making(target, moment, list(recipients))
    total, done = sum(piece.size for piece in found), 0
    for piece in found:
        making.add(piece)
        done += piece.size
        progressed(done, total)
    return making.finish()


class _Making:
    def __init__(self, target: Target, moment: Moment, recipients: list[str]) -> None:
        self._target = target
        self._known = _known(target, moment)
        self._blobs: dict[str, Blob] = {}
        self._added = 0
        self._noted_at = time.monotonic()
        self._manifest = Manifest(
            backup_id=manifests.new_id(moment.at_ms),
            moment=moment,
            blobs={},
            recipients=recipients,
            finished=False,
            format=FORMAT if moment.engine == EMBEDDED else FORMAT_OF_ROWS,
        )

    def add(self, piece: Piece) -> None:
        blob = self._known.get(piece.name)
        if blob is None:
            blob = pack(self._target, piece, self._manifest.recipients)
            verify(self._target, piece.name, blob)
            self._added += blob.size
        self._blobs[piece.name] = blob
        if time.monotonic() - self._noted_at > NOTE_EVERY_S:
            self._write(UNFINISHED, self._now(finished=False))
            self._noted_at = time.monotonic()

    def finish(self) -> Manifest:
        made = self._now(finished=True)
        self._write(ENDING, made)
        for name in self._target.sizes(BACKUPS):
            if name.endswith(UNFINISHED):
                self._target.delete(name)
        return made

    def _now(self, finished: bool) -> Manifest:
        return msgspec.structs.replace(
            self._manifest, blobs=dict(self._blobs), added=self._added, finished=finished
        )

    def _write(self, ending: str, manifest: Manifest) -> None:
        with self._target.write(f"{BACKUPS}{manifest.backup_id}{ending}") as file:
            file.write(manifest.sealed())


def _known(target: Target, moment: Moment) -> dict[str, Blob]:
    """Blobs that were written whole and read back, also by backups that were not finished. Raises
    `BackupError` where they are another folder's: pruning would mix both up."""
    sizes = target.sizes(BLOBS)
    known: dict[str, Blob] = {}
    for name in target.sizes(BACKUPS):
        with target.read(name) as file:
            try:
                found = manifests.read(name, file.read())
            except BackupError:
                continue  # `check` says so; what only it knew is written anew
        if found.moment.log != moment.log:
            raise BackupError(
                f"{target.where} holds backups of another data folder; name a place of its own."
            )
        known |= found.blobs
    return {name: blob for name, blob in known.items() if sizes.get(name) == blob.size}
