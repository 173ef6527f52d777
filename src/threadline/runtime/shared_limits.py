"""Rate limits that hold over all nodes: once a second each says what those spent with it that spend
much, and takes out of its own buckets what others say.

So whoever sends to all nodes gets through with what a second brings besides. No address leaves its
node: buckets have keyed hashes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from threadline.runtime.rate_limits import Bucket, Buckets

if TYPE_CHECKING:  # what speaks to PostgreSQL is an extra
    from threadline.control.nodes import Nodes

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[bytes, float]).decode


class SharedLimits:
    """Those of this node with those of others."""

    def __init__(
        self,
        nodes: "Nodes",
        node: str,
        buckets: Buckets,
        hash_of: Callable[[str, str], bytes],
    ) -> None:
        """`hash_of`: the keyed hash of an address in a project."""
        self._nodes = nodes
        self._node = node
        self._buckets = buckets
        self._hash_of = hash_of
        self._hashes: dict[Bucket, bytes] = {}
        self._said: bytes = b""
        self._heard: dict[str, dict[bytes, float]] = {}

    def look(self) -> None:
        """Tell and hear. Raises `ControlFileError`."""
        used = {self._hashed(bucket): bucket for bucket in self._buckets.are_used()}
        self._hashes = {bucket: hashed for hashed, bucket in used.items()}
        spent = self._buckets.spent()
        said = _encode({self._hashed(bucket): amount for bucket, amount in spent.items()})
        if said != self._said:
            self._nodes.say_spent(self._node, said)
            self._said = said
        for node, blob in self._nodes.spent_elsewhere(self._node).items():
            self._draw(node, _decode(blob), used)

    def _draw(self, node: str, spent: dict[bytes, float], used: dict[bytes, Bucket]) -> None:
        before = self._heard.get(node, {})
        for hashed, amount in spent.items():
            # Less than before: that node was started anew.
            known = before.get(hashed, 0.0)
            more = amount - known if amount >= known else amount
            if more and hashed in used:
                self._buckets.spend_elsewhere(used[hashed], more)
        self._heard[node] = spent

    def _hashed(self, bucket: Bucket) -> bytes:
        found = self._hashes.get(bucket)
        if found is None:
            project_id, kind, address = bucket
            found = self._hash_of(project_id, f"{kind} {address}")
        return found
