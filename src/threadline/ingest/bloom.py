"""A Bloom filter over 64-bit hashes, for many at a time."""

import numpy as np
from numpy.typing import NDArray

from threadline.ingest.row import Hashes

# Of a full filter, one guess in 800 is wrong.
BITS_PER_ID = 24
PROBES = 5
WORD_BITS = 64
PROBE_BITS = 6

Words = NDArray[np.uint64]


class Bloom:
    """What it has not seen is new for certain. All bits of a hash lie in one word, so that one look
    into memory tells."""

    def __init__(self, ids: int) -> None:
        """`ids`: how many it is made for."""
        self._words = np.zeros(max(1, ids * BITS_PER_ID // WORD_BITS), dtype=np.uint64)
        self._room = ids

    @property
    def full(self) -> bool:
        """Guesses get worse from here on."""
        return self._room <= 0

    @property
    def size_bytes(self) -> int:
        return int(self._words.nbytes)

    def add(self, hashes: Hashes) -> None:
        self._room -= len(hashes)
        at, bits = self._spots(hashes)
        while len(at):
            # Of several that fall into one word only the last is written; the others go again.
            self._words[at] |= bits
            missing = (self._words[at] & bits) != bits
            at, bits = at[missing], bits[missing]

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        at, bits = self._spots(hashes)
        held: NDArray[np.bool_] = (self._words[at] & bits) == bits
        return held

    def _spots(self, hashes: Hashes) -> tuple[NDArray[np.intp], Words]:
        """The word of each hash, by its upper half, and the bits in it, by its lower half."""
        at = ((hashes >> np.uint64(32)) * np.uint64(len(self._words))) >> np.uint64(32)
        bits = np.zeros(len(hashes), dtype=np.uint64)
        for probe in range(PROBES):
            spot = (hashes >> np.uint64(PROBE_BITS * probe)) & np.uint64(WORD_BITS - 1)
            bits |= np.uint64(1) << spot
        return at.astype(np.intp), bits
