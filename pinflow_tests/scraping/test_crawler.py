"""The worker process: one for many crawls, replaced when it dies, gone when nobody needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import scrape
from pinflow.scraping.spool import Spool
from pinflow_tests.scraping.server import Site


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60  # a busy machine takes ten to start a worker
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pictures_in(work: Path) -> int:
    """How many pictures a crawl that runs has kept so far."""
    if not (work / "pictures.bin").is_file():
        return 0
    with Spool(work) as spool:
        urls = [url for pin in spool.pins() for url in pin.pictures]
        return sum(1 for url in urls if spool.picture(url))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_serves_many_labels(site: Site, source: Source, crawler: Crawler, tmp_path: Path) -> None:
    pids = set()
    for label in ("cod", "eel"):
        site.add(label, 2)
        assert scrape(source, label, work=tmp_path / label, crawler=crawler).complete
        pids.add(crawler.pid)
    assert len(pids) == 1


@pytest.mark.system
def test_killed_in_the_middle_it_continues_and_fetches_nothing_twice(
    site: Site, source: Source, tmp_path: Path
) -> None:
    site.page_size = 30
    site.add("fish", 30)
    site.slow = {"/originals/fish-2": 0.1}
    work = tmp_path / "work"
    with Crawler() as crawler:

        def kill() -> None:
            wait_for(lambda: pictures_in(work) >= 8)
            os.kill(crawler.pid or 0, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        first = scrape(source, "fish", work=work, crawler=crawler)
        killer.join()
        assert not first.complete
        assert "the crawler process died" in (first.reason or "")
        assert 8 <= len(first.files) < 30
        spooled = {row["picture_url"] for row in first.pins.to_pylist() if row["sha256"]}
        site.slow.clear()
        site.asked.clear()
        second = scrape(source, "fish", work=work, crawler=crawler)
    assert (second.complete, len(second.files), second.pins.num_rows) == (True, 30, 30)
    again = {f"{site.base}{path}" for path in site.pictures_asked()}
    assert not again & spooled
    assert second.pins.column("id").to_pylist() == [f"fish-{n}" for n in range(30)]


@pytest.mark.system
def test_killed_between_two_pages_it_goes_on_with_the_second(
    site: Site, source: Source, tmp_path: Path
) -> None:
    site.add("fish", 30)
    pages = []
    site.on_search = lambda options: pages.append(options.get("bookmarks", ["p0"])[0]) or len(pages) < 4
    with Crawler() as crawler:

        def kill() -> None:
            wait_for(lambda: len(pages) == 4)
            os.kill(crawler.pid or 0, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        first = scrape(source, "fish", work=tmp_path, crawler=crawler)
        killer.join()
        assert (first.complete, pages) == (False, ["p0", "p1", "p2", "p3"])
        spooled = {row["picture_url"] for row in first.pins.to_pylist() if row["sha256"]}
        site.asked.clear()
        site.on_search = lambda options: pages.append(options["bookmarks"][0]) or True
        second = scrape(source, "fish", work=tmp_path, crawler=crawler)
    assert pages == ["p0", "p1", "p2", "p3", "p3", "p4", "p5"]
    assert (second.complete, second.pins.num_rows, len(second.files)) == (True, 30, 30)
    assert not spooled & {f"{site.base}{path}" for path in site.pictures_asked()}


def test_it_says_whom_to_contact_and_ends_when_its_owner_lets_go(
    site: Site, source: Source, tmp_path: Path
) -> None:
    site.add("fish", 1)
    with Crawler(contact="mailto:me@example.org") as crawler:
        scrape(source, "fish", work=tmp_path, crawler=crawler)
        pid = crawler.pid
    assert {agent.split(" ", 1)[1] for agent in site.agents} == {"(+mailto:me@example.org)"}
    assert pid is not None
    assert not alive(pid)


@pytest.mark.system
def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "from pinflow.scraping.crawler import Crawler\n"
        "crawler = Crawler()\n"
        "crawler._start()\n"
        "print(crawler.pid, flush=True)\n"
        "import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    wait_for(lambda: not alive(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")


def test_a_work_folder_that_takes_no_picture_raises(
    site: Site, source: Source, crawler: Crawler, tmp_path: Path
) -> None:
    site.add("fish", 3)
    in_the_way = tmp_path / "pictures.bin"
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError, match="the crawler cannot write"):
        scrape(source, "fish", work=tmp_path, crawler=crawler)
    in_the_way.rmdir()
    assert scrape(source, "fish", work=tmp_path, crawler=crawler).complete


def test_an_error_of_our_own_raises_with_its_traceback(
    site: Site, source: Source, crawler: Crawler, tmp_path: Path
) -> None:
    site.add("fish", 3)
    with Spool(tmp_path) as spool:
        spool._db.execute("INSERT INTO pins (id, pin) VALUES ('x', '{}')")
    with pytest.raises(RuntimeError, match="KeyError"):
        scrape(source, "fish", work=tmp_path, crawler=crawler)


def test_without_a_crawler_a_shared_one_is_used(site: Site, source: Source, tmp_path: Path) -> None:
    from pinflow.scraping.crawler import shared

    site.add("fish", 1)
    assert scrape(source, "fish", work=tmp_path).complete
    assert shared().pid is not None
    shared().close()
