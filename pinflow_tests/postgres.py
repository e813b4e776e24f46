"""A PostgreSQL server of a test's own, on a port and in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def running() -> Iterator[str]:
    """The URL of an empty database. Skips where PostgreSQL is not installed.

    Not among pytest's own folders: each session closes them to other users, and the server is one.
    """
    if not TOOLS:
        pytest.skip("needs Debian's package `postgresql`, which .ci/run installs")
    folder = Path(tempfile.mkdtemp(prefix="pinflow-postgres-"))
    as_user = []
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*as_user, TOOLS[-1] / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True)
    server = [*as_user, TOOLS[-1] / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*server, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*server, "-m", "immediate", "stop"], check=True)
        shutil.rmtree(folder)
