"""Vectors to neighbours: indexes, filters, caption search, fusion, and the search that CLI and web share.

Belongs here: finding and ranking. Does not: training encoders (`learning`), storage (`store`),
HTTP (`serving`), maps (`projecting`).
"""
