"""A released collection, and the command line as a person meets it: arguments in, exit code and text out.

Fixtures for tests of commands, wherever they are.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pinflow.cli import main
from pinflow.sample.made import make_samples

SHAPES = """
description: Made shapes
source: {{kind: folder, path: "{path}"}}
labels: [plain red, plain green]
"""


@dataclass
class Said:
    """What one command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def released_once(tmp_path_factory):
    """`shapes`, run once by the command itself; what it printed is kept beside it."""
    root = tmp_path_factory.mktemp("commands") / "house"
    make_samples(root / "samples", labels=2, per_label=6)
    (root / "collections").mkdir()
    path = root / "samples" / "market"
    (root / "collections" / "shapes.yaml").write_text(SHAPES.format(path=path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINFLOW_HOME", str(root / "home"))
        patch.setenv("PINFLOW_COLLECTIONS", str(root / "collections"))
        patch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        patch.setattr(sys, "argv", ["pinflow", "run", "shapes"])
        with (root / "run.txt").open("w") as out:
            patch.setattr(sys, "stdout", out)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 0, (root / "run.txt").read_text()
    return root


@pytest.fixture
def released(released_once, tmp_path, monkeypatch) -> Path:
    """A copy of that house, which this test's commands work in."""
    root = tmp_path / "house"
    shutil.copytree(released_once, root)
    enter(root, monkeypatch)
    return root


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A house with nothing in it but a folder for collections."""
    (tmp_path / "collections").mkdir()
    enter(tmp_path, monkeypatch)
    return tmp_path


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINFLOW_HOME", str(root / "home"))
    monkeypatch.setenv("PINFLOW_COLLECTIONS", str(root / "collections"))
    monkeypatch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))


@pytest.fixture
def pinflow(monkeypatch, capsys) -> Callable[..., Said]:
    """Run a command in this process."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["pinflow", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run
