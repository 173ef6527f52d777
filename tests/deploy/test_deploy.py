"""What a deployment is made of: the script as it would run, the unit, the image, the proxies. That
the image's file system works is looked at by `make image-check`, which takes minutes."""

import configparser
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from threadline import settings_given

DEPLOY = ROOT / "deploy"
SCRIPT = DEPLOY / "install.sh"
WHEEL = "threadline-0.1.0-py3-none-any.whl"


def install(*arguments: str, path: str = "", cwd: Path | None = None) -> tuple[int, str]:
    """The exit status and all that it says. `path`: looked at before the usual one."""
    env = {"PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    done = subprocess.run(
        ["sh", str(SCRIPT), "--python", sys.executable, *arguments],
        env=env, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_script_says_what_it_would_do(tmp_path: Path) -> None:
    (tmp_path / WHEEL).touch()
    status, said = install(
        "--dry-run", "--program", "--to", f"{tmp_path}/to", str(tmp_path / WHEEL)
    )
    assert status == 0, said
    assert f"-m venv {tmp_path}/to/versions/" in said
    assert f"{WHEEL}[server,postgres]" in said
    assert "check_installed.py" in said, "nothing is put in place that was not tried"
    assert f"Installed: {tmp_path}/to/current/bin/threadline" in said
    assert not (tmp_path / "to").exists()
    status, said = install("--dry-run", str(tmp_path / WHEEL))
    assert status == 0, said
    assert "threadline" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "SOURCE is missing."),
        (("nowhere.whl",), "There is no nowhere.whl."),
        (("--nonsense",), "There is no option --nonsense."),
        (("--to",), "--to needs a folder."),
        (("--to", "here", "x"), "--to here: write a path that begins with a slash."),
        (("--python", "no-python", "x"), "There is no no-python. Install Python 3.11 or newer."),
        (("one.whl", "two.whl"), "One SOURCE only"),
        (("--back", "--to", "/nonexistent"), "There is no version before in /nonexistent."),
    ],
)
def test_what_the_script_refuses(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    status, said = install(*arguments, cwd=tmp_path)
    assert status == 1
    assert expected in said
    assert list(tmp_path.iterdir()) == []


MACHINES = [
    ("Linux", "x86_64", "runs on this machine"),
    ("Linux", "aarch64", "runs on this machine"),
    ("Darwin", "arm64", "runs on this machine"),
    ("Darwin", "x86_64", "runs on this machine"),
    ("Linux", "armv7l", "There is no engine for armv7l."),
    ("Linux", "riscv64", "There is no engine for riscv64."),
    ("MINGW64_NT-10.0", "x86_64", "On Windows take WSL or the container image."),
    ("FreeBSD", "amd64", "There is no engine for FreeBSD."),
]


@pytest.mark.parametrize(("system", "machine", "expected"), MACHINES)
def test_each_machine_is_told(system: str, machine: str, expected: str, tmp_path: Path) -> None:
    answers = f'case $1 in -s) echo "{system}";; -m) echo "{machine}";; esac'
    program(tmp_path / "bin", "uname", answers)
    status, said = install("--check", path=f"{tmp_path}/bin")
    assert expected in said
    assert status == (0 if "runs on" in expected else 1)


def test_a_python_that_is_too_old_is_told(tmp_path: Path) -> None:
    program(tmp_path / "bin", "python-old", 'case $1 in -V) echo "Python 3.9.2";; *) exit 1;; esac')
    status, said = install("--python", "python-old", "--check", path=f"{tmp_path}/bin")
    assert status == 1
    assert "python-old is Python 3.9.2. Threadline needs Python 3.11 or newer" in said


def test_versions_change_places_and_back(tmp_path: Path) -> None:
    """With a Python that makes empty environments, and no wheel behind the name."""
    fake = (
        'case "$*" in\n'
        '*"-m venv"*) for to; do :; done; mkdir -p "$to/bin"\n'
        f'  for name in python threadline; do cp "{tmp_path}/bin/fake" "$to/bin/$name"; done;;\n'
        "*pip*) ;;\n"
        f'*check_installed.py*) [ ! -e "{tmp_path}/broken" ];;\n'
        "esac"
    )
    program(tmp_path / "bin", "fake", fake)
    (tmp_path / WHEEL).touch()
    to = tmp_path / "to"
    again = ("--python", f"{tmp_path}/bin/fake", "--program", "--full", "--to", str(to))
    first = None
    for _ in range(2):
        status, said = install(*again, str(tmp_path / WHEEL))
        assert status == 0, said
        first = first or os.readlink(to / "current")
    second = os.readlink(to / "current")
    assert os.readlink(to / "previous") == first != second

    (tmp_path / "broken").touch()
    status, _ = install(*again, str(tmp_path / WHEEL))
    assert status == 1
    assert os.readlink(to / "current") == second, "what does not run is not put in place"
    assert sorted(str(each) for each in (to / "versions").iterdir()) == sorted((first, second))
    (tmp_path / "broken").unlink()

    status, said = install("--python", f"{tmp_path}/bin/fake", "--back", "--to", str(to))
    assert status == 0, said
    assert (os.readlink(to / "current"), os.readlink(to / "previous")) == (first, second)
    install(*again, str(tmp_path / WHEEL))
    assert second not in [str(each) for each in (to / "versions").iterdir()], "two are kept"


def unit() -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment]
    read.read(DEPLOY / "threadline.service")
    return read


def test_the_unit_runs_what_the_script_installs() -> None:
    service, script = unit()["Service"], SCRIPT.read_text()
    assert service["ExecStart"] == "/opt/threadline/current/bin/threadline serve"
    assert "TO=/opt/threadline " in script
    assert f"USER_NAME={service['User']} " in script
    assert f"DATA=/var/lib/{service['StateDirectory']} " in script
    assert service["EnvironmentFile"].lstrip("-").startswith("/etc/threadline/")
    for hardening in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices"):
        assert service[hardening] == "true"
    assert (service["ProtectSystem"], service["UMask"]) == ("strict", "0077")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    assert (DEPLOY / "threadline.service").read_text().count("ExecStart=") == 1
    if not verify:  # macOS; everything else that can be said is said above
        return
    # The program is not installed here.
    text = (DEPLOY / "threadline.service").read_text()
    text = re.sub("ExecStart=.*", f"ExecStart={shutil.which('true')}", text)
    path = tmp_path / "threadline.service"
    path.write_text(text)
    done = subprocess.run([verify, "verify", str(path)], text=True, capture_output=True)
    complaints = [line for line in done.stderr.splitlines() if "threadline.service" in line]
    assert complaints == []


def test_the_settings_that_are_installed_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DEPLOY / "threadline.toml").read_text()
    Path("threadline.toml").write_text(text)
    assert settings_given.load({}).data == "/var/lib/threadline"
    examples = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    Path("threadline.toml").write_text(examples)
    chosen = settings_given.load({})
    assert (chosen.prefix, chosen.trusted_proxies) == ("/stats", 1)


def stages() -> list[list[str]]:
    """Of the Dockerfile: each stage's instructions, one a line."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [at for at, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[at:end] for at, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def test_the_image_is_made_by_the_same_script_and_keeps_no_compiler() -> None:
    wheel, program, image = stages()
    assert any("pip wheel" in line for line in wheel)
    assert any("/deploy/install.sh --program /dist/threadline-*.whl" in line for line in program)
    assert program[0].split()[1] == image[0].split()[1], "an environment belongs to its Python"
    final = "\n".join(image)
    for gone in ("venv", "pip", "gcc", "build-essential", "nodejs"):
        assert gone not in final.replace("/opt/threadline", ""), gone
    assert "USER 10001:10001" in image
    assert [line for line in image if line.startswith("HEALTHCHECK ")]
    assert "THREADLINE_DATA=/data" in final
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for needed in ("src", "browser", "dashboard", "docs", "tools", "deploy"):
        assert needed not in ignored


def compose(name: str) -> dict[str, Any]:
    yaml.SafeLoader.add_constructor("!reset", lambda loader, node: [])
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return loaded


@pytest.mark.parametrize("name", sorted(each.name for each in DEPLOY.glob("compose*.yaml")))
def test_compose_files_name_settings_and_volumes_that_there_are(name: str) -> None:
    loaded = compose(name)
    volumes = set(compose("compose.yaml")["volumes"]) | set(loaded.get("volumes", {}))
    for service in loaded["services"].values():
        for mounted in service.get("volumes", []):
            source = mounted.split(":")[0]
            assert source in volumes or (DEPLOY / source).exists(), source
        for needed in service.get("depends_on", []):
            assert needed in loaded["services"]
    environment = loaded["services"]["threadline"].get("environment", {})
    filled = {each: re.sub(r"\$\{(\w+)[^}]*\}", "x", value) for each, value in environment.items()}
    assert settings_given.load(filled)


def test_the_proxies_hand_on_what_is_needed() -> None:
    for name in ("nginx.conf", "nginx-prefix.conf"):
        text = (DEPLOY / name).read_text()
        assert "client_max_body_size 16m;" in text
        assert "proxy_pass http://127.0.0.1:8787;" in text, "without a path, so that it stays"
        assert "proxy_set_header X-Forwarded-For $remote_addr;" in text, "set, not appended"
        assert "proxy_set_header X-Forwarded-Proto $scheme;" in text
        assert text.count("{") == text.count("}")
        assert "metrics { return 404; }" in text
    caddy = (DEPLOY / "Caddyfile").read_text()
    assert caddy.count("{") == caddy.count("}")
    traefik = yaml.safe_load((DEPLOY / "traefik.yaml").read_text())["http"]
    for router in traefik["routers"].values():
        assert router["service"] in traefik["services"]
        assert set(router["middlewares"]) <= set(traefik["middlewares"])


def test_scripts_may_be_run() -> None:
    for path in DEPLOY.glob("*.sh"):
        assert path.stat().st_mode & stat.S_IXUSR, path
        assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0, path
