"""Asking a stranger's server for something: every byte from the web comes through `fetcher.Fetcher`.

It obeys robots.txt and what a site says about use, keeps the pace, checks each address before it connects,
and stops reading where there is too much. Pages and pictures alike, whoever asks.
"""
