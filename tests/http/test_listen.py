"""Addresses that the server listens on."""

import asyncio
import json
import socket
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.test_commands import ok
from tests.support import Project, Server, run_async
from threadline.http import listen


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = ["127.0.0.1", "localhost", "0.0.0.0", *(["::", "::1"] if has_ipv6() else [])]


@pytest.mark.parametrize("host", HOSTS)
def test_each_kind_of_host(folder: Path, host: str) -> None:
    with Server(folder, THREADLINE_HOST=host) as server:
        shown = f"[{host}]" if ":" in host else host
        assert server.url.startswith(f"http://{shown}:")
        assert json.loads((folder / "server.json").read_bytes())["url"] == server.url
        address = urlsplit(server.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        Project(server).track("x", anonymous_id="d", user_id="u")
        assert "d is u" in ok("user", "u", "--data", str(folder)), "commands find it there"
        assert server.stop() == 0


def test_a_server_that_does_not_come_up_is_not_waited_for() -> None:
    async def fails() -> None:
        raise RuntimeError("no such luck\nStack backtrace: …")

    async def returns() -> None:
        return None

    async def wait(serving: "asyncio.Future[None]") -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            await listen.until_answering(serving, "127.0.0.1", closed.getsockname()[1])

    async def told(ends: "asyncio.Future[None]") -> str:
        with pytest.raises(listen.CannotListen) as caught:
            await asyncio.wait_for(wait(ends), timeout=30)
        return str(caught.value)

    async def both() -> tuple[str, str]:
        return await told(asyncio.ensure_future(fails())), await told(
            asyncio.ensure_future(returns())
        )

    failed, returned = run_async(both())
    assert failed.endswith(": no such luck.")
    assert returned.endswith(": it stopped at once.")


def test_a_port_below_1024_of_somebody_who_may_not() -> None:
    error = OSError(13, "Permission denied")
    assert listen._refusal(error, "127.0.0.1", 80) == (
        "Port 80 needs root; give --port 1024 or higher, behind a proxy."
    )
    assert listen._refusal(OSError(5, "Odd"), "::1", 80) == "[::1]:80: Odd."
