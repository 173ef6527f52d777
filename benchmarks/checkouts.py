"""Another checkout of this project, from outside: its command, its server, its benchmarks.

Whatever is compared runs in processes of its own, with that checkout's code first on the path;
nothing of it is imported here, because modules have other names there.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

READY_S = 120.0
STOPPED_S = 60.0
CAUGHT_UP_S = 300.0
JSON = "application/json"


class Checkout:
    """A folder with a `pyproject.toml` and, beside it, `src` and `benchmarks`."""

    def __init__(self, path: Path) -> None:
        """Raises `SystemExit` where Python would take the code from somewhere else."""
        self.path = path.resolve()
        given = {name: at for name, at in os.environ.items() if not name.startswith("THREADLINE_")}
        self.environ = {**given, "PYTHONPATH": f"{self.path / 'src'}{os.pathsep}{self.path}"}
        project = tomllib.loads((self.path / "pyproject.toml").read_text())
        module, _, function = project["project"]["scripts"]["threadline"].partition(":")
        self._main = f"from {module} import {function}; {function}()"
        found = self.python("-c", "import threadline; print(threadline.__file__)").strip()
        if not Path(found).is_relative_to(self.path):
            sys.exit(f"{self.path} would run the code of {found}.")

    def python(self, *arguments: str) -> str:
        """What Python prints with this checkout's code. Raises `CalledProcessError`."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """How to call this checkout's `threadline`."""
        return [sys.executable, "-c", self._main, *arguments]

    def threadline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call it, whatever comes of it."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environ,
            capture_output=True,
            text=True,
        )


class Reply(NamedTuple):
    """`headers`: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One kept connection to a server; for one thread."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def send(
        self,
        method: str,
        path: str,
        key: str = "",
        body: object = None,
        params: Mapping[str, str] | None = None,
        kept: bool = False,
    ) -> Reply:
        """`kept`: an answer that the server has in memory will do; that costs nothing."""
        # Errors say where they are explained, which is not to differ by the port.
        headers = {"Host": "threadline.test"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if not kept:
            headers["Cache-Control"] = "no-cache"
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body)
        if raw is not None:
            headers["Content-Type"] = JSON
        target = f"{path}?{urlencode(params)}" if params else path
        self._http.request(method, target, raw, headers)
        response = self._http.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, response.read())

    def close(self) -> None:
        self._http.close()


class Serving:
    """`threadline serve` of a checkout on a folder and a free port, as long as the block lasts."""

    def __init__(self, checkout: Checkout, folder: Path) -> None:
        self.port = _free_port()
        self._log = (folder.parent / f"{folder.name}.log").open("wb")
        self._process = subprocess.Popen(
            checkout.command("serve", "--data", str(folder)),
            cwd=checkout.path,
            env={**checkout.environ, "THREADLINE_PORT": str(self.port)},
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        until = time.monotonic() + READY_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                sys.exit(f"The server did not start:\n{Path(self._log.name).read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=STOPPED_S)
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def connection(self) -> Connection:
        return Connection(self.port)

    def await_stored(self, key: str) -> None:
        """Until questions see everything that was acknowledged."""
        until = time.monotonic() + CAUGHT_UP_S
        connection = self.connection()
        while "threadline-stale" in connection.send("GET", "/v1/query?limit=1", key).headers:
            if time.monotonic() > until:
                sys.exit("The store does not keep up.")
        connection.close()

    def _ready(self) -> bool:
        connection = self.connection()
        try:
            return connection.send("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
