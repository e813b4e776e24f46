"""Releases: immutable, published by one pointer swap, fetched whole or not at all; on a disk and on S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pinflow import releases
from pinflow.errors import CorruptError, StoreError
from pinflow.releases import KEPT, LocalReleases, current, describe, publish
from pinflow.store import File, Store
from pinflow_tests.storages import flip, place

DESCRIPTION: dict[str, Any] = {"description": "Shoes", "labels": {"red-shoes": {"pictures": 3}}}


def files(store: Store, number: int = 0) -> dict[str, File]:
    return {
        "gallery.faiss": store.put_file("shop", f"index {number}".encode()),
        "labels/red-shoes/index.json": store.put_file("shop", b"{}"),
    }


def test_before_the_first_release_there_is_none(store: Store):
    assert current(store, "shop") is None
    assert LocalReleases(store, Path("unused")).collections() == []


def test_a_release_describes_itself_and_names_its_files(store: Store):
    name = publish(store, "shop", DESCRIPTION, files(store))
    assert current(store, "shop") == name
    content = describe(store, "shop", name)
    assert (content["id"], content["collection"]) == (name, "shop")
    assert content["labels"] == DESCRIPTION["labels"]
    assert content["files"]["gallery.faiss"]["sha256"] == files(store)["gallery.faiss"].sha256


def test_the_same_content_is_the_same_release_and_writes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    name = publish(store, "shop", DESCRIPTION, files(store))
    again = files(store)
    written: list[tuple[str, ...]] = []
    monkeypatch.setattr(store, "write", lambda data, *parts: written.append(parts))
    assert publish(store, "shop", DESCRIPTION, again) == name
    assert written == []


def test_other_content_is_another_release_and_the_pointer_moves(store: Store):
    first = publish(store, "shop", DESCRIPTION, files(store))
    second = publish(store, "shop", DESCRIPTION, files(store, 1))
    third = publish(store, "shop", {**DESCRIPTION, "description": "Boots"}, files(store, 1))
    assert len({first, second, third}) == 3
    assert current(store, "shop") == third


def test_the_pointer_is_written_last(store: Store, monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    original, named = store.write, files(store)
    monkeypatch.setattr(
        store, "write", lambda data, *parts: (written.append(parts[-1]), original(data, *parts))
    )
    publish(store, "shop", DESCRIPTION, named)
    assert written == ["release.json", "CURRENT"]


def test_a_release_whose_files_are_not_all_stored_is_not_published(store: Store):
    first = publish(store, "shop", DESCRIPTION, files(store))
    lost = {**files(store, 1), "map.png": File("0" * 64, 10)}
    with pytest.raises(CorruptError, match=r"no release of shop, the last one stays: map\.png .*materialise"):
        publish(store, "shop", DESCRIPTION, lost)
    assert current(store, "shop") == first


def test_the_last_few_releases_are_kept_and_can_be_gone_back_to(store: Store, tmp_path: Path):
    """More releases than are kept, twice over: retiring must not stumble over what it retired before."""
    names = [publish(store, "shop", DESCRIPTION, files(store, n)) for n in range(2 * KEPT + 2)]
    kept = {path.split("/")[0] for path in store.documents("shop", "releases")}
    assert len(kept) == KEPT
    assert current(store, "shop") == names[-1]
    assert names[-1] in kept
    with pytest.raises(StoreError, match=f"shop has no release {min(set(names) - kept)}"):
        describe(store, "shop", min(set(names) - kept))
    for name in kept:
        assert LocalReleases(store, tmp_path).fetch("shop", name).is_dir()


def test_a_damaged_release_is_a_clear_error_and_mended_by_publishing_again(store: Store):
    for damage in [b"", b"{", b"[]", b'{"id": "another"}', b"\xff"]:
        name = publish(store, "shop", DESCRIPTION, files(store))
        store.write(damage, "shop", "releases", name, "release.json")
        with pytest.raises(CorruptError, match=rf"shop/releases/{name}/release\.json .*publish again"):
            describe(store, "shop", name)
        assert publish(store, "shop", DESCRIPTION, files(store)) == name
        assert describe(store, "shop", name)["id"] == name


def test_a_damaged_pointer_is_a_clear_error_and_mended_by_publishing_again(store: Store):
    for damage in [b"", b"../../etc", b"\xff\xfe", b"0123456789abcdef/.."]:
        name = publish(store, "shop", DESCRIPTION, files(store))
        store.write(damage, "shop", "CURRENT")
        with pytest.raises(CorruptError, match=r"shop/CURRENT is damaged: .*publish again"):
            current(store, "shop")
        assert publish(store, "shop", DESCRIPTION, files(store)) == name
        assert current(store, "shop") == name


# Local copies


def test_a_local_copy_holds_every_file_of_the_release(store: Store, tmp_path: Path):
    local = LocalReleases(store, tmp_path / "cache")
    name = publish(store, "shop", DESCRIPTION, files(store))
    assert local.collections() == ["shop"]
    assert local.current("shop") == name
    folder = local.fetch("shop", name)
    assert (folder / "gallery.faiss").read_bytes() == b"index 0"
    assert (folder / "labels/red-shoes/index.json").read_bytes() == b"{}"
    assert json.loads((folder / "release.json").read_text())["id"] == name


def test_a_copy_is_made_once(store: Store, tmp_path: Path):
    local = LocalReleases(store, tmp_path / "cache")
    name = publish(store, "shop", DESCRIPTION, files(store))
    folder = local.fetch("shop", name)
    for path in store.objects("shop", "blobs"):
        store.delete("shop", "blobs", *path.split("/")[-3:])
    assert local.fetch("shop", name) == folder


def test_a_copy_is_verified_and_a_half_fetched_one_is_never_seen(store: Store, tmp_path: Path):
    local = LocalReleases(store, tmp_path / "cache")
    named = files(store)
    name = publish(store, "shop", DESCRIPTION, named)
    flip(store, named["gallery.faiss"].sha256)
    with pytest.raises(CorruptError, match="materialise its stage again"):
        local.fetch("shop", name)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    files(store)
    assert (local.fetch("shop", name) / "gallery.faiss").read_bytes() == b"index 0"


def test_a_release_that_names_a_file_outside_its_folder_is_refused(store: Store, tmp_path: Path):
    for path in ["../escape", "/tmp/escape", "a/../../escape", "", ".", "labels/../.."]:
        name = publish(store, "shop", DESCRIPTION, {path: files(store)["gallery.faiss"]})
        with pytest.raises(CorruptError, match="names a file outside its folder"):
            LocalReleases(store, tmp_path / "cache").fetch("shop", name)
        assert [one for one in tmp_path.rglob("*escape*") if one.is_file()] == []
        assert not Path("/tmp/escape").exists()


def test_a_release_id_that_is_none_is_refused(store: Store, tmp_path: Path):
    for name in ["..", "../../etc", "", "ABCDEF0123456789", "0123456789abcdef0"]:
        with pytest.raises(StoreError, match="no release id"):
            LocalReleases(store, tmp_path / "cache").fetch("shop", name)


def test_an_unknown_release_is_a_clear_error(store: Store, tmp_path: Path):
    with pytest.raises(StoreError, match="shop has no release 0123456789abcdef"):
        LocalReleases(store, tmp_path / "cache").fetch("shop", "0123456789abcdef")


def test_two_processes_that_fetch_at_once_both_get_the_whole_release(store: Store, tmp_path: Path):
    named = {f"file-{n}": store.put_file("shop", os.urandom(20_000)) for n in range(20)}
    name = publish(store, "shop", DESCRIPTION, named)
    code = (
        "import sys; from pathlib import Path; from pinflow.releases import LocalReleases;"
        "from pinflow.store import Store\n"
        "url, cache, name = sys.argv[1:]; local = LocalReleases(Store(url), Path(cache))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(sum(path.is_file() for path in local.fetch('shop', name).iterdir()))"
    )
    command = [sys.executable, "-c", code, store.url, str(tmp_path / "cache"), name]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [one.stdout.readline() for one in both if one.stdout] == ["ready\n"] * 3
    for one in both:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    assert [one.communicate(timeout=60)[0] for one in both] == ["21\n"] * 3
    assert [path.name for path in (tmp_path / "cache" / "shop").iterdir()] == [name]


def test_old_copies_and_those_of_dead_processes_go(tmp_path: Path):
    store = Store(str(tmp_path / "storage"))
    local = LocalReleases(store, tmp_path / "cache")
    dead = tmp_path / "cache" / "shop" / ".0123456789abcdef.xyz"
    dead.mkdir(parents=True)
    alive = dead.with_name(".0123456789abcdef.now")
    alive.mkdir()
    os.utime(dead, (time.time() - 2 * releases.ABANDONED_SECONDS,) * 2)
    names = []
    for n in range(KEPT + 2):
        names.append(publish(store, "shop", DESCRIPTION, files(store, n)))
        folder = local.fetch("shop", names[-1])
        os.utime(folder, (1000.0 + n,) * 2)
    found = {path.name for path in (tmp_path / "cache" / "shop").iterdir()}
    assert found == {*names[-KEPT:], alive.name}


def test_a_cache_that_cannot_be_written_is_a_clear_error(store: Store, tmp_path: Path):
    (tmp_path / "cache").write_text("a file")
    name = publish(store, "shop", DESCRIPTION, files(store))
    with pytest.raises(StoreError, match=f"no local copy of release {name} in .*cache"):
        LocalReleases(store, tmp_path / "cache").fetch("shop", name)


def test_a_sweep_never_takes_what_a_kept_release_names(store: Store, tmp_path: Path):
    name = publish(store, "shop", DESCRIPTION, files(store))
    stranger = store.put("shop", b"nobody's")
    assert store.sweep("shop", age_seconds=-1) == 1
    assert not store.exists(*place(stranger))
    assert LocalReleases(store, tmp_path).fetch("shop", name).is_dir()
