"""Every paged listing, scraped over HTTP from the sample site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinflow import schema
from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.sample import oddities, pinterest_api
from pinflow.sample.boards import Board, boards
from pinflow.sample.pins import PINNERS, Pins
from pinflow.sample.site import SampleSite
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import Scrape, list_labels, scrape

Run = Callable[..., Scrape]


@pytest.fixture
def run(sample_site: SampleSite, crawler: Crawler, tmp_path: Path) -> Run:
    """Scrapes a label of the sample site with the source's keys that it is told."""

    def scraped(label: str, *, kind: str = "pinterest", path: str = "", **more: Any) -> Scrape:
        token = more.pop("token", None)
        source = Source(kind=kind, base_url=sample_site.base_url + path, related=False, **more)  # type: ignore[arg-type]
        return scrape(source, label, work=tmp_path / "work", crawler=crawler, token=token)

    return scraped


def ids(found: Scrape) -> list[str]:
    return found.pins.column("id").to_pylist()


def test_a_board(run: Run, board: Board) -> None:
    found = run(f"board:{board.user}/{board.slug}")
    assert (found.complete, found.reason) == (True, None)
    assert ids(found) == [pin.id for pin in board.pins]
    assert schema.problems(found.pins, schema.PINS) == []
    assert found.pins.column("sha256").null_count == 0


def test_what_is_recommended_for_a_board(run: Run, pins: Pins, board: Board) -> None:
    found = run(f"recommended:{board.user}/{board.slug}")
    others = [pin.id for pin in pins.search(board.label) if pin not in board.pins]
    assert (found.reason, ids(found)) == (None, others)


def test_a_pin_then_what_stands_beside_it(run: Run, pins: Pins) -> None:
    pin = next(pin for pin in pins.all if not pin.opaque)
    found = run(f"pin:{pin.id}")
    assert (found.reason, ids(found)) == (None, [pin.id, *(other.id for other in pins.related(pin))])


def test_a_link_is_a_label(run: Run, sample_site: SampleSite, board: Board) -> None:
    found = run(f"{sample_site.base_url}/{board.user}/{board.slug}/")
    assert ids(found) == [pin.id for pin in board.pins]


def test_a_board_that_is_not_there_says_so(run: Run) -> None:
    found = run("board:nobody/nothing")
    assert not found.complete
    assert "404" in str(found.reason)


def test_a_label_that_names_nothing_says_how_to_name_it(run: Run) -> None:
    assert "write `board:user/slug`" in str(run("board:asha").reason)


def test_what_is_no_picture_is_counted_by_its_kind(run: Run) -> None:
    found = run(oddities.QUERY)
    skipped = {name: n for name, n in found.stats.items() if name.startswith("skipped_")}
    assert skipped == {"skipped_video": 4, "skipped_story": 4, "skipped_promoted": 4, "skipped_other": 1}
    assert found.pins.num_rows == 12


def test_openverse_keeps_licence_and_creator(run: Run, pins: Pins) -> None:
    found = run("plain red", kind="openverse")
    assert found.reason is None
    assert 48 < found.pins.num_rows <= 64
    assert set(found.pins.column("licence").to_pylist()) > {"CC BY 4.0", "CC0 1.0", "Public Domain Mark 1.0"}
    assert set(found.pins.column("creator").to_pylist()) == set(PINNERS)


def test_openverse_gives_the_licences_that_are_wanted(run: Run) -> None:
    found = run("plain red", kind="openverse", licences=["CC0", "cc-by"])
    assert set(found.pins.column("licence").to_pylist()) == {"CC BY 4.0", "CC0 1.0"}


def test_a_board_of_ones_own(run: Run, board: Board) -> None:
    found = run(board.label, path="/v5", token=pinterest_api.TOKEN)
    assert (found.reason, ids(found)) == (None, [pin.id for pin in board.pins])


def test_a_board_that_is_not_ones_own_names_those_that_are(run: Run, board: Board) -> None:
    found = run("Nothing", path="/v5", token=pinterest_api.TOKEN)
    assert f"no board 'Nothing' of your own; there are: '{board.label}'" in str(found.reason)


def test_the_official_api_without_a_token_says_how_to_get_one(run: Run, board: Board) -> None:
    assert "PINFLOW_PINTEREST_TOKEN" in str(run(board.label, path="/v5").reason)


def test_the_official_api_with_a_wrong_token_stops_at_once(run: Run, board: Board) -> None:
    assert "refused us (HTTP 401)" in str(run(board.label, path="/v5", token="wrong").reason)


def test_the_token_is_written_nowhere(run: Run, board: Board, tmp_path: Path) -> None:
    run(board.label, path="/v5", token=pinterest_api.TOKEN)
    files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if pinterest_api.TOKEN.encode() in path.read_bytes()]


def test_all_boards_of_ones_own_can_be_labels(
    sample_site: SampleSite, crawler: Crawler, pins: Pins, tmp_path: Path
) -> None:
    own = [board.label for board in boards(pins).values() if board.person == PINNERS[0]]
    source = Source(kind="pinterest", base_url=f"{sample_site.base_url}/v5", per_label=1)
    assert list_labels(source, work=tmp_path, crawler=crawler, token=pinterest_api.TOKEN) == own
    with pytest.raises(ScrapeError, match="PINFLOW_PINTEREST_TOKEN"):
        list_labels(source, work=tmp_path, crawler=crawler)


def test_the_site_itself_does_not_list_its_labels(
    sample_site: SampleSite, crawler: Crawler, tmp_path: Path
) -> None:
    source = Source(kind="pinterest", base_url=sample_site.base_url)
    with pytest.raises(ScrapeError, match="write them under `labels:`"):
        list_labels(source, work=tmp_path, crawler=crawler)


@pytest.mark.parametrize("url", [None, "https://api.pinterest.com/v5", "https://www.pinterest.co.uk"])
@pytest.mark.parametrize("label", ["fish", "board:asha/fish", "recommended:asha/fish", "pin:1"])
def test_nothing_of_the_real_site_is_asked_for_before_its_terms_are_read(
    url: str | None, label: str, crawler: Crawler, tmp_path: Path
) -> None:
    source = Source(kind="pinterest", base_url=url)
    found = scrape(source, label, work=tmp_path, crawler=crawler, token="t")
    assert "accept_terms: true" in str(found.reason)
    assert "kind: openverse" in str(found.reason)
    assert found.stats["requests"] == 0
