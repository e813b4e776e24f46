"""The one database of the app: SQLite under home, or PostgreSQL. Brought to the newest shape when first used,
so that the app starts, and searches, while the database is away.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from pinflow.errors import StateError
from pinflow.settings import Settings

BUSY_SECONDS = 10.0  # how long a writer waits for another
_MIGRATING = 7_206_331  # PostgreSQL's advisory lock: two servers that start at once migrate in turn


class Database:
    """Safe to use from several threads. Every method raises `StateError` where the database fails."""

    def __init__(self, url: str) -> None:
        """Any SQLAlchemy URL of SQLite or PostgreSQL. Raises `StateError` for another."""
        try:
            self.url = make_url(url.replace("postgres://", "postgresql://", 1))
        except ArgumentError as error:
            raise StateError(f"PINFLOW_DATABASE_URL is no database URL: {error}") from error
        if self.dialect not in ("sqlite", "postgresql"):
            raise StateError(
                f"PINFLOW_DATABASE_URL: {self.dialect} is not supported; use SQLite or PostgreSQL"
            )
        if self.url.drivername == "postgresql":  # the driver that Dagster's PostgreSQL package brings
            self.url = self.url.set(drivername="postgresql+psycopg2")
        self._ready = False
        self._migrating = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Database:
        """That of the settings: `state.db` under home by default."""
        return cls(settings.database_url or f"sqlite:///{settings.home_path / 'state.db'}")

    @property
    def dialect(self) -> str:
        return self.url.get_backend_name()

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for a server."""
        return Path(self.url.database) if self.dialect == "sqlite" and self.url.database else None

    @property
    def exists(self) -> bool:
        """False for a SQLite file that nobody has written to yet."""
        return self.file is None or self.file.exists()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection in a transaction, which is committed at the end, and undone where that raises."""
        try:
            self.migrate()
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StateError(f"the database {self._named} cannot be used: {_cause(error)}") from error

    @cached_property
    def engine(self) -> Engine:
        """Connections are pooled; one that the server has closed meanwhile is opened again."""
        try:
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS})
                event.listen(engine, "connect", _prepare)
                return engine
            return create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
        except (NoSuchModuleError, ImportError) as error:
            raise StateError(
                f"PostgreSQL needs another package: pip install 'pinflow[postgres]' ({error})"
            ) from error
        except OSError as error:
            raise StateError(f"the database {self._named} cannot be used: {error}") from error

    def migrate(self) -> None:
        """Bring the tables to the newest shape, once a process. Raises `StateError` for a database that a
        newer version of pinflow has written."""
        if self._ready:
            return
        with self._migrating:
            if not self._ready:
                with self.engine.connect() as connection:
                    _upgrade(connection)
                    connection.commit()
                self._ready = True

    def dispose(self) -> None:
        """Close what is open. It opens again when it is used again."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @property
    def _named(self) -> str:
        return self.url.render_as_string(hide_password=True)


def _prepare(connection: Any, _: Any) -> None:
    # WAL lets readers and one writer work at once; secure_delete overwrites what a purge removes.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's sqlite3 begins only before it writes rows
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StateError(f"the database is of a newer pinflow; install that version ({error})") from error


def upsert(
    connection: Connection, table: Table, row: dict[str, Any], keys: Sequence[str], change: dict[str, Any]
) -> None:
    """Insert a row, or, where one with the same `keys` is there, `change` that one, if anything."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(row)
    if change:
        connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=change))
    else:
        connection.execute(statement.on_conflict_do_nothing(index_elements=list(keys)))


def new_id() -> str:
    """16 hexadecimal digits, not to be guessed."""
    return secrets.token_hex(8)


def now() -> str:
    """ISO 8601, UTC, to the microsecond, always as long, so that it sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
