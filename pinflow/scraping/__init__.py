"""From a label to its pins: what the source lists, and the bytes of every picture.

`scrape.scrape` is the door. `sources/` holds one small adapter a source, `pages/` the pure functions from an
answer to pins, `worker/` the Scrapy process (the only place that imports Scrapy). Nothing here decodes a
picture: bytes are hashed and counted, and imaging looks inside.
"""
