"""Ids the server makes: sessions, visitors that came without an id, and addresses it must forget.

All of them take their salt as an argument: who holds the salts, and when they are destroyed, is
the control plane's business.
"""

import os
import threading
import time
from hashlib import blake2b

SESSION_S = 1800


def session_id(anonymous_id: str, timestamp_ms: int) -> str:
    """The half hour the event falls into, for this visitor."""
    return f"{anonymous_id}-{timestamp_ms // 1000 // SESSION_S}"


def address_hash(salt: bytes, project_id: str, address: str) -> bytes:
    """16 bytes that tell two addresses of one day apart and say nothing after the salt is gone."""
    return _keyed(salt, b"address", project_id, address)


def cookieless_id(salt: bytes, project_id: str, address: str, user_agent: str) -> str:
    """A visitor id for one day, for browsers that send none: nothing is stored on the device."""
    return "c_" + _keyed(salt, b"visitor", project_id, address, user_agent).hex()


def random_id() -> str:
    """A visitor id for a single event that came without one from a server."""
    return f"s_{time_ordered_id()}"


def _keyed(salt: bytes, purpose: bytes, *parts: str) -> bytes:
    digest = blake2b(key=salt, person=purpose, digest_size=16)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4) + encoded)
    return digest.digest()


_clock = threading.Lock()
_last_ms = 0
_counter = 0


def time_ordered_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, a 12-bit counter, 62 random.

    The counter makes ids of one process sort in the order they were made.
    """
    global _last_ms, _counter
    with _clock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, 0
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        ms, counter = _last_ms, _counter
    tail = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    text = f"{(ms << 80) | (7 << 76) | (counter << 64) | (0b10 << 62) | tail:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
