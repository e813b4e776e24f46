"""Where Dagster lives on this machine: every entry point prepares it before Dagster is imported."""

from __future__ import annotations

import importlib.util
import os
import re
from importlib import resources
from pathlib import Path

from pinflow.errors import PinflowError
from pinflow.settings import Settings


def prepare(settings: Settings) -> Path:
    """Set `DAGSTER_HOME` and put a `dagster.yaml` there if there is none. Returns the folder.

    With `PINFLOW_DATABASE_URL` a new instance keeps its records in that Postgres.
    """
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PinflowError(f"{home} cannot be made ({error.strerror}): set PINFLOW_HOME elsewhere") from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("PINFLOW_HOME", str(settings.home_path))
    postgres = (settings.database_url or "").startswith("postgres")
    if settings.database_url and not postgres:
        raise PinflowError(
            "PINFLOW_DATABASE_URL: expected postgresql://user@host/database, or nothing for SQLite"
        )
    if postgres:
        os.environ["PINFLOW_DATABASE_URL"] = _spoken(str(settings.database_url))
    target = home / "dagster.yaml"
    if not target.exists():
        text = resources.files("pinflow").joinpath("deploy/dagster.yaml").read_text(encoding="utf-8")
        if postgres:
            text += "\nstorage:\n  postgres:\n    postgres_url:\n      env: PINFLOW_DATABASE_URL\n"
        target.write_text(text, encoding="utf-8")
    elif postgres and "postgres" not in target.read_text(encoding="utf-8"):
        raise PinflowError(
            f"{target} keeps Dagster's records in SQLite, PINFLOW_DATABASE_URL names a Postgres: "
            "delete that file to change over (what SQLite holds stays there), or unset the variable"
        )
    return home


def create(settings: Settings) -> None:
    """Prepare, and make Dagster's tables where there are none: processes that start together and each
    make them leave a SQLite instance that nobody can open."""
    prepare(settings)
    import dagster as dg

    from pinflow.pipeline.stages import STAGES

    with dg.DagsterInstance.get() as instance:
        for pool in sorted({stage.pool for stage in STAGES.values() if stage.pool}):
            # Dagster learns of a pool from the first queue that holds its runs, and lets those through.
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)


def _spoken(url: str) -> str:
    """The URL with its driver named: a bare one means psycopg 3 to SQLAlchemy, which Dagster cannot speak."""
    if importlib.util.find_spec("dagster_postgres") is None:
        raise PinflowError("PINFLOW_DATABASE_URL names a Postgres: pip install 'pinflow[postgres]' first")
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)
