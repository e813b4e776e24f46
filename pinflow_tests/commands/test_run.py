"""`pinflow run`."""

import pytest


def test_prints_a_line_a_phase_and_the_tables_of_pictures_figures_and_seconds(released):
    said = (released / "run.txt").read_text()

    for phase in ("scrape and curate", "tune the encoder", "embed, index, map", "gallery to release"):
        assert f"shapes: {phase}" in said
    for word in ("plain-red", "scraped", "kept", "frozen", "candidate", "served", "recall@1", "Dagster"):
        assert word in said
    assert "DEBUG" not in said
    assert max(map(len, said.splitlines())) <= 100


def test_again_changes_nothing_and_is_quick_to_say_so(pinflow, released):
    before = (released / "home" / "storage" / "shapes" / "CURRENT").read_text()

    said = pinflow("run", "shapes")

    assert said.code == 0, said.out + said.err
    assert "tune the encoder" not in said.out
    assert (released / "home" / "storage" / "shapes" / "CURRENT").read_text() == before


def test_one_label_can_be_named_by_query_or_slug(pinflow, released):
    assert pinflow("run", "shapes", "--label", "Plain  Red").code == 0
    assert pinflow("run", "shapes", "--label", "plain-red").code == 0

    said = pinflow("run", "shapes", "--label", "plain blue")
    assert said.code == 2
    assert "no label 'plain blue'" in said.err
    assert "pinflow labels add shapes" in said.err


def test_an_unknown_collection_is_bad_usage_that_names_the_known_ones(pinflow, released):
    said = pinflow("run", "shape")

    assert said.code == 2
    assert said.err.splitlines() == ["pinflow: no collection 'shape'; there are: shapes"]


def test_a_collection_file_with_an_error_is_named_with_its_key(pinflow, released):
    (released / "collections" / "bad.yaml").write_text("source: {kind: folder, path: x}\nlables: [red]\n")

    said = pinflow("run", "bad")

    assert said.code == 2
    assert "bad.yaml" in said.err
    assert "`lables`" in said.err
    assert "`labels`" in said.err


@pytest.mark.parametrize("labels", ["[]", "['plain red', 'no such folder']"])
def test_a_label_without_pictures_is_told_and_holds_nobody_up(pinflow, released, labels):
    file = released / "collections" / "few.yaml"
    path = released / "samples" / "market"
    file.write_text(f'source: {{kind: folder, path: "{path}"}}\nlabels: {labels}\n')

    said = pinflow("run", "few")

    if labels == "[]":
        assert said.code == 2
        assert "few has no labels" in said.err
    else:
        assert said.code == 0, said.out + said.err
        assert "incomplete few/no-such-folder" in said.out
        assert (released / "home" / "storage" / "few" / "CURRENT").exists()
