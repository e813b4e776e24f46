"""Bytes -> curated pictures: decoding, hygiene, duplicates, shards, contact sheets.

Not here: where bytes come from (scraping, store) and what a network sees in them (learning).
"""
