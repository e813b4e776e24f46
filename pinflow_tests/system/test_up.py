"""`pinflow up`: one command starts Dagster's UI and daemon and the app, one signal stops them all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pinflow_tests.system.dagsters import GraphQL, free_port, get, kill, tail, until

pytestmark = pytest.mark.system

UP = [sys.executable, "-m", "pinflow.cli", "up"]


class Up:
    """`pinflow up` in a process of its own, over the house that the environment names."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.dagster_port, self.app_port = free_port(), free_port()
        environment = {
            **os.environ,
            "DAGSTER_PORT": str(self.dagster_port),
            "PINFLOW_PORT": str(self.app_port),
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(UP, env=environment, stdout=output, stderr=output)

    def ready(self) -> bool:
        assert self.process.poll() is None, tail(self.log)
        url = f"http://127.0.0.1:{self.app_port}/readyz"
        dagster = f"http://127.0.0.1:{self.dagster_port}/server_info"
        return get(url)[0] == 200 and get(dagster)[0] == 200

    def family(self) -> list[int]:
        """Every process that it started, and those that these started."""
        found = [self.process.pid]
        for parent in found:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found


@pytest.fixture
def up(released, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    up = Up(tmp_path / "up.log")
    try:
        until(up.ready, 90, "Dagster and the app")
        yield up
    except BaseException:
        print(tail(up.log))
        raise
    finally:
        children = up.family() if up.process.poll() is None else []
        kill(up.process)
        for child in children:
            if Path(f"/proc/{child}").exists():
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_dagster_and_the_app_and_one_signal_stops_every_process(up, number):
    dagster = GraphQL(up.dagster_port)
    until(
        lambda: (
            {health["daemonType"] for health in _daemons(dagster) if health["healthy"]}
            >= {"SENSOR", "SCHEDULER", "ASSET", "BACKFILL", "QUEUED_RUN_COORDINATOR"}
        ),
        60,
        "a healthy daemon",
    )
    assets = dagster.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
    assert ["shapes", "release"] in [node["assetKey"]["path"] for node in assets]
    assert b"shapes" in get(f"http://127.0.0.1:{up.app_port}/v1/collections")[1]
    family = up.family()
    assert len(family) >= 4

    started = time.monotonic()
    up.process.send_signal(number)

    assert up.process.wait(20) == 0
    until(lambda: not any(_alive(one) for one in family), 5, "the end of every process", every=0.2)
    assert time.monotonic() - started < 20
    assert "Traceback" not in up.log.read_text()


def _daemons(dagster: GraphQL) -> list[dict[str, object]]:
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"
    return list(dagster.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"])


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("variable", ["DAGSTER_PORT", "PINFLOW_PORT"])
def test_a_port_in_use_is_named_and_nothing_is_left_running(empty, variable):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"DAGSTER_PORT": str(free_port()), "PINFLOW_PORT": str(free_port()), variable: str(port)}

        done = subprocess.run(UP, env={**os.environ, **ports}, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert done.stderr == (
        f"pinflow: 127.0.0.1:{port} cannot be listened on (Address already in use): "
        f"stop what uses it, or set {variable} to another port\n"
    )
    assert not (empty / "home").exists()


def test_an_address_open_to_others_is_refused_without_a_token_before_anything_starts(empty, monkeypatch):
    monkeypatch.delenv("PINFLOW_API_TOKEN", raising=False)

    done = subprocess.run([*UP, "--host", "0.0.0.0"], capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert "PINFLOW_API_TOKEN" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (empty / "home").exists()
