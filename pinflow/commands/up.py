"""`pinflow up`: Dagster's UI and daemon, and the app, under one Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from pinflow.collection import load
from pinflow.errors import PinflowError
from pinflow.pipeline.instance import create
from pinflow.serving.run import check_address
from pinflow.settings import Settings

# Dagster has no log-in, and whoever reaches it can run code: from elsewhere, use an SSH tunnel.
DAGSTER_HOST = "127.0.0.1"
SAMPLE_HOST = "127.0.0.1"
STOP_SECONDS = 12.0  # then what is left is killed
LAST_LINES = 20


def up(settings: Settings, *, host: str, dagster_port: int, app_port: int) -> int:
    """Start all three, wait, stop all three. The exit code: 1 where one of them died by itself.

    Raises `PinflowError`, before anything starts, for an address that is open to a network without a
    token, and for a port in use.
    """
    check_address(host, settings)
    _check_free(DAGSTER_HOST, dagster_port, "DAGSTER_PORT")
    _check_free(host, app_port, "PINFLOW_PORT")
    create(settings)
    serve = [sys.executable, "-m", "pinflow.cli", "serve", "--host", host, "--port", str(app_port)]
    commands = {**_sample_site(settings), **dagster_commands(dagster_port), "app": serve}
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell has its background jobs ignore SIGINT
        signal.signal(number, _interrupt)
    logs = settings.home_path / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = start(command, settings, logs / f"{name}.log")
        print(f"Dagster  http://{DAGSTER_HOST}:{dagster_port}\npinflow  http://{host}:{app_port}", flush=True)
        print(f"what they say is in {logs}; Ctrl-C stops both", flush=True)
        while all(process.poll() is None for process in running.values()):
            time.sleep(0.3)
        died = next(name for name, process in running.items() if process.poll() is not None)
        print(_last_words(died, running[died].returncode, logs / f"{died}.log"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        stop(running)


def _sample_site(settings: Settings) -> dict[str, list[str]]:
    """The site that the sample collections are scraped from, where the demo has fetched its pictures:
    without it every rescrape of theirs would be incomplete."""
    samples = settings.home_path / "sample"
    market = load(settings.collections).good.get("market")
    address = urlsplit(market.source.base_url or "") if market else urlsplit("")
    if address.hostname != SAMPLE_HOST or not address.port or not (samples / "market").is_dir():
        return {}
    try:
        _check_free(SAMPLE_HOST, address.port, "base_url in market.yaml")
    except PinflowError:  # a demo that runs now serves it already
        return {}
    line = [sys.executable, "-m", "pinflow.sample.site", "--port", str(address.port)]
    return {"sample site": [*line, "--folder", str(samples)]}


def _last_words(name: str, code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "\n".join([*lines, f"pinflow: {name} ended with {code}, so the others were stopped; see {log}"])


def dagster_commands(port: int, workspace: Path | None = None) -> dict[str, list[str]]:
    """Dagster's webserver and daemon over a workspace file, by default the one that pinflow brings."""
    tools = Path(sys.executable).parent
    file = str(workspace or resources.files("pinflow").joinpath("deploy/workspace.yaml"))
    web = ["-w", file, "-h", DAGSTER_HOST, "-p", str(port), "--dagster-log-level", "warning"]
    quiet = ["--code-server-log-level", "warning"]
    return {
        "dagster-webserver": [str(tools / "dagster-webserver"), *web, *quiet],
        "dagster-daemon": [
            str(tools / "dagster-daemon"),
            "run",
            "-w",
            file,
            "--log-level",
            "warning",
            *quiet,
        ],
    }


def start(command: list[str], settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    """A child in a session of its own: a Ctrl-C reaches it once, through `stop`, not twice."""
    environment = {
        **os.environ,
        "PINFLOW_HOME": str(settings.home_path),
        "PINFLOW_STORAGE": settings.storage_url,
        "PINFLOW_COLLECTIONS": str(settings.collections.absolute()),
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=output, stderr=subprocess.STDOUT
        )


def stop(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Interrupt all, wait, and kill whatever is left of them, their code servers and runs included."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for number, handler in previous.items():
        signal.signal(number, handler)


def _check_free(host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise PinflowError(
                f"{host}:{port} cannot be listened on ({error.strerror}): "
                f"stop what uses it, or set {variable} to another port"
            ) from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
