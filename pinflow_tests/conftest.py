"""Fixtures that several folders of tests share."""

from pinflow_tests.storages import s3, s3_server, store, url
from pinflow_tests.terminal import empty, pinflow, released, released_once

__all__ = ["empty", "pinflow", "released", "released_once", "s3", "s3_server", "store", "url"]
