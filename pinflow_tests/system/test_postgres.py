"""Dagster's records in a real Postgres, chosen by one variable."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinflow.sample.made import make_samples

pytestmark = pytest.mark.system

TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database on a server of this test's own."""
    if not TOOLS:
        pytest.skip("needs Debian's package `postgresql`, which .ci/run installs")
    folder = tmp_path_factory.mktemp("postgres")
    as_user = []
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        for parent in (folder.parent, folder.parent.parent):
            parent.chmod(0o755)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*as_user, TOOLS[-1] / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True)
    server = [*as_user, TOOLS[-1] / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*server, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    subprocess.run([*server, "-m", "immediate", "stop"], check=True)


def test_a_whole_run_is_recorded_in_postgres(database: str, tmp_path: Path) -> None:
    samples = make_samples(tmp_path / "sample", labels=2, per_label=6)
    (tmp_path / "collections").mkdir()
    (tmp_path / "collections" / "tiny.yaml").write_text(
        f"source: {{kind: folder, path: {samples.market.folder}}}\nlabels: all\n"
    )
    environment = {
        **os.environ,
        "PINFLOW_HOME": str(tmp_path / "home"),
        "PINFLOW_COLLECTIONS": str(tmp_path / "collections"),
        "PINFLOW_DATABASE_URL": database,
    }
    environment.pop("DAGSTER_HOME", None)
    subprocess.run([sys.executable, "-m", "pinflow.cli", "run", "tiny"], check=True, env=environment)
    assert not list((tmp_path / "home" / "dagster").rglob("*.db"))
    assert _rows(database, "select count(*) from runs where status = 'SUCCESS'") >= 6


def _rows(database: str, query: str) -> int:
    import psycopg2

    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
