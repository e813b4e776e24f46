"""An empty database a test: SQLite always; PostgreSQL too where the machine has one, in the system tests."""

import pytest

from pinflow.serving.state.database import Database
from pinflow.serving.state.tables import metadata
from pinflow_tests.postgres import running


@pytest.fixture(scope="session")
def server():
    with running() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def database(request, tmp_path):
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path / 'state.db'}")
    else:
        found = Database(request.getfixturevalue("server"))
        with found.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
    yield found
    found.dispose()
