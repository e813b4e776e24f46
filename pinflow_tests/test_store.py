"""The storage suite: what holds on a disk holds on S3, and what goes wrong says what to do."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest

from pinflow.errors import CorruptError, StoreError
from pinflow.objects import Objects
from pinflow.store import REFERRING, File, Manifest, Store, digest, open_store, table_bytes
from pinflow_tests.storages import CREDENTIALS, flip, manifest, place, table

NOW = -1.0  # an age that everything has


# Objects


def test_an_object_is_read_as_it_was_written(store: Store):
    store.write(b"\x00one", "shop", "labels", "red.json")
    assert store.read("shop", "labels", "red.json") == b"\x00one"
    assert store.exists("shop", "labels", "red.json")


def test_an_object_that_was_never_written_is_not_found(store: Store):
    with pytest.raises(FileNotFoundError):
        store.read("shop", "nothing")
    assert not store.exists("shop", "nothing")
    assert store.age("shop", "nothing") is None
    assert store.names("shop") == []
    assert store.objects("shop") == {}
    assert store.documents("shop") == {}


def test_an_object_has_an_age(store: Store):
    store.write(b"1", "shop", "CURRENT")
    age = store.age("shop", "CURRENT")
    assert age is not None
    assert abs(age) < 60


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(store: Store):
    store.write(b"1", "shop", "CURRENT")
    store.delete("shop", "CURRENT")
    store.delete("shop", "CURRENT")
    assert not store.exists("shop", "CURRENT")


def test_names_are_those_directly_below_and_no_temporary_ones(store: Store):
    for parts in (("shop", "b", "1"), ("shop", "a"), ("shop", ".a.123.tmp"), ("market", "c")):
        store.write(b"1", *parts)
    assert store.names("shop") == ["a", "b"]
    assert store.names() == ["market", "shop"]


def test_a_reader_sees_the_old_object_or_the_new_one_never_a_mixture(store: Store):
    old, new = b"a" * 300_000, b"b" * 500_000
    store.write(old, "shop", "CURRENT")
    done = threading.Event()

    def write() -> None:
        for turn in range(12):
            store.write(new if turn % 2 else old, "shop", "CURRENT")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(hashlib.sha256(store.read("shop", "CURRENT")).hexdigest())
    writer.join()
    assert seen <= {hashlib.sha256(data).hexdigest() for data in (old, new)}


def test_writing_leaves_no_temporary_file(tmp_path: Path):
    Store(str(tmp_path)).write(b"1", "shop", "CURRENT")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["CURRENT"]


def test_many_keeps_the_order_and_raises_what_the_work_raises(store: Store):
    assert store.many(lambda n: n * n, range(100)) == [n * n for n in range(100)]
    assert store.many(lambda n: n, []) == []
    with pytest.raises(FileNotFoundError):
        store.many(lambda name: store.read("shop", name), ["x", "y"])


# Documents: many small objects, cached


def test_documents_are_all_small_objects_below_a_folder(store: Store):
    for n in range(40):
        store.write(str(n).encode(), "shop", "pins", f"label-{n}", "manifest.json")
    store.write(b"not here", "shop", "images", "label-1", "manifest.json")
    found = store.documents("shop", "pins")
    assert len(found) == 40
    assert found["label-7/manifest.json"] == b"7"


def test_documents_see_every_change_even_of_the_same_size_within_the_same_second(url: str):
    reader, writer = Store(url), Store(url)
    for n in range(30):
        data = f"{n:04d}".encode()
        writer.write(data, "shop", "labels", "red.json")
        assert reader.documents("shop", "labels") == {"red.json": data}
        assert writer.documents("shop", "labels") == {"red.json": data}


def test_documents_see_what_was_added_and_removed(url: str):
    reader, writer = Store(url), Store(url)
    writer.write(b"1", "shop", "labels", "red.json")
    writer.write(b"2", "shop", "labels", "blue.json")
    assert set(reader.documents("shop", "labels")) == {"red.json", "blue.json"}
    writer.delete("shop", "labels", "red.json")
    assert set(reader.documents("shop", "labels")) == {"blue.json"}


def test_documents_read_again_only_what_changed(store: Store, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        store.write(b"1", "shop", "labels", name)
    store.documents("shop", "labels")
    read: list[str] = []
    original = Objects._read
    monkeypatch.setattr(Objects, "_read", lambda self, path: (read.append(path), original(self, path))[1])
    store.write(b"2", "shop", "labels", "b")
    assert store.documents("shop", "labels")["b"] == b"2"
    assert [path.rsplit("/", 1)[-1] for path in read] == ["b"]


def test_names_with_brackets_and_stars_are_names_not_patterns(store: Store):
    """A label list may be called anything."""
    for name in ("fruits[1].txt", "a*.txt", "what?.txt", "äöü 食.txt"):
        store.write(name.encode(), "label_lists", "shop", name)
    found = store.documents("label_lists", "shop")
    assert {name: data.decode() for name, data in found.items()} == {name: name for name in found}
    assert len(found) == 4
    assert store.read("label_lists", "shop", "fruits[1].txt") == b"fruits[1].txt"


def test_a_stamp_changes_whenever_the_object_does(store: Store):
    stamps = []
    for n in range(10):
        store.write(str(n).encode(), "label_lists", "shop", "list.txt")
        stamps += store.objects("label_lists", "shop").values()
    assert len(set(stamps)) == 10


# Blobs


def test_the_same_bytes_are_stored_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    name = store.put("shop", b"picture")
    written: list[tuple[str, ...]] = []
    monkeypatch.setattr(store, "write", lambda data, *parts: written.append(parts))
    assert store.put("shop", b"picture") == name == hashlib.sha256(b"picture").hexdigest()
    assert written == []
    assert len(store.objects("shop")) == 1


def test_a_blob_is_in_its_collection_alone(store: Store):
    name = store.put("shop", b"picture")
    assert store.has("shop", name)
    assert not store.has("market", name)


def test_missing_names_those_that_are_not_stored(store: Store):
    names = [store.put("shop", str(n).encode()) for n in range(50)]
    lost = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(50, 60)]
    assert store.missing("shop", [*names, *lost]) == set(lost)


def test_an_empty_and_a_large_blob_come_back_whole(store: Store):
    for data in (b"", os.urandom(6_000_000)):
        assert store.get("shop", store.put("shop", data)) == data


def test_a_damaged_blob_is_an_error_and_removed_so_that_it_can_be_made_again(store: Store):
    name = store.put("shop", b"a picture of a shoe")
    flip(store, name)
    with pytest.raises(CorruptError, match=r"damaged and is removed: materialise its stage again"):
        store.get("shop", name)
    assert not store.has("shop", name)
    store.put("shop", b"a picture of a shoe")
    assert store.get("shop", name) == b"a picture of a shoe"


def test_a_missing_blob_is_an_error_that_says_what_to_do(store: Store):
    with pytest.raises(CorruptError, match="is missing: materialise its stage again"):
        store.get("shop", "0" * 64)


def test_two_who_find_the_same_damage_both_get_the_same_error(store: Store):
    name = store.put("shop", b"a picture of a shoe")
    flip(store, name)

    def look(_: int) -> str:
        try:
            store.get("shop", name)
        except CorruptError as error:
            return str(error)
        return "fine"

    assert all("materialise its stage again" in told for told in store.many(look, range(8)))


# Tables


def test_the_same_table_gives_the_same_bytes_however_it_was_chunked():
    whole = table(100)
    pieces = pa.concat_tables([whole.slice(0, 33), whole.slice(33)])
    assert table_bytes(whole) == table_bytes(whole) == table_bytes(pieces)
    assert table_bytes(whole) != table_bytes(table(99))


def test_the_same_table_gives_the_same_bytes_in_another_process():
    code = "from pinflow_tests.storages import table; from pinflow.store import table_bytes; import hashlib\n"
    code += "print(hashlib.sha256(table_bytes(table(100))).hexdigest())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == hashlib.sha256(table_bytes(table(100))).hexdigest()


def test_a_table_comes_back_equal_and_by_column(store: Store):
    state = store.commit(manifest({"table.parquet": store.put_table("shop", table(7))}))
    assert store.table(state, "table.parquet").equals(table(7))
    assert store.table(state, "table.parquet", columns=["x"]).column_names == ["x"]
    assert state.rows == 7


# Manifests


def test_a_state_is_visible_only_once_it_is_committed(store: Store):
    drafted = manifest({"table.parquet": store.put_table("shop", table())})
    assert store.manifest("shop", "splits", "red-shoes") is None
    committed = store.commit(drafted)
    assert store.manifest("shop", "splits", "red-shoes") == committed
    assert committed.written_at


def test_the_manifest_is_written_last(store: Store, monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    original = store.write
    monkeypatch.setattr(
        store, "write", lambda data, *parts: (written.append(parts[-1]), original(data, *parts))
    )
    store.commit(manifest({"table.parquet": store.put_table("shop", table())}))
    assert len(written) == 2
    assert written[-1] == "manifest.json"


def test_all_manifests_of_a_stage_come_at_once(store: Store):
    for n in range(30):
        store.commit(manifest({}, label=f"label-{n}", version=str(n)))
    store.commit(manifest({}, stage="gallery", label=None))
    found = store.manifests("shop", "splits")
    assert {label: one.version for label, one in found.items()} == {f"label-{n}": str(n) for n in range(30)}
    assert store.manifests("shop", "gallery") == {}  # a roll-up has no labels


def test_a_manifest_survives_a_round_trip():
    one = Manifest(
        "shop", "pins", "red", "v", "r", {"a": {"b": "c"}}, {"f": File("0" * 64, 3, 2)}, {"n": 1}, reason="é"
    )
    assert Manifest.from_json(one.to_json(), "here") == one


def test_a_damaged_manifest_is_a_clear_error_alone_and_counts_as_missing_among_many(store: Store):
    for damage in [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"files": {}}',
        b'{"files": {"a": 1}}',
        b"\xff\xfe",
        b'{"files": []}',
    ]:
        good = store.commit(manifest({}, label="blue-shoes"))
        store.write(damage, "shop", "splits", "red-shoes", "manifest.json")
        with pytest.raises(
            CorruptError, match=r"shop/splits/red-shoes/manifest\.json is damaged .* materialise"
        ):
            store.manifest("shop", "splits", "red-shoes")
        assert store.manifests("shop", "splits") == {"blue-shoes": good}
        store.commit(manifest({}))
        assert set(store.manifests("shop", "splits")) == {"blue-shoes", "red-shoes"}


def test_a_state_whose_file_is_damaged_is_forgotten_so_that_it_is_made_again(store: Store):
    state = store.commit(manifest({"table.parquet": store.put_table("shop", table())}))
    flip(store, state.files["table.parquet"].sha256)
    with pytest.raises(CorruptError, match=r"shop/splits/red-shoes, table\.parquet: .* materialise"):
        store.table(state, "table.parquet")
    assert store.manifest("shop", "splits", "red-shoes") is None


def test_a_state_whose_table_is_no_parquet_is_forgotten(store: Store):
    state = store.commit(manifest({"table.parquet": store.put_file("shop", b"PAR1 not really PAR1")}))
    with pytest.raises(CorruptError, match=r"table\.parquet: not Parquet .*materialise it again"):
        store.table(state, "table.parquet")
    assert store.manifest("shop", "splits", "red-shoes") is None


def test_damage_found_by_a_late_reader_does_not_undo_a_newer_state(store: Store):
    old = store.commit(manifest({"table.parquet": store.put_table("shop", table(3))}))
    new = store.commit(manifest({"table.parquet": store.put_table("shop", table(4))}, version="v2"))
    flip(store, old.files["table.parquet"].sha256)
    with pytest.raises(CorruptError):
        store.table(old, "table.parquet")
    assert store.manifest("shop", "splits", "red-shoes") == new


def test_the_digest_of_content_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


# Sweeping


def test_a_sweep_removes_what_nothing_names_once_it_is_old(store: Store):
    kept = store.put_file("shop", b"named")
    store.commit(manifest({"a": kept}))
    store.put("shop", b"nobody's")
    assert store.sweep("shop") == 0  # young: it may belong to a run in flight
    assert store.sweep("shop", age_seconds=NOW) == 1
    assert store.get("shop", kept.sha256) == b"named"
    assert store.sweep("shop", age_seconds=NOW) == 0


def test_a_sweep_keeps_what_manifests_previews_and_releases_name(store: Store):
    names = [store.put("shop", str(n).encode()) for n in range(4)]
    shown = {"preview": {"sha256": names[1], "bytes": 1}}
    store.commit(
        Manifest("shop", "atlas", None, "v", "r", {}, {"map.png": File(names[0], 1)}, {}, stats=shown)
    )
    release = {"id": "r", "files": {"gallery.faiss": {"sha256": names[2], "bytes": 1}}}
    store.write(json.dumps(release).encode(), "shop", "releases", "r", "release.json")
    assert store.sweep("shop", age_seconds=NOW) == 1
    assert store.missing("shop", names) == {names[3]}


def test_a_sweep_keeps_the_original_pictures_that_a_table_of_pins_names(store: Store):
    pictures = [store.put("shop", f"picture {n}".encode()) for n in range(3)]
    stranger = store.put("shop", b"of a label that is gone")
    pins = pa.table({"id": ["1", "2", "3", "4"], "sha256": [*pictures, None]})
    store.commit(manifest({REFERRING: store.put_table("shop", pins)}, stage="pins"))
    assert store.sweep("shop", age_seconds=NOW) == 1
    assert store.missing("shop", [*pictures, stranger]) == {stranger}


@pytest.mark.parametrize(
    "where",
    [("splits", "blue", "manifest.json"), ("releases", "x", "release.json")],
    ids=["state", "release"],
)
def test_a_sweep_refuses_where_something_damaged_may_name_anything(store: Store, where: tuple[str, ...]):
    store.put("shop", b"perhaps named")
    store.write(b'{"files": {"a": {"sha', "shop", *where)
    with pytest.raises(CorruptError, match=r"/".join(where) + ".*nothing swept"):
        store.sweep("shop", age_seconds=NOW)
    assert len(store.objects("shop", "blobs")) == 1


def test_a_sweep_refuses_where_a_table_of_pins_is_damaged(store: Store):
    state = store.commit(manifest({REFERRING: store.put_table("shop", table())}, stage="pins"))
    picture = store.put("shop", b"picture")
    flip(store, state.files[REFERRING].sha256)
    with pytest.raises(CorruptError):
        store.sweep("shop", age_seconds=NOW)
    assert store.has("shop", picture)


def test_a_sweep_leaves_other_collections_alone(store: Store):
    store.put("shop", b"1")
    other = store.put("market", b"1")
    assert store.sweep("shop", age_seconds=NOW) == 1
    assert store.has("market", other)


def test_a_sweep_takes_the_temporary_files_of_the_killed_once_they_are_old(tmp_path: Path):
    store = Store(str(tmp_path))
    store.commit(manifest({}))
    torn = tmp_path / "shop" / "splits" / "red-shoes" / ".manifest.json.77.ab"
    torn.write_bytes(b"{")
    fresh = tmp_path / "shop" / "blobs" / ".abc.78.cd"
    fresh.parent.mkdir()
    fresh.write_bytes(b"1")
    os.utime(torn, (time.time() - 90_000,) * 2)
    assert store.sweep("shop") == 1
    assert fresh.exists()
    assert not torn.exists()
    assert store.manifest("shop", "splits", "red-shoes") is not None


def test_an_old_blob_that_is_put_again_is_young_again(tmp_path: Path):
    """Else a sweep could take it before the manifest that is about to name it."""
    store = Store(str(tmp_path))
    name = store.put("shop", b"made again")
    os.utime(tmp_path.joinpath(*place(name)), (time.time() - 90_000,) * 2)
    store.put("shop", b"made again")
    assert store.sweep("shop") == 0
    assert store.has("shop", name)


# What goes wrong


def test_a_full_disk_is_a_clear_error_that_leaves_the_old_state_and_no_temporary_file(tmp_path: Path):
    """The kernel's own limit on file sizes stops the write half-way, as a full disk does."""
    store = Store(str(tmp_path))
    store.write(b"old", "shop", "CURRENT")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            StoreError, match=r"no space left writing .*/shop/CURRENT: free some and run again"
        ):
            store.write(b"n" * 200_000, "shop", "CURRENT")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["CURRENT"]
    assert store.read("shop", "CURRENT") == b"old"


def test_a_storage_that_is_a_file_is_a_clear_error(tmp_path: Path):
    (tmp_path / "storage").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot write .*/storage/shop/CURRENT.*PINFLOW_STORAGE"):
        Store(str(tmp_path / "storage")).write(b"1", "shop", "CURRENT")


@pytest.mark.parametrize("address", ["nope://x/y", "s4://bucket/x"])
def test_an_unknown_kind_of_storage_is_a_clear_error(address: str):
    with pytest.raises(StoreError, match=address):
        Store(address)


CALLS = {
    "read": lambda store: store.read("shop", "CURRENT"),
    "write": lambda store: store.write(b"1", "shop", "CURRENT"),
    "exists": lambda store: store.exists("shop", "CURRENT"),
    "names": lambda store: store.names("shop"),
    "documents": lambda store: store.documents("shop"),
    "delete": lambda store: store.delete("shop", "CURRENT"),
    "put": lambda store: store.put("shop", b"1"),
    "missing": lambda store: store.missing("shop", ["0" * 64, "1" * 64]),
    "manifest": lambda store: store.manifest("shop", "pins", "red"),
    "manifests": lambda store: store.manifests("shop", "pins"),
    "sweep": lambda store: store.sweep("shop"),
}


@pytest.mark.parametrize("call", ["read", "put", "manifests"])
def test_an_unreachable_s3_is_a_clear_error_within_seconds(call: str, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(name, value)
    store = Store("s3://bucket/house")
    started = time.monotonic()
    with pytest.raises(
        StoreError, match=r"s3://bucket/house.*AWS_ENDPOINT_URL, the credentials and the network"
    ):
        CALLS[call](store)
    assert time.monotonic() - started < 10


def test_a_bucket_that_does_not_exist_is_a_clear_error_not_an_empty_storage(s3: str):
    store = Store("s3://no-such-bucket/house")
    for name in CALLS.keys() - {"exists", "missing"}:
        with pytest.raises(StoreError, match="bucket does not exist: create it, or correct PINFLOW_STORAGE"):
            CALLS[name](store)


def test_wrong_credentials_are_a_clear_error(s3: str, s3_server: str):
    def check_credentials_after(requests: int) -> None:
        plain = {"Content-Type": "text/plain"}
        address = f"{s3_server}/moto-api/reset-auth"
        request = urllib.request.Request(address, str(requests).encode(), plain, method="POST")
        urllib.request.urlopen(request).close()

    store = Store(s3)
    check_credentials_after(0)
    try:
        for call in CALLS.values():
            with pytest.raises(StoreError, match=r"s3://.*credentials"):
                call(store)
    finally:
        check_credentials_after(10**9)


def test_one_store_a_url_is_shared_in_a_process(tmp_path: Path):
    assert open_store(str(tmp_path)) is open_store(str(tmp_path))


def test_adopted_bytes_are_blobs(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "storage"))
    files = {hashlib.sha256(body).hexdigest(): body for body in (b"one", b"two")}
    store.adopt("c", files)
    store.adopt("c", files)
    assert [store.get("c", sha256) for sha256 in files] == [b"one", b"two"]
    assert list((tmp_path / "storage").rglob(".*")) == []


def test_damaged_bytes_are_not_adopted(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "storage"))
    with pytest.raises(CorruptError, match="damaged"):
        store.adopt("c", {"0" * 64: b"something else"})
    assert not store.has("c", "0" * 64)


def test_what_is_erased_is_unnamed_and_given_or_old_enough(store: Store):
    used, given, old = (store.put_file("shop", data) for data in (b"used", b"given", b"old"))
    store.commit(manifest({"a.bin": used}))
    until = store.written(*place(old.sha256))
    assert store.erase("shop", {used.sha256, given.sha256}, until=0) == 1
    assert store.missing("shop", [used.sha256, given.sha256, old.sha256]) == {given.sha256}
    assert store.erase("shop", (), until=until) == 1
    assert store.missing("shop", [used.sha256, old.sha256]) == {old.sha256}
    assert store.written(*place(old.sha256)) == 0
