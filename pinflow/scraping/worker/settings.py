"""Scrapy as we use it: scheduling and callbacks. Robots, pace, retries, redirects, addresses and sizes are
the business of `fetching`, through which its downloader goes; so all that Scrapy has for them is off here."""

from __future__ import annotations

from typing import Any

_HANDLER = "pinflow.scraping.worker.handler.FetcherHandler"


def settings() -> dict[str, Any]:
    """Scrapy settings of every crawl."""
    return {
        "DOWNLOAD_HANDLERS": {
            "http": _HANDLER,
            "https": _HANDLER,
            **dict.fromkeys(("data", "file", "ftp", "s3")),
        },
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        # Spiders judge each status themselves; bookmarks make addresses longer than any limit, and an address
        # over it would vanish without a word.
        "SPIDER_MIDDLEWARES_BASE": {},
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_DELAY_JITTER": 0,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_VERSIONS": [],
        # Reads and parses the source of each callback once more a crawl.
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
    }
