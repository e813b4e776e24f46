"""`pinflow doctor`: exit code 1, and what to do, whenever something does not work."""

import pytest

from pinflow import registry
from pinflow.settings import Settings
from pinflow.store import open_store


def test_all_is_well_in_a_released_house(pinflow, released):
    said = pinflow("doctor")

    assert said.code == 0, said.out
    assert "FAIL" not in said.out
    assert "ok   device: cpu" in said.out or "ok   device: cuda" in said.out
    assert "ok   weights: tf_efficientnet_lite0" in said.out
    assert "ok   collection shapes: 2 labels, release " in said.out
    assert "up to date" in said.out


def test_a_bad_collection_file_fails_with_the_key_and_the_others_are_still_examined(pinflow, released):
    (released / "collections" / "bad.yaml").write_text("sauce: {kind: folder}\nlabels: [red]\n")

    said = pinflow("doctor")

    assert said.code == 1
    failed = [line for line in said.out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "collection file bad.yaml" in failed[0]
    assert "`sauce`; did you mean `source`?" in failed[0]
    assert "ok   collection shapes" in said.out


def test_an_incomplete_label_fails_with_its_reason_and_the_command_that_tries_again(pinflow, released):
    pinflow("labels", "add", "shapes", "no such folder")
    assert pinflow("run", "shapes").code == 0

    said = pinflow("doctor")

    assert said.code == 1
    failed = [line for line in said.out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "label shapes/no-such-folder: incomplete: " in failed[0]
    assert "pinflow run shapes --label no-such-folder" in failed[0]


def test_a_bad_line_of_a_label_list_is_shown_until_it_is_mended(pinflow, released):
    store = open_store(Settings().storage_url)
    store.write(b"fine\n../../x\n", "label_lists", "shapes", "more.txt")
    pinflow("run", "shapes")

    said = pinflow("doctor")

    assert "fine" in registry.everything(store, "shapes")
    assert said.code == 1
    assert "more.txt, line 2: '../../x' skipped" in said.out


@pytest.mark.parametrize(
    ("storage", "told"),
    [("s3://bucket/prefix", "AWS_ENDPOINT_URL"), ("nonsense://x", "nonsense")],
)
def test_storage_that_cannot_be_reached_fails_and_says_what_to_do(
    pinflow, released, monkeypatch, storage, told
):
    monkeypatch.setenv("PINFLOW_STORAGE", storage)
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)

    said = pinflow("doctor")

    assert said.code == 1
    assert "Traceback" not in said.out + said.err
    failed = next(line for line in said.out.splitlines() if line.startswith("FAIL storage"))
    assert told in failed


def test_no_collection_at_all_fails_and_says_where_one_belongs(pinflow, empty):
    said = pinflow("doctor")

    assert said.code == 1
    assert f"FAIL collections: none in {empty / 'collections'}" in said.out


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, []),
        ({"encoder": {"tune": "full"}}, ["encoder.tune: full"]),
        ({"encoder": {"positives": ["label", "captions"]}}, ["encoder.positives: captions"]),
        ({"source": {"kind": "openverse", "licences": ["cc0"]}}, []),
        ({"attributes": ["school"]}, ["attributes"]),
    ],
)
def test_keys_that_this_version_does_not_follow_are_named(keys, named):
    from pinflow.collection import Collection
    from pinflow.commands.doctor import not_followed

    given = {"source": {"kind": "folder", "path": "x"}, "labels": ["a"], **keys}
    assert not_followed(Collection(name="pets", **given)) == named
