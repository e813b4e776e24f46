"""The command line as a whole: what commands there are, how they fail, what they cost to start."""

import subprocess
import sys

import pytest

from pinflow import __version__

COMMANDS = {"run", "labels", "purge", "search", "export", "serve", "up", "doctor", "demo"}


def test_help_lists_the_commands_that_exist_and_no_others(pinflow):
    from pinflow.cli import app

    assert {command.name or command.callback.__name__ for command in app.registered_commands} | {
        group.name for group in app.registered_groups
    } == COMMANDS
    said = pinflow("--help")
    assert said.code == 0
    for command in COMMANDS:
        assert f" {command} " in said.out


def test_version(pinflow):
    said = pinflow("--version")

    assert (said.code, said.out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("run",),
        ("search", "shapes", "--limit", "0"),
        ("search", "shapes", "--image", "no/such/file.jpg"),
        ("run", "nothing_of_the_kind"),
        ("search", "../../etc", "--text", "red"),
        ("labels", "list", "nothing_of_the_kind"),
    ],
)
def test_bad_usage_is_exit_code_2_with_no_traceback(pinflow, empty, arguments):
    said = pinflow(*arguments)

    assert said.code == 2
    assert said.err.strip()
    assert "Traceback" not in said.err


def test_a_home_that_cannot_be_written_is_one_clear_line(pinflow, empty, monkeypatch):
    (empty / "a_file").write_text("in the way")
    (empty / "collections" / "shapes.yaml").write_text("source: {kind: folder, path: x}\nlabels: [red]\n")
    monkeypatch.setenv("PINFLOW_HOME", str(empty / "a_file" / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(empty / "a_file" / "home" / "dagster"))

    said = pinflow("run", "shapes")

    assert said.code == 1
    assert len(said.err.strip().splitlines()) == 1
    assert "a_file" in said.err
    assert "PINFLOW_HOME" in said.err


def test_asking_for_help_loads_nothing_heavy():
    heavy = ("torch", "faiss", "umap", "sklearn", "scrapy", "dagster", "fastapi", "pandas")
    code = (
        "import sys; from pinflow.cli import main; sys.argv = ['pinflow', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]; assert not loaded, loaded"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
