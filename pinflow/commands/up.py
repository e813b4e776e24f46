"""`pinflow up`: Dagster's UI and daemon, and the app, under one Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

from pinflow.commands.instance import prepare
from pinflow.serving.run import check_address
from pinflow.settings import Settings

STOP_SECONDS = 20.0


def up(settings: Settings, *, host: str, dagster_port: int, app_port: int) -> int:
    """Start all three, wait, stop all three. The exit code: 1 where one of them died by itself."""
    check_address(host, settings)
    prepare(settings)
    environment = {
        **os.environ,
        "PINFLOW_HOME": str(settings.home_path),
        "PINFLOW_COLLECTIONS": str(settings.collections.absolute()),
    }
    tools = Path(sys.executable).parent
    workspace = str(resources.files("pinflow").joinpath("deploy/workspace.yaml"))
    commands = {
        "dagster-webserver": [
            str(tools / "dagster-webserver"),
            "-w",
            workspace,
            "-h",
            host,
            "-p",
            str(dagster_port),
        ],
        "dagster-daemon": [str(tools / "dagster-daemon"), "run", "-w", workspace],
        "app": [sys.executable, "-m", "pinflow.cli", "serve", "--host", host, "--port", str(app_port)],
    }
    signal.signal(signal.SIGTERM, _interrupt)
    running = {name: subprocess.Popen(line, env=environment) for name, line in commands.items()}
    print(
        f"Dagster http://{host}:{dagster_port}   pinflow http://{host}:{app_port}   Ctrl-C stops both",
        flush=True,
    )
    try:
        while all(process.poll() is None for process in running.values()):
            time.sleep(0.3)
        died = next(name for name, process in running.items() if process.poll() is not None)
        print(f"pinflow: {died} ended with {running[died].returncode}; stopping the others", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(running)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stop(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
