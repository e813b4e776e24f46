"""Collection files: what a user declares, and how a mistake is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinflow.collection import Collection, Source, load, read
from pinflow.errors import CollectionError

GOOD = "source: {kind: pinterest}\nlabels: [red sneakers]\n"
OPEN = "source: {{kind: openverse, licences: [{}]}}\nlabels: [a]\n"


def write(folder: Path, text: str, name: str = "shoes.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def error_of(folder: Path, text: str, name: str = "shoes.yaml") -> str:
    with pytest.raises(CollectionError) as caught:
        read(write(folder, text, name))
    assert str(folder / name) in str(caught.value)
    return str(caught.value)


def test_labels_alone_are_looked_for_among_openly_licensed_pictures(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text("labels: [dogs, cats]\n")
    assert read(path).source.kind == "openverse"


def test_the_smallest_file_is_a_source_and_labels(tmp_path):
    collection = read(write(tmp_path, GOOD))
    assert (collection.name, collection.labels) == ("shoes", ["red sneakers"])
    assert collection.encoder.trunk == "tf_efficientnet_lite0"
    assert collection.rescrape == "0 3 * * *"


def test_the_collections_of_the_repository_are_good():
    found = load(Path(__file__).parent.parent / "collections")
    assert found.bad == {}
    assert {"market", "shop"} <= set(found.good)


def test_licences_are_known_however_people_write_them(tmp_path):
    text = OPEN.format("CC BY-SA 4.0, cc-by, by_nc, CC0, public domain mark")
    assert read(write(tmp_path, text)).source.licences == ["by-sa", "by", "by-nc", "cc0", "pdm"]


def test_boards_of_ones_own_may_all_be_labels(tmp_path):
    text = "source: {kind: pinterest, base_url: 'https://api.pinterest.com/v5'}\nlabels: all\n"
    assert read(write(tmp_path, text)).labels == "all"


@pytest.mark.parametrize(
    ("kind", "url", "official"),
    [
        ("pinterest", "https://api.pinterest.com/v5", True),
        ("pinterest", "http://127.0.0.1:8765/v5/", True),
        ("pinterest", "http://127.0.0.1:8765", False),
        ("pinterest", "http://[/v5x", False),
        ("pinterest", None, False),
        ("openverse", "http://127.0.0.1:8765/v5", False),
    ],
)
def test_the_official_api_of_pinterest_is_known_by_its_address(kind, url, official):
    assert Source(kind=kind, base_url=url).official_api is official


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        (GOOD + "descripton: x\n", "descripton", "description"),
        (GOOD + "rescape: x\n", "rescape", "rescrape"),
        ("source: {kind: feed, pth: x, path: y}\nlabels: [a]\n", "source.pth", "path"),
        ("source: {kind: pinterest, perlabel: 5}\nlabels: [a]\n", "source.perlabel", "per_label"),
        (GOOD + "encoder: {trunc: x}\n", "encoder.trunc", "trunk"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path, text, key, nearest):
    assert f"unknown key `{key}`; did you mean `{nearest}`?" in error_of(tmp_path, text)


def test_an_unknown_key_that_is_like_none_lists_the_known_ones(tmp_path):
    assert "known keys: description, source, labels" in error_of(tmp_path, GOOD + "zzz: 1\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected keys"),
        ("- a\n", "expected keys"),
        ("a: [\n", "cannot be read"),
        ("source: {kind: pinterest}\n", "`labels`: Field required"),
        ("source: {kind: pintrest}\nlabels: [a]\n", "`source.kind`"),
        ("source: {kind: folder}\nlabels: [a]\n", "`path` is needed by source kind 'folder'"),
        ("source: {kind: pinterest, per_label: 0}\nlabels: [a]\n", "`source.per_label`"),
        ("source: {kind: pinterest}\nlabels: all\n", "needs a source that lists its labels"),
        (OPEN.format("cc0, ccby"), "`source.licences`: unknown licence 'ccby'; did you mean `by`?"),
        (OPEN.format("mit"), "unknown licence 'mit'"),
        (OPEN.format("0"), "`source.licences.0`"),
        ("source: {kind: pinterest, licences: [by]}\nlabels: [a]\n", "is for source kind 'openverse'"),
        ("source: {kind: pinterest}\nlabels: ['']\n", "a label is empty"),
        ("source: {kind: pinterest}\nlabels: [../../x]\n", "looks like a path"),
        ("source: {kind: pinterest}\nlabels: [no]\n", "put it in quotes"),
        ("source: {kind: pinterest}\nlabels: [null]\n", "put it in quotes"),
        (GOOD + "encoder: {tune: all}\n", "`encoder.tune`"),
        (GOOD + "encoder: {recipe: paintings}\n", "unknown recipe 'paintings'; did you mean `painting`?"),
        (GOOD + "encoder: {recipe: 7}\n", "known: painting, simclr, clusters"),
        (GOOD + "name: other\n", "name"),
        (GOOD + "1: x\n", "keywords must be strings"),
    ],
)
def test_a_mistake_names_the_file_the_key_and_what_is_wrong(tmp_path, text, says):
    assert says in error_of(tmp_path, text)


def test_every_mistake_of_a_file_is_named_at_once(tmp_path):
    message = error_of(tmp_path, GOOD + "descripton: x\nencoder: {tune: all}\n")
    assert "descripton" in message
    assert "encoder.tune" in message


@pytest.mark.parametrize(
    "name", ["Shoes.yaml", "1shoes.yaml", "my-shoes.yaml", "label_lists.yaml", "opt_outs.yaml", "été.yaml"]
)
def test_a_file_name_that_cannot_name_a_collection_is_refused(tmp_path, name):
    assert "the file's name" in error_of(tmp_path, GOOD, name)


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 0-6 1,15 * 1-5", "5/10 * * * 0"])
def test_a_cron_line_of_five_fields_is_taken(cron):
    given = {"source": {"kind": "pinterest"}, "labels": ["a"], "rescrape": cron}
    assert Collection(name="shoes", **given).rescrape == cron


@pytest.mark.parametrize(
    "cron", ["", "0 3 * *", "60 3 * * *", "0 24 * * *", "a b c d e", "0 3 0 * *", "0 5-3 * * *"]
)
def test_a_cron_line_that_dagster_would_refuse_is_refused_with_its_file(tmp_path, cron):
    assert "`rescrape`" in error_of(tmp_path, GOOD + f"rescrape: '{cron}'\n")


def test_a_bad_file_stops_no_other(tmp_path):
    write(tmp_path, GOOD, "good.yaml")
    write(tmp_path, "a: [", "broken.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "notes.txt").write_text("not a collection", encoding="utf-8")
    found = load(tmp_path)
    assert set(found.good) == {"good"}
    assert set(found.bad) == {"broken.yaml", "binary.yaml"}


def test_two_files_of_one_collection_are_a_mistake_and_the_first_counts(tmp_path):
    write(tmp_path, GOOD, "shoes.yaml")
    write(tmp_path, GOOD.replace("red", "blue"), "shoes.yml")
    found = load(tmp_path)
    assert found.good["shoes"].labels == ["red sneakers"]
    assert "keep one" in found.bad["shoes.yml"]


def test_a_recipe_by_name_is_a_start_and_what_the_file_says_holds(tmp_path):
    (tmp_path / "art.yaml").write_text(GOOD + "encoder: {recipe: painting, loss: supcon}\n")
    art = read(tmp_path / "art.yaml")
    assert (art.encoder.trunk, art.encoder.positives, art.encoder.match) == (
        "shufflenet_v2_x1_0",
        ["attributes"],
        "all",
    )
    assert art.encoder.loss == "supcon"
    assert art.attributes == ["school", "style", "type"]
    (tmp_path / "own.yaml").write_text(GOOD + "encoder: {recipe: painting}\nattributes: [author]\n")
    assert read(tmp_path / "own.yaml").attributes == ["author"]
