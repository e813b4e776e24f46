"""200 labels x 1,000 pins through the real crawler: no pin is lost, no picture comes twice, memory flat."""

from __future__ import annotations

import hashlib
import resource
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinflow.collection import Source
from pinflow.sample.crowd import Crowd
from pinflow.sample.crowd_site import CrowdSite
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import Scrape, scrape

pytestmark = pytest.mark.system

LABELS, PER_LABEL, DISTINCT = 200, 1_000, 10  # 200,000 pins, 1% of them with a picture of their own
PAGES = PER_LABEL // 50
WARM = 20  # labels, after which memory must not grow with the number of labels
AGAIN = 5  # every fifth label is scraped a second time
GROWTH_MB = 40


def crawl(label: str, site: CrowdSite, work: Path, crawler: Crawler, previous: pa.Table | None) -> Scrape:
    source = Source(kind="pinterest", base_url=site.base_url, per_label=PER_LABEL, related=False)
    found = scrape(source, label, work=work, previous=previous, crawler=crawler)
    assert (found.complete, found.reason, found.pins.num_rows) == (True, None, PER_LABEL)
    shutil.rmtree(work)
    return found


def peaks_mb(crawler: Crawler) -> tuple[float, float]:
    """Peak resident memory of this process and of the worker."""
    status = Path(f"/proc/{crawler.pid}/status").read_text()
    worker = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, int(worker.split()[1]) / 1024


def test_a_site_of_200_000_pins(tmp_path: Path) -> None:
    crowd = Crowd(LABELS, PER_LABEL, DISTINCT)
    warm = (0.0, 0.0)
    with CrowdSite(LABELS, PER_LABEL, DISTINCT) as site, Crawler() as crawler:
        for number, label in enumerate(crowd.labels):
            pins = crawl(label, site, tmp_path / "work", crawler, None).pins
            digests = _digests(crowd, number)
            expected = {pin.id: digests[place % DISTINCT] for place, pin in enumerate(crowd.search(label))}
            assert dict(zip(*(pins[name].to_pylist() for name in ("id", "sha256")), strict=True)) == expected
            pq.write_table(pins, tmp_path / f"{label}.parquet")
            if number == WARM:
                warm = peaks_mb(crawler)
        assert site.counts() == {
            "search": LABELS * PAGES,
            "picture": LABELS * DISTINCT,
            "robots": LABELS,
        }

        for label in crowd.labels[::AGAIN]:
            before = pq.read_table(tmp_path / f"{label}.parquet").cast(pins.schema)
            again = crawl(label, site, tmp_path / "work", crawler, before)
            assert again.stats["fetched"] == 0
            assert again.pins["sha256"].equals(before["sha256"])
        assert site.counts()["picture"] == LABELS * DISTINCT
        assert site.counts()["search"] == (LABELS + LABELS // AGAIN) * PAGES
        grown = [late - early for late, early in zip(peaks_mb(crawler), warm, strict=True)]
        assert max(grown) < GROWTH_MB, f"this process and the worker grew by {grown} MB"


def _digests(crowd: Crowd, label: int) -> list[str]:
    found = [crowd.picture(path) or () for path in crowd.pictures(label)]
    return [hashlib.sha256(b"".join(parts)).hexdigest() for parts in found]
