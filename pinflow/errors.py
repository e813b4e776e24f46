"""Every error that pinflow raises on purpose. One family, so that a caller can catch `PinflowError`.

A message says what happened, to which item, and what to do next. Bugs are not here: they stay
ordinary Python exceptions.
"""

from __future__ import annotations


class PinflowError(Exception):
    """Something went wrong that the person running pinflow can act on."""


class CollectionError(PinflowError):
    """A collection file cannot be used: names the file, the key, and the nearest known key."""


class LabelError(PinflowError):
    """A label cannot become a partition: empty, too long, or without a single usable letter."""


class ScrapeError(PinflowError):
    """A source gave less than was asked for: site down, refused, or an answer nobody understands.

    Expected in daily life, so the pipeline turns it into an incomplete partition, not a crash.
    """


class PictureError(PinflowError):
    """One picture cannot be used. `reason` is a machine-readable word from `schema.REJECT_REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StoreError(PinflowError):
    """The storage cannot be read or written: unreachable, full, or forbidden."""


class CorruptError(StoreError):
    """Stored bytes are not what their manifest promises."""


class TrunkError(PinflowError):
    """A trunk cannot be had: unknown name, or weights that are neither installed nor reachable."""


class SearchError(PinflowError):
    """A search request cannot be answered as asked. `field` names the part of the request at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class LinkError(PinflowError):
    """A link led to no picture. `status` is the HTTP status that says whose fault it is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StateError(PinflowError):
    """The app's own database, or a backup of it, cannot be read or written."""


class BusyError(PinflowError):
    """More is asked at once than can be answered in time; the same question may be asked again soon."""


class PurgeError(PinflowError):
    """A pin that is to be removed is not known here: names the nearest."""


class ExportError(PinflowError):
    """An export cannot be made where or as asked: says what to choose instead."""


class CheckFailed(PinflowError):
    """A blocking check failed where a release was to be made."""
