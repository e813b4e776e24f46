"""A cheaper instance for a process that runs many steps, such as `pinflow run`.

Dagster's SQLite storage makes a new engine for each of the about seven queries behind an event, flushes
the disk at every commit, and sets up each run's database by migration scripts; and two `tail` processes
a run copy what it prints. That is two thirds of the 165 ms that a trivial step costs. Here connections
are kept, a commit survives a crash of the process but not a loss of power (what matters is in the store,
flushed), a run's database is a copy of an empty one, and what is printed goes to the terminal alone.
Other processes are not affected.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

KEPT = 4  # run databases kept open; a run has one of its own
BUSY_SECONDS = 60.0  # how long to wait for another process's lock


def lighten(instance: dg.DagsterInstance) -> None:
    """Let the instance's SQLite storages, if it has such, reuse their connections; capture no output.

    Replaces `_connect` of the event log and `connect` of the run storage on these two objects alone,
    with the meaning they have in Dagster 1.13: a connection inside a transaction.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
    from dagster._core.storage.runs import SqliteRunStorage

    setattr(instance, "_compute_log_manager", NoOpComputeLogManager())  # noqa: B010
    instance.compute_log_manager.register_instance(instance)
    events: Any = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        setattr(events, "_connect", _event_connections(events))  # noqa: B010  mypy takes methods for fixed
        setattr(events, "has_table", cache(events.has_table))  # noqa: B010  asked several times an event
    runs: Any = instance.run_storage
    if isinstance(runs, SqliteRunStorage):
        setattr(runs, "connect", partial(_connection, _engine(runs._conn_string)))  # noqa: B010


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        yield connection


def _event_connections(storage: Any) -> Callable[[str], AbstractContextManager[Connection]]:
    engines: OrderedDict[str, Engine] = OrderedDict()

    @cache
    def empty() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            engine = _engine(f"sqlite:///{folder}/empty.db")
            storage._initdb(engine)
            engine.dispose()
            return Path(folder, "empty.db").read_bytes()

    def engine_of(shard: str) -> Engine:
        if shard not in engines:
            _create(Path(storage.path_for_shard(shard)), empty)
            engines[shard] = _engine(storage.conn_string_for_shard(shard))
            storage._initialized_dbs.add(shard)
        engines.move_to_end(shard)
        while len(engines) > KEPT:
            engines.popitem(last=False)[1].dispose()
        return engines[shard]

    @contextmanager
    def connect(shard: str) -> Iterator[Connection]:
        with storage._db_lock, _connection(engine_of(shard)) as connection:
            yield connection

    return connect


def _create(database: Path, empty: Callable[[], bytes]) -> None:
    if not database.exists():
        with tempfile.NamedTemporaryFile(dir=database.parent, delete=False) as file:
            file.write(empty())
        shutil.move(file.name, database)


def _engine(address: str) -> Engine:
    from sqlalchemy import create_engine, event

    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
    return engine
