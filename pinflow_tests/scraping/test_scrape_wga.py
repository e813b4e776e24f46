"""The Web Gallery of Art over HTTP: the sample site's catalogue, its pictures, and days that go wrong."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.learning import splits
from pinflow.sample.made import make_samples
from pinflow.sample.samples import Samples
from pinflow.sample.site import SampleSite
from pinflow.sample.wga import CATALOGUE, Gallery
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import Scrape, list_labels, scrape

Show = Callable[..., Scrape]
LABEL = "still-life"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), labels=2, per_label=12)


@pytest.fixture
def gallery(samples: Samples) -> Iterator[SampleSite]:
    with SampleSite(samples, port=0) as site:
        yield site


@pytest.fixture
def source(gallery: SampleSite) -> Source:
    return Source(kind="wga", base_url=gallery.base_url)


@pytest.fixture
def show(source: Source, crawler: Crawler, tmp_path: Path) -> Show:
    """Scrapes a label, each time in a work folder of its own."""
    count = 0

    def run(label: str = LABEL, previous: Scrape | None = None, **changes: object) -> Scrape:
        nonlocal count
        count += 1
        return scrape(
            source.model_copy(update=changes),
            label,
            work=tmp_path / "work" / str(count),
            previous=previous.pins if previous else None,
            sightings=previous.sightings if previous else None,
            crawler=crawler,
        )

    return run


@pytest.fixture
def works(samples: Samples) -> Gallery:
    return Gallery(samples.market)


def rows_of(works: Gallery, base_url: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(works.catalogue(base_url))) as packed:
        lines = io.StringIO(packed.read("catalog.csv").decode("iso-8859-1"))
    return list(csv.DictReader(lines, delimiter=";"))


def by_id(found: Scrape) -> dict[str, dict[str, Any]]:
    return {row["id"]: row | {"attributes": dict(row["attributes"])} for row in found.pins.to_pylist()}


def test_labels_are_the_types_by_default(source: Source, crawler: Crawler, tmp_path: Path) -> None:
    labels = list_labels(source, work=tmp_path / "work" / "l", crawler=crawler)
    assert sorted(labels) == ["landscape", "still-life"]


def test_labels_may_be_authors(source: Source, crawler: Crawler, tmp_path: Path, works: Gallery) -> None:
    by_author = source.model_copy(update={"label_by": "author"})
    labels = list_labels(by_author, work=tmp_path / "work" / "l", crawler=crawler)
    assert labels == list(dict.fromkeys(work.cells[0] for work in works.works.values()))


def test_a_label_with_all_its_pictures(show: Show, gallery: SampleSite, works: Gallery) -> None:
    found = show()
    assert (found.complete, found.reason) == (True, None)
    assert schema.problems(found.pins, schema.PINS) == []
    wanted = [row["URL"] for row in rows_of(works, gallery.base_url) if row["TYPE"] == LABEL]
    assert found.pins["page_url"].to_pylist() == wanted
    assert set(found.files) == set(found.pins["sha256"].to_pylist())


def test_rows_are_as_the_catalogue_has_them(show: Show, gallery: SampleSite, works: Gallery) -> None:
    pins = by_id(show())
    for row in rows_of(works, gallery.base_url):
        if row["TYPE"] == LABEL:
            pin = pins[row["URL"].partition("/html/")[2].removesuffix(".html")]
            assert (pin["creator"], pin["title"]) == (row["AUTHOR"], row["TITLE"])
            assert pin["attributes"]["school"] == row["SCHOOL"]
            assert f"{pin['attributes']['technique']}, {pin['attributes']['size']}" == row["TECHNIQUE"]


def test_pictures_are_the_large_ones_or_else_the_medium_ones(show: Show, works: Gallery) -> None:
    pins = by_id(show())
    folders = {key: pin["picture_url"].split("/")[3] for key, pin in pins.items()}
    assert folders == {key: "art" if works.works[key].large else "detail" for key in pins}
    assert set(folders.values()) == {"art", "detail"}


def test_case_does_not_matter_in_a_label(show: Show) -> None:
    # Each is fetched for itself, perhaps in another second.
    one, other = (found.pins.drop_columns(["fetched_at"]) for found in (show("Still-Life"), show()))
    assert one.num_rows > 0
    assert one.equals(other)


def test_an_unchanged_catalogue_gives_an_equal_table_and_fetches_nothing_else(
    show: Show, gallery: SampleSite
) -> None:
    first = show()
    gallery.log.clear()
    again = show(previous=first)
    assert (again.complete, again.pins.equals(first.pins), again.files) == (True, True, {})
    assert {hit.path for hit in gallery.log} <= {"/robots.txt", CATALOGUE}


def test_a_work_that_left_the_catalogue_is_missed(
    show: Show, gallery: SampleSite, works: Gallery, tmp_path: Path
) -> None:
    first = show()
    rows = rows_of(works, gallery.base_url)
    path = tmp_path / "catalog.csv"
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["URL"] != first.pins["page_url"][0].as_py())
    again = show(previous=first, path=str(path))
    assert (again.complete, again.stats["missing"], again.files) == (True, 1, {})


def test_the_choice_is_spread_over_the_authors_and_stays(show: Show) -> None:
    few, more = show(per_label=5), show(per_label=6)
    assert few.complete
    assert len(by_id(few)) == 5
    assert by_id(few).keys() <= by_id(more).keys()
    assert list(by_id(few)) != list(by_id(show()))[:5]


def test_what_was_removed_leaves_its_place_to_another(
    show: Show, source: Source, crawler: Crawler, tmp_path: Path
) -> None:
    removed = next(iter(by_id(show(per_label=5))))
    few = source.model_copy(update={"per_label": 5})
    found = scrape(few, LABEL, work=tmp_path / "work" / "b", blocked=[removed], crawler=crawler)
    assert (found.complete, len(by_id(found)), list(found.refused)) == (True, 5, [removed])


def test_a_catalogue_of_ones_own_with_pictures_from_the_site(
    show: Show, gallery: SampleSite, works: Gallery, tmp_path: Path
) -> None:
    path = tmp_path / "own.zip"
    path.write_bytes(works.catalogue("https://www.wga.hu"))
    found = show(path=str(path))
    assert found.complete
    assert all(url.startswith(gallery.base_url) for url in found.pins["picture_url"].to_pylist())
    assert gallery.requests["catalogue"] == 0


def test_a_catalogue_by_its_address(show: Show, gallery: SampleSite) -> None:
    assert show(path=gallery.base_url + CATALOGUE).complete


@pytest.mark.parametrize(("status", "says"), [(404, "HTTP 404"), (403, "HTTP 403")])
def test_a_catalogue_that_does_not_come_keeps_what_was_known(
    show: Show, gallery: SampleSite, source: Source, crawler: Crawler, tmp_path: Path, status: int, says: str
) -> None:
    first = show()
    gallery.fail(CATALOGUE, status)
    found = scrape(source, LABEL, work=tmp_path / "elsewhere" / "1", previous=first.pins, crawler=crawler)
    assert (found.complete, found.pins.equals(first.pins)) == (False, True)
    assert says in (found.reason or "")
    with pytest.raises(ScrapeError, match=says):
        list_labels(source, work=tmp_path / "elsewhere" / "2", crawler=crawler)


def test_a_web_page_in_place_of_the_catalogue_says_so(show: Show, gallery: SampleSite) -> None:
    found = show(path=f"{gallery.base_url}/")
    assert "it is a web page" in (found.reason or "")


def test_bad_rows_are_counted_and_prove_nothing_gone(show: Show, tmp_path: Path, works: Gallery) -> None:
    first = show()
    path = tmp_path / "catalog.csv"
    with zipfile.ZipFile(io.BytesIO(works.catalogue("https://www.wga.hu"))) as packed:
        lines = packed.read("catalog.csv").splitlines(keepends=True)
    kept = [line for at, line in enumerate(lines) if at == 0 or b";still-life;" in line]
    path.write_bytes(b"".join([*kept[:-1], b"torn;row\r\n", kept[1].replace(b"/html/", b"/bio/")]))
    again = show(previous=first, path=str(path))
    assert (again.stats["bad_rows"], again.stats["invalid_url"], again.stats["missing"]) == (1, 1, 0)
    assert again.pins.num_rows == first.pins.num_rows


def test_a_catalogue_without_rows_is_no_empty_gallery(
    show: Show, source: Source, tmp_path: Path, crawler: Crawler
) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text("AUTHOR;TITLE;URL;TYPE\n")
    empty = source.model_copy(update={"path": str(path)})
    with pytest.raises(ScrapeError, match="no rows"):
        list_labels(empty, work=tmp_path / "work" / "l", crawler=crawler)


def test_details_and_second_reproductions_are_split_with_their_whole(show: Show, works: Gallery) -> None:
    found = show()
    groups = _groups(found.pins)
    key = next(key for key in groups if key.endswith("_d1")).removesuffix("_d1")
    assert groups[key] == groups[f"{key}_d1"] == groups[f"{key}_d2"]
    second = next(key for key in groups if key.endswith("_2"))
    assert groups[second] == groups[second.removesuffix("_2")]
    wholes = [key for key in groups if not key.endswith(("_d1", "_d2", "_2"))]
    assert len({groups[key] for key in wholes}) == len(wholes)


def test_works_of_one_author_can_be_kept_together(show: Show) -> None:
    found = show()
    groups = _groups(found.pins, "author")
    authors = {row["id"]: row["creator"] for row in found.pins.to_pylist()}
    assert len(set(groups.values())) == len(set(authors.values())) > 1
    assert {(authors[key], group) for key, group in groups.items()} == {
        (author, next(groups[key] for key in groups if authors[key] == author))
        for author in set(authors.values())
    }


def _groups(pins: pa.Table, *group_by: str) -> dict[str, str]:
    """The group of each pin, from the splits room. No two pictures look alike: only what is written ties."""
    pictures = pins.select(["id", "sha256", "origin_keys", "attributes", "related"])
    hashes = pa.array([(n + 1) * 0x9E3779B97F4A7C15 % 2**64 for n in range(pins.num_rows)], pa.uint64())
    pictures = pictures.append_column("phash", hashes)
    pictures = pictures.append_column("duplicates", pa.array([[]] * pins.num_rows, schema.TEXTS))
    made = splits.assign(pictures, LABEL, group_by=group_by)
    assert splits.leaks(made) == []
    return dict(zip(made["id"].to_pylist(), made["group"].to_pylist(), strict=True))
