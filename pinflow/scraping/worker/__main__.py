"""The worker's loop: a job a line on stdin, a report a line on stdout, crawl after crawl in one reactor.

Ends when stdin closes, which also happens when the parent is killed: the spool is safe at any moment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import traceback
from typing import IO, Any

from scrapy.crawler import AsyncCrawlerRunner
from scrapy.settings import Settings
from scrapy.utils.reactor import install_reactor

from pinflow.scraping.job import Job, Report, host_of, is_loopback
from pinflow.scraping.worker import manners

DNS_TIMEOUT_SECONDS = 20.0


def main() -> None:
    """Serve jobs until stdin closes."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever some library prints must not end up among the reports.
    os.dup2(2, 1)
    # Ctrl-C reaches the whole process group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    import twisted.internet

    from pinflow.scraping.worker.guards import AddressGuard

    reactor: Any = twisted.internet.reactor
    guard = AddressGuard(reactor, cache_size=10_000, timeout=DNS_TIMEOUT_SECONDS)
    guard.install_on_reactor()
    loop = asyncio.get_event_loop()
    jobs: asyncio.Queue[str] = asyncio.Queue()
    threading.Thread(target=_listen, args=(loop, jobs), daemon=True).start()
    task = loop.create_task(_serve(jobs, replies, guard))
    task.add_done_callback(lambda _: reactor.stop())
    reactor.run(installSignalHandlers=False)
    task.result()


def _listen(loop: asyncio.AbstractEventLoop, jobs: asyncio.Queue[str]) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(jobs.put_nowait, line)
    os._exit(0)


async def _serve(jobs: asyncio.Queue[str], replies: IO[str], guard: Any) -> None:
    replies.write('{"ready": true}\n')
    replies.flush()
    ended = -manners.DELAY_SECONDS
    while True:
        job = Job.model_validate_json(await jobs.get())
        if not is_loopback(host_of(job.own_url)):
            # The delay between requests holds between crawls too.
            await asyncio.sleep(max(0.0, ended + manners.DELAY_SECONDS - time.monotonic()))
        report = await crawl(job, guard)
        ended = time.monotonic()
        replies.write(report.model_dump_json() + "\n")
        replies.flush()


async def crawl(job: Job, guard: Any) -> Report:
    """Run one job to its end, whatever that is."""
    from pinflow.scraping.worker.spiders import SPIDERS

    guard.own_host = host_of(job.own_url)
    guard.refused.clear()
    log = _log_to(job)
    runner = AsyncCrawlerRunner(Settings(manners.settings(job.own_url, job.contact)))
    crawler = runner.create_crawler(SPIDERS[type(job.task)])
    try:
        await runner.crawl(crawler, job=job, refused_hosts=guard.refused)
    except OSError as error:
        return Report(errno=error.errno, reasons=[str(error)])
    except Exception:  # noqa: BLE001 - the parent raises it
        return Report(bug=traceback.format_exc())
    finally:
        logging.getLogger().removeHandler(log)
        log.close()
    return _report(crawler)


def _log_to(job: Job) -> logging.Handler:
    log = logging.FileHandler(job.work / "scrapy.log", encoding="utf-8")
    log.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(log)
    return log


def _report(crawler: Any) -> Report:
    spider = crawler.spider
    if isinstance(spider.error, OSError):
        return Report(errno=spider.error.errno, reasons=[str(spider.error)])
    if spider.error is not None:
        return Report(bug="".join(traceback.format_exception(spider.error)))
    spider.closing()
    return Report(reasons=spider.reasons, stats={**_stats(crawler.stats.get_stats()), **spider.counts})


def _stats(stats: dict[str, Any]) -> dict[str, int]:
    names = {
        "downloader/request_count": "requests",
        "retry/count": "retries",
        "robotstxt/forbidden": "robots_forbidden",
    }
    found = {name: int(stats[key]) for key, name in names.items() if key in stats}
    prefix = "downloader/response_status_count/"
    statuses = {key: n for key, n in stats.items() if key.startswith(prefix)}
    return found | {f"status_{key.removeprefix(prefix)}": n for key, n in statuses.items()}


if __name__ == "__main__":
    main()
