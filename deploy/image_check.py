"""Runs inside the image's root, as its user: the server's start and memory, then the demo, and a
question to it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO

THREADLINE = Path(sys.executable).parent / "threadline"
EVENTS = "20000"


def main() -> None:
    assert os.geteuid() != 0, "the image runs as a user of its own"
    began = time.monotonic()
    server = start("serve", "--port", "0")
    url = json.loads(first(server.stderr, '"ready"'))["url"]
    print(f"start: ready after {time.monotonic() - began:.1f} s; {memory(server.pid)}")
    urllib.request.urlopen(f"{url}/readyz", timeout=60).close()
    assert end(server) == 0

    began = time.monotonic()
    demo = start("demo", "--data", "/data/demo", "--events", EVENTS, "--port", "0")
    first(demo.stdout, "Threadline is ready")
    print(
        f"demo: {EVENTS} events loaded after {time.monotonic() - began:.1f} s; {memory(demo.pid)}"
    )
    ask = [str(THREADLINE), "ask", "visits", "group_by=channel", "--data", "/data/demo"]
    answer = subprocess.run(ask, text=True, capture_output=True, check=True).stdout
    assert "Organic" in answer or "organic" in answer, answer
    doctor = subprocess.run(
        [THREADLINE, "doctor", "--data", "/data/demo"], text=True, capture_output=True
    )
    assert doctor.returncode == 0, doctor.stdout
    assert end(demo) == 0
    print("the demo runs, a question is answered, the doctor is content")


def first(lines: IO[str] | None, part: str) -> str:
    """The first line with this in it. Ends the program where there is none."""
    said = []
    for line in lines or ():
        said.append(line)
        if part in line:
            return line
    sys.exit(f"It ends without {part}:\n{''.join(said)}")


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [THREADLINE, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    return process.returncode


def memory(pid: int) -> str:
    (held,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line
    ]
    return f"{int(held.split()[1]) // 1024} MB of memory"


if __name__ == "__main__":
    main()
