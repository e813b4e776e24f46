"""A disk that is really full: the run says so and keeps what it had; with room again it goes on."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinflow.errors import StoreError
from pinflow.sample.made import make_samples
from pinflow.store import Store
from pinflow_tests.pipeline.houses import Tiny

pytestmark = pytest.mark.system

_libc = ctypes.CDLL(None, use_errno=True)
_REMOUNT, _DETACH = 32, 2


def mount(folder: Path, size: str, flags: int = 0) -> None:
    """A file system of its own in memory. Skips where this user may not mount one."""
    if _libc.mount(b"tmpfs", bytes(folder), b"tmpfs", flags, f"size={size}".encode()):
        pytest.skip(f"a disk of {size} cannot be mounted here: {os.strerror(ctypes.get_errno())}")


def leave(room: int, disk: Path) -> None:
    """Fill the disk until so many bytes are free."""
    (disk / "filler").unlink(missing_ok=True)
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - room))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for 1 MiB."""
    folder = tmp_path / "house" / "home" / "storage"
    folder.mkdir(parents=True)
    mount(folder, "1m")
    yield folder
    _libc.umount2(bytes(folder), _DETACH)


def test_a_full_disk_is_named_and_leaves_the_old_state_and_no_temporary_file(disk: Path):
    store = Store(str(disk))
    store.write(b"old", "shop", "CURRENT")
    kept = store.put("shop", os.urandom(600_000))
    with pytest.raises(
        StoreError, match=r"no space left writing .*: free some and run again; nothing is half"
    ):
        store.put("shop", os.urandom(600_000))
    with pytest.raises(StoreError, match=r"no space left"):
        store.write(os.urandom(600_000), "shop", "CURRENT")
    assert store.read("shop", "CURRENT") == b"old"
    assert store.missing("shop", [kept]) == set()
    assert [path for path in disk.rglob(".*") if path.is_file()] == []
    store.write(b"new", "shop", "CURRENT")
    assert store.read("shop", "CURRENT") == b"new"


def test_a_run_on_a_full_disk_says_so_and_is_finished_once_there_is_room(disk: Path, tmp_path: Path):
    make_samples(tmp_path / "pictures", labels=2, per_label=4)
    shutil.copytree(tmp_path / "pictures", tmp_path / "house" / "pictures")
    house = Tiny(tmp_path / "house", queries=["plain red", "plain green"])
    for room in (60_000, 400_000):  # enough for the labels, then for the first stages
        leave(room, disk)
        ran = house.run()
        assert ran.failed
        assert all("no space left writing" in error for error in ran.failed.values()), ran.failed
        assert [path for path in disk.rglob(".*") if path.is_file()] == []
        assert house.current() is None
    assert house.snapshot.manifests("pins").keys() == {"plain-red", "plain-green"}
    (disk / "filler").unlink()
    mount(disk, "64m", _REMOUNT)
    ran = house.run()
    assert ran.failed == {}
    assert set(house.release()["labels"]) == {"plain-red", "plain-green"}
    assert [path for path in disk.rglob(".*") if path.is_file()] == []
    house.instance.dispose()
