"""What sends is looked after by a thread, closed with its process, and begins anew in a fork."""

import atexit
import os
import sys
import weakref
from queue import SimpleQueue
from typing import Protocol


class Living(Protocol):
    """A `Sender`, as far as this module knows it."""

    _closed: bool

    def _round(self) -> bool: ...

    def _hurry(self) -> None: ...

    def _after_fork(self) -> None: ...

    def close(self) -> None: ...


# Every process closes what it has, once: at its end, or, where it is a child of multiprocessing
# and ends without atexit, with the finalizers of that.
_living: "weakref.WeakSet[Living]" = weakref.WeakSet()
_registered_in = 0


def add(sender: Living) -> None:
    """Have it closed with the process, and told of forks."""
    _living.add(sender)


def look_after(calls: "SimpleQueue[Living | None]") -> None:
    """The thread: it knows a sender only while there is something to send."""
    while (sender := calls.get()) is not None:
        if not sender._round():
            return
        del sender


def close_with_process() -> None:
    """Also where the process ends without `atexit`."""
    global _registered_in
    module = sys.modules.get("multiprocessing.util")
    parent = sys.modules.get("multiprocessing.process")
    if module and parent and parent.parent_process() is not None and _registered_in != os.getpid():
        _registered_in = os.getpid()
        module.Finalize(None, _close_living, exitpriority=100)


def _close_living() -> None:
    living = [sender for sender in _living if not sender._closed]
    for sender in living:  # all at once: their threads share the time
        sender._hurry()
    for sender in living:
        sender.close()


def _after_fork() -> None:
    for sender in list(_living):
        sender._after_fork()


atexit.register(_close_living)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
