"""The worker's loop: a job a line on stdin, a report a line on stdout, crawl after crawl in one reactor.

Ends when stdin closes, which also happens when the parent is killed: the spool is safe at any moment.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import traceback
from typing import IO, Any

from scrapy.crawler import AsyncCrawlerRunner
from scrapy.settings import Settings
from scrapy.utils.reactor import install_reactor

from pinflow.scraping.fetching.fetcher import Fetcher
from pinflow.scraping.fetching.pace import Pace
from pinflow.scraping.job import FetchDocument, FetchPictures, Job, ListPins, Report
from pinflow.scraping.optout import OptOuts
from pinflow.scraping.spool import Spool
from pinflow.scraping.worker.document import fetch_document
from pinflow.scraping.worker.ledger import Ledger
from pinflow.scraping.worker.lookups import look_up
from pinflow.scraping.worker.pictures import Pictures
from pinflow.scraping.worker.settings import settings
from pinflow.scraping.worker.spider import ListingSpider

_OBJECTS_BEFORE_GC = 20_000


def main() -> None:
    """Serve jobs until stdin closes."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever some library prints must not end up among the reports.
    os.dup2(2, 1)
    # Ctrl-C reaches the whole process group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    # What is imported stays, and requests leave few cycles: looking for them takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_GC)
    import twisted.internet

    reactor: Any = twisted.internet.reactor
    loop = asyncio.get_event_loop()
    jobs: asyncio.Queue[str] = asyncio.Queue()
    threading.Thread(target=_listen, args=(loop, jobs), daemon=True).start()
    task = loop.create_task(_serve(jobs, replies))
    task.add_done_callback(lambda _: reactor.stop())
    reactor.run(installSignalHandlers=False)
    task.result()


def _listen(loop: asyncio.AbstractEventLoop, jobs: asyncio.Queue[str]) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(jobs.put_nowait, line)
    os._exit(0)


async def _serve(jobs: asyncio.Queue[str], replies: IO[str]) -> None:
    replies.write('{"ready": true}\n')
    replies.flush()
    pace = Pace()  # the delay between requests holds between crawls too
    while True:
        job = Job.model_validate_json(await jobs.get())
        report = await crawl(job, pace)
        replies.write(report.model_dump_json() + "\n")
        replies.flush()


async def crawl(job: Job, pace: Pace) -> Report:
    """Run one job to its end, whatever that is."""
    log = _log_to(job)
    ledger = Ledger()
    try:
        with Spool(job.work) as spool:
            async with Fetcher(pace, own_url=job.own_url, contact=job.contact) as fetcher:
                await _do(job, fetcher, spool, ledger)
    except OSError as error:
        return Report(errno=error.errno, reasons=[str(error)])
    except Exception:  # noqa: BLE001 - the parent raises it
        return Report(bug=traceback.format_exc())
    finally:
        logging.getLogger().removeHandler(log)
        log.close()
    return Report(reasons=ledger.reasons, stats=dict(ledger.counts + fetcher.counts))


async def _do(job: Job, fetcher: Fetcher, spool: Spool, ledger: Ledger) -> None:
    task = job.task
    if isinstance(task, FetchDocument):
        await fetch_document(fetcher, spool, ledger, task)
        return
    async with Pictures(fetcher, spool, ledger) as pictures:
        if isinstance(task, FetchPictures):
            for pin in spool.pins():
                pictures.add(pin.pictures)
            await pictures.finish()
            return
        await _list(task, fetcher, spool, ledger, pictures, _opt_outs(job))
        await pictures.finish()
        if task.check_unlisted and spool.listed_whole and not ledger.given_up:
            await look_up(fetcher, spool, ledger, task)


def _opt_outs(job: Job) -> OptOuts:
    lists: dict[str, Any] = {**job.opt_outs}
    return OptOuts(**lists)


async def _list(
    task: ListPins, fetcher: Fetcher, spool: Spool, ledger: Ledger, pictures: Pictures, opt_outs: OptOuts
) -> None:
    fetcher.slow_down(task.listing.first().url, task.listing.delay_seconds)
    runner = AsyncCrawlerRunner(Settings(settings()))
    crawler = runner.create_crawler(ListingSpider)
    await runner.crawl(
        crawler,
        task=task,
        fetcher=fetcher,
        spool=spool,
        ledger=ledger,
        pictures=pictures,
        opt_outs=opt_outs,
    )
    spider: Any = crawler.spider
    if spider.error is not None:
        raise spider.error


def _log_to(job: Job) -> logging.Handler:
    log = logging.FileHandler(job.work / "scrapy.log", encoding="utf-8")
    log.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(log)
    return log


if __name__ == "__main__":
    main()
