"""The store of a server that runs, where that does not answer as it should."""

import socket
import threading
from pathlib import Path

import pytest

from threadline.runtime.admin_messages import address
from threadline.runtime.socket_store import SocketStore
from threadline.store import StoreError


def hang_up(listening: socket.socket) -> None:
    """As one that stops, or is of a version that does not know what it is asked."""
    for _ in range(2):
        asking, _ = listening.accept()
        asking.recv(1)
        asking.close()


def test_a_server_that_cannot_be_woken_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, address(tmp_path) as short:
        listening.bind(short)
        listening.listen()
        server = threading.Thread(target=hang_up, args=[listening])
        server.start()
        store = SocketStore(tmp_path)
        store.look_around()
        with pytest.raises((StoreError, OSError)):
            store.execute("SELECT 1")
        server.join()
    store.look_around()  # and one that is gone
