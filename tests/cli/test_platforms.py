"""Where the server runs, and what is said elsewhere."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from threadline.cli.platforms import has_glibc, unsupported

WHERE = [
    ("linux", "x86_64", True, ""),
    ("linux", "aarch64", True, ""),
    ("darwin", "arm64", False, ""),
    ("darwin", "x86_64", False, ""),
    ("linux", "x86_64", False, "a Linux with musl, such as Alpine"),
    ("linux", "armv7l", True, "not on armv7l"),
    ("win32", "AMD64", False, "does not run on Windows itself. Take WSL."),
    ("freebsd14", "amd64", False, "does not run on freebsd14"),
]


@pytest.mark.parametrize(("system", "machine", "glibc", "expected"), WHERE)
def test_each_platform_is_told(system: str, machine: str, glibc: bool, expected: str) -> None:
    said = unsupported(system, machine, glibc)
    assert expected in said
    assert bool(said) == bool(expected)
    if said:
        assert "in a container" in said
        assert "SDK" in said


def test_this_machine_runs_the_tests() -> None:
    assert has_glibc() == (sys.platform == "linux")


def without_the_server(platform: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command of a base install: the standard library and ours."""
    program = (
        "import sys, threadline.cli.platforms\n"
        f"sys.platform = {platform!r}; sys.argv[1:] = {list(arguments)}\n"
        "import threadline.cli.main"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/src"}
    return subprocess.run(
        [sys.executable, "-S", "-c", program], env=env, text=True, capture_output=True
    )


def test_a_base_install_says_what_is_missing() -> None:
    done = without_the_server("linux", "serve")
    assert done.returncode == 1
    assert "threadline: The server is not installed; `pip install '.[server]'`" in done.stderr
    done = without_the_server("win32", "serve")
    assert "threadline: The server does not run on Windows itself." in done.stderr
    done = without_the_server("linux", "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "threadline")
