"""How every benchmark ends: a table for a person, and one JSON line for a machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("dagster", "torch", "timm", "faiss-cpu", "umap-learn", "scrapy", "pyarrow")


def conditions(**more: Any) -> dict[str, Any]:
    """What a reader needs to compare figures: machine, versions, how busy it was."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(value, 1) for value in os.getloadavg()],
        "packages": {name: version(name) for name in PACKAGES},
        **more,
    }


def finish(name: str, ratios: Mapping[str, float], figures: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Print the figures, then the line of JSON, also returned. A ratio: how many times better pinflow is."""
    for key, value in {**{f"vs {peer}": ratio for peer, ratio in ratios.items()}, **figures}.items():
        print(f"{key:<44} {value:.3f}" if isinstance(value, float) else f"{key:<44} {value}")
    line = {"name": name, "ratios": dict(ratios), "figures": dict(figures), "conditions": conditions(**more)}
    print(json.dumps(line, sort_keys=True))
    return line


def record(line: Mapping[str, Any], command: str) -> None:
    """Keep the figures of a full run."""
    path = RESULTS / f"{line['name']}.json"
    path.write_text(json.dumps({"command": command, **line}, indent=1, sort_keys=True))
