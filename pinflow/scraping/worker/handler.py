"""Scrapy's way to the web is ours: its downloader asks the guarded fetcher and nothing else."""

from __future__ import annotations

from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.http import Response

from pinflow.scraping.worker.spider import ListingSpider


class FetcherHandler(BaseDownloadHandler):
    """Scrapy's download handler over `fetching.fetcher`. A `FetchError` reaches the spider's errback."""

    async def download_request(self, request: Request) -> Response:
        """The answer, with what the site says of its use in `request.meta["signals"]`."""
        spider: Any = self.crawler.spider
        assert isinstance(spider, ListingSpider)
        headers = {str(name): value for name, value in request.headers.to_unicode_dict().items()}
        answer = await spider.fetcher.get(request.url, headers=headers, method=request.method)
        request.meta["signals"] = answer.signals
        return Response(answer.url, status=answer.status, body=answer.body)
