"""Fixtures that several folders of tests share."""

from pinflow_tests.storages import s3, s3_server, store, url

__all__ = ["s3", "s3_server", "store", "url"]
