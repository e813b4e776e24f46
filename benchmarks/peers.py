"""The tools that people scrape pictures with today, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Exact, so that a ratio means the same next year: the newest that img2dataset takes (OpenCV under 5,
# albumentations under 2, pandas under 3), wheels for Python 3.11 all.
PACKAGES = (
    "albumentations==1.4.24",
    "gallery-dl==1.32.18",
    "img2dataset==1.47.0",
    "numpy==2.4.6",
    "opencv-python-headless==4.14.0.94",
    "pyarrow==26.0.1",
    "webdataset==0.2.111",
)
# albumentations asks the network for a newer version of itself whenever it is imported.
ENVIRONMENT = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}


def install(folder: Path) -> Path:
    """The `bin` folder of the peers' environment, made where it is not there."""
    wanted = "\n".join(PACKAGES)
    ready = folder / "installed.txt"
    if not ready.is_file() or ready.read_text() != wanted:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        line = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "bin" / "python"]
        subprocess.run([*line, *PACKAGES], check=True)
        ready.write_text(wanted)
    return folder / "bin"


def img2dataset(binaries: Path, urls: Path, count: int, out: Path) -> list[str]:
    """2 processes of 32 threads; the longest side 256 px, never enlarged (as pinflow does); webdataset.

    Shards of a quarter of the pictures, so that both processes have work to the end.
    """
    options = {
        "url_list": urls,
        "input_format": "txt",
        "output_folder": out,
        "output_format": "webdataset",
        "processes_count": 2,
        "thread_count": 32,
        "image_size": 256,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        "number_sample_per_shard": max(1, count // 4),
        "enable_wandb": False,
    }
    return [str(binaries / "img2dataset"), *(f"--{name}={value}" for name, value in options.items())]


def gallery_dl(binaries: Path, urls: Path, count: int, out: Path) -> list[str]:  # noqa: ARG001
    """Direct links, one after the other, as files. It only fetches."""
    return [str(binaries / "gallery-dl"), "--config-ignore", "--quiet", "-D", str(out), "-i", str(urls)]
