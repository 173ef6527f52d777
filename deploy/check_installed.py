"""Serves an event and a question with what is installed: whatever was left out is missed here, not
by the first visitor. Uses a folder that is gone afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

THREADLINE = Path(sys.executable).parent / "threadline"
WAIT_S = 120


def main() -> None:
    folder = tempfile.mkdtemp(prefix="threadline-check-")
    # Not the settings of the service that may run beside.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("THREADLINE_")}
    environ["THREADLINE_CONFIG"] = str(Path(folder, "threadline.toml"))
    Path(environ["THREADLINE_CONFIG"]).write_text(f"data = {json.dumps(folder + '/data')}\n")
    run("--help", environ)  # imports every command
    key = json.loads(run("project create check --json", environ))["keys"]["sk"]
    began = time.monotonic()
    process = subprocess.Popen(
        [THREADLINE, "serve", "--port", "0"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = ready_url(process)
        took = time.monotonic() - began
        ask(f"{url}/v1/track", key, b'{"event": "checked", "anonymous_id": "a", "user_id": "u"}')
        counted = ask(f"{url}/v1/stats?include_bots=true", key)
        assert '"value":1' in counted.replace(" ", ""), counted
        run("export -o out.parquet", environ, folder)
        print(f"It serves: ready after {took:.1f} s, {memory_mb(process.pid)}.")
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=WAIT_S)
        shutil.rmtree(folder)
        if '"error"' in log:
            sys.exit(f"It runs, but not well:\n{log}")


def run(command: str, environ: dict[str, str], folder: str | None = None) -> str:
    """What it prints."""
    done = subprocess.run(
        [THREADLINE, *command.split()], env=environ, text=True, cwd=folder, capture_output=True
    )
    if done.returncode:
        sys.exit(f"`threadline {command}` fails:\n{done.stderr}")
    return done.stdout


def ask(url: str, key: str, body: bytes | None = None) -> str:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return str(answer.read().decode())


def memory_mb(pid: int) -> str:
    """What the server holds, where the machine says it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return "memory unknown"
    (held,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return f"{int(held.split()[1]) // 1024} MB of memory"


def ready_url(process: "subprocess.Popen[str]") -> str:
    """The address, as the log says it. Ends the program with the log where there is none."""
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if '"ready"' in line:
            return str(json.loads(line)["url"])
    sys.exit(f"It does not start:\n{''.join(lines)}")


if __name__ == "__main__":
    main()
