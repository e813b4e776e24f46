"""The package as a wheel, outside the repository: everything it needs is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from pinflow import __version__
from pinflow.sample.made import make_samples

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[2]
SHAPES = 'source: {{kind: folder, path: "{path}"}}\nlabels: [plain red, plain green]\n'


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, without isolation: nothing is downloaded and no build folder stays behind."""
    root = tmp_path_factory.mktemp("wheel")
    for name in ("pinflow", "pyproject.toml", "README.md", "LICENSE"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, root / name)
    line = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", root, root]
    subprocess.run(line, check=True, timeout=180, stdin=subprocess.DEVNULL)
    return next(root.glob("pinflow-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of a fresh environment that holds the wheel, and sees our dependencies but not our
    repository."""
    root = tmp_path_factory.mktemp("installed")
    venv.create(root / "env", with_pip=False, symlinks=True)
    python = root / "env" / "bin" / "python"
    line = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(line, check=True, timeout=120, stdin=subprocess.DEVNULL)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(root / "env")}))
    # A .pth among its own: a folder that it names is searched, but its .pth files (ours, editable) are not.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for tool in ("dagster-webserver", "dagster-daemon"):
        (python.parent / tool).symlink_to(Path(sys.executable).parent / tool)
    return python.parent


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    """Run a program of that environment, from a folder that is not the repository."""
    root = tmp_path_factory.mktemp("elsewhere")
    make_samples(root / "samples", labels=2, per_label=4)
    (root / "collections").mkdir()
    path = root / "samples" / "market"
    (root / "collections" / "shapes.yaml").write_text(SHAPES.format(path=path))
    ours = ("PINFLOW_", "DAGSTER_", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed / name, *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
        )

    return run


def test_the_wheel_holds_every_file_of_the_package_that_is_no_python(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = [path for path in (REPOSITORY / "pinflow").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(REPOSITORY)) for path in ours if "__pycache__" not in path.parts}

    assert wanted <= packed
    assert not [name for name in packed if name.startswith("pinflow_tests")]


def test_it_is_the_wheel_that_is_imported_and_dagster_can_load_it(run, installed):
    code = "import pinflow, pinflow.definitions as d; print(pinflow.__file__, len(d.defs.jobs))"

    done = run("python", "-c", code)

    assert done.returncode == 0, done.stderr
    file, jobs = done.stdout.split()
    assert Path(file).is_relative_to(installed.parent)
    assert int(jobs) == 6


def test_the_command_runs_examines_and_searches(run):
    assert run("pinflow", "--version").stdout.strip() == __version__

    ran = run("pinflow", "run", "shapes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    examined = run("pinflow", "doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    found = run("pinflow", "search", "shapes", "--text", "red disc")
    assert "plain-red" in found.stdout, found.stderr


def test_it_serves_its_own_page_and_files(run):
    code = """
from starlette.testclient import TestClient
from pinflow.releases import LocalReleases
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow.store import open_store
settings = Settings()
releases = Releases(LocalReleases(open_store(settings.storage_url), settings.home_path / "cache"), warm=False)
with TestClient(make_app(releases, settings)) as client:
    for path in ("/", "/docs", "/static/search.js", "/static/base.css"):
        print(path, client.get(path).status_code)
"""
    done = run("python", "-c", code)

    assert done.stdout.splitlines() == [
        f"{path} 200" for path in ("/", "/docs", "/static/search.js", "/static/base.css")
    ], done.stderr
