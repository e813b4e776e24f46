"""How we behave on somebody else's site, as Scrapy settings. Nobody may lower these numbers: a test watches.

The one exception is a site of your own on loopback (`own_url`): no delay, some requests at once.
"""

from __future__ import annotations

from typing import Any

from pinflow import __version__
from pinflow.scraping.job import MAX_PICTURE_BYTES, host_of, is_loopback

DELAY_SECONDS = 1.0
REQUESTS_AT_ONCE = 1  # a host
OWN_REQUESTS_AT_ONCE = 8
TIMEOUT_SECONDS = 60
RETRIES = 2
BACKOFF_SECONDS = 2.0  # doubled each time
OWN_BACKOFF_SECONDS = 0.05
BACKOFF_LIMIT_SECONDS = 60.0  # of a Retry-After too
ROBOT = "pinflow"  # what a robots.txt calls us
DEFAULT_CONTACT = "robots.txt: pinflow"


def user_agent(contact: str | None) -> str:
    """Who we are and how to reach or refuse us; never a browser's name."""
    return f"{ROBOT}/{__version__} (+{contact or DEFAULT_CONTACT})"


def settings(own_url: str | None, contact: str | None = None) -> dict[str, Any]:
    """Scrapy settings of one crawl."""
    host = host_of(own_url)
    own = {host: {"concurrency": OWN_REQUESTS_AT_ONCE, "delay": 0}} if host and is_loopback(host) else {}
    here = "pinflow.scraping.worker.guards"
    return {
        "USER_AGENT": user_agent(contact),
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": ROBOT,
        "DOWNLOAD_DELAY": DELAY_SECONDS,
        "DOWNLOAD_DELAY_JITTER": 0,  # the default varies the delay by half, so below its minimum too
        "CONCURRENT_REQUESTS_PER_DOMAIN": REQUESTS_AT_ONCE,
        "CONCURRENT_REQUESTS": 16,
        "DOWNLOAD_SLOTS": own,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": DELAY_SECONDS,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": 1.0,
        "DOWNLOAD_TIMEOUT": TIMEOUT_SECONDS,
        "DOWNLOAD_MAXSIZE": MAX_PICTURE_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_HANDLERS": {
            "http": f"{here}.KeepAlive",
            "https": f"{here}.KeepAlive",
            **dict.fromkeys(("data", "file", "ftp", "s3")),
        },
        "REDIRECT_MAX_TIMES": 5,
        "RETRY_TIMES": RETRIES,
        "RETRY_GIVE_UP_LOG_LEVEL": "INFO",
        "RETRY_PRIORITY_ADJUST": 1,  # a site that is down shows before every picture was tried once
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # through a proxy the address guard would see nothing
        "METAREFRESH_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_VERSIONS": [],
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            f"{here}.FailClosedRobots": 100,
            "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            f"{here}.BackoffRetry": 550,
        },
        "SPIDER_MIDDLEWARES": {
            # Spiders judge each status themselves; bookmarks make addresses longer than any limit,
            # and an address over it would vanish without a word.
            "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": None,
            "scrapy.spidermiddlewares.referer.RefererMiddleware": None,
            "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
            "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
        },
        "EXTENSIONS": {
            "scrapy.extensions.throttle.AutoThrottle": None,
            f"{here}.PublicAutoThrottle": 0,
        },
    }
