"""Dagster's records in a real Postgres, chosen by one variable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinflow.sample.made import make_samples
from pinflow_tests.postgres import running

pytestmark = pytest.mark.system


@pytest.fixture
def database() -> Iterator[str]:
    with running() as url:
        yield url


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
