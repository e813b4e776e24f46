"""The picture that a page calls its own: what it tells those who share it. Pure.

Open Graph (ogp.me), Twitter's cards and `image_src` are what shops, museums and Pinterest's pin pages have; a
page without any of them is asked for its only picture, and one with several for none.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from parsel import Selector

_DECLARED = (
    "//meta[@property='og:image:secure_url']/@content",
    "//meta[@property='og:image' or @name='og:image' or @property='og:image:url']/@content",
    "//meta[@name='twitter:image' or @property='twitter:image' or @name='twitter:image:src']/@content",
    "//link[@rel='image_src']/@href",
)


def own_picture(html: bytes, url: str) -> str | None:
    """The absolute address of the picture of the page at `url`; None where it names none."""
    try:
        page = Selector(text=html.decode("utf-8", "replace"), type="html")
        found = [address.strip() for path in _DECLARED for address in page.xpath(path).getall()]
        found = [address for address in found if address] or list(
            dict.fromkeys(page.xpath("//body//img/@src | /html/img/@src").getall())
        )
    except ValueError:  # parsel: nothing in it, or what lxml cannot take
        return None
    declared = any(page.xpath(path).get() for path in _DECLARED)
    if not found or (not declared and len(found) != 1):
        return None
    try:
        joined = urljoin(url, found[0])
        return joined if urlsplit(joined).scheme in ("http", "https") else None
    except ValueError:
        return None
