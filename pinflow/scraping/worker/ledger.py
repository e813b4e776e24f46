"""What one crawl has to say for itself: what is missing, what was counted, and when it gave up."""

from __future__ import annotations

from collections import Counter

TROUBLES = 10  # requests in a row without a use, after which the site is taken to be down, or closed to us


class GivenUp(Exception):
    """The crawl cannot go on; the reason stands in the ledger."""


class Ledger:
    """Shared by all who ask for something in one crawl."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.counts: Counter[str] = Counter()
        self.given_up = False
        self._troubles = 0

    def answered(self) -> None:
        """The site gave what was asked for, or said that there is no such thing."""
        self._troubles = 0

    def trouble(self, cause: str) -> None:
        """The site gave no answer after all retries, or refused. Raises `GivenUp` at too many in a row."""
        self._troubles += 1
        if self._troubles >= TROUBLES:
            raise self.give_up(f"the site stopped answering: {cause}")

    def give_up(self, reason: str) -> GivenUp:
        """Note why the crawl cannot go on; the caller raises what this returns."""
        self.given_up = True
        if reason not in self.reasons:
            self.reasons.append(reason)
        return GivenUp(reason)
