"""Looking at the rooms costs nothing: no heavy library is imported with their modules."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("PIL", "imagehash", "scipy", "umap", "sklearn", "numba", "matplotlib", "torch")


def test_importing_imaging_and_projecting_is_light() -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "for room in ('imaging', 'projecting'):\n"
        "    package = importlib.import_module('pinflow.' + room)\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
