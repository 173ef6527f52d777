"""Where the server runs: what there are builds of the engine for. The SDK runs everywhere."""

import os
import platform
import sys
from contextlib import suppress

SYSTEMS = ("linux", "darwin")
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
ELSEWHERE = "Run the server in a container, and use the SDK here."
HOW = "`pip install '.[server]'` in a clone, or deploy/install.sh, does it."


def why_not_installed() -> str:
    """Why there is no server, and what to do."""
    reason = unsupported(sys.platform, platform.machine(), has_glibc())
    return reason or f"The server is not installed; {HOW}"


def unsupported(system: str, machine: str, glibc: bool) -> str:
    """Why the server cannot run on a machine; nothing where it can."""
    if system == "win32":
        return f"The server does not run on Windows itself. Take WSL. Or: {ELSEWHERE}"
    if system not in SYSTEMS:
        return f"The server does not run on {system}. {ELSEWHERE}"
    if machine.lower() not in MACHINES:
        return f"The server runs on x86-64 and arm64, not on {machine}. {ELSEWHERE}"
    if system == "linux" and not glibc:
        return (
            "The server does not run on a Linux with musl, such as Alpine: there is no engine for"
            f" it. Take one with glibc, such as Debian. Or: {ELSEWHERE}"
        )
    return ""


def has_glibc() -> bool:
    """Whether this Linux has the C library that the engine is built for."""
    with suppress(ValueError, OSError, AttributeError):
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    return False
