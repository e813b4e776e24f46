"""One tiny house, built once; every test that wants it gets it back as it was built."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pinflow.sample.made import make_samples
from pinflow_tests.pipeline.houses import Tiny


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three labels, four each: too few for UMAP, whose first call compiles for seconds."""
    folder = tmp_path_factory.mktemp("drawn")
    make_samples(folder, labels=3, per_label=4)
    return folder


@pytest.fixture
def empty_house(tmp_path: Path, drawn: Path) -> Iterator[Tiny]:
    """Pictures, and nothing made of them yet."""
    shutil.copytree(drawn, tmp_path / "pictures")
    house = Tiny(tmp_path)
    yield house
    house.instance.dispose()


@pytest.fixture(scope="module")
def _sqlite() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(set_dagster_home=False) as instance:
        yield instance


@pytest.fixture
def bare(tmp_path: Path, _sqlite: dg.DagsterInstance) -> Tiny:
    """No pictures, no labels, and Dagster on SQLite: sensors and schedules ask for it by reference."""
    _sqlite.wipe()
    return Tiny(tmp_path, instance=_sqlite)


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(drawn, root / "now" / "pictures")
    ran = Tiny(root / "now").run()
    assert ran.failed == {}
    shutil.copytree(root / "now", root / "saved")
    return root / "now", root / "saved"


@pytest.fixture
def house(_built: tuple[Path, Path]) -> Iterator[Tiny]:
    """All stages of three labels made and released, from real pictures; Dagster remembers nothing."""
    now, saved = _built
    shutil.rmtree(now)
    shutil.copytree(saved, now)
    house = Tiny(now)
    yield house
    house.instance.dispose()
