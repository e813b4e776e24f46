"""The process that crawls. Only `python -m pinflow.scraping.worker` runs it, and only it imports Scrapy."""
