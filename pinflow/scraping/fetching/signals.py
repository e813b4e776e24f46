"""What a site says about the use of what it shows: X-Robots-Tag, Content-Usage, Content-Signal. All pure.

X-Robots-Tag is a header (its `noai`, `noimageai`, `noml` are a convention that img2dataset follows too).
Content-Usage (draft-ietf-aipref-attach) is a header and a robots.txt rule, Content-Signal
(contentsignals.org) a robots.txt rule, seen as a header too. We index what we fetch and learn from it, so a
no to either is a no.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pinflow.scraping.fetching.manners import ROBOT

_NO_LEARNING = {"noai", "noimageai", "noml"}
_NO_INDEX = {"noindex", "noimageindex", "none"}
# The vocabularies' words for learning and for searching; both drafts spell the first in two ways.
_LEARN, _SEARCH = {"train-ai", "ai-train", "bots"}, {"search"}
_USAGE_HEADERS = ("content-usage", "content-signal")
_AGENT_TAG = re.compile(r"^\s*([a-z0-9_-]+)\s*:\s*(.*)$", re.I)
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_TEXT_LIMIT = 500  # characters kept of what a site says


@dataclass(frozen=True)
class Signals:
    """What was said, as it is stored with the pin, and the words of it that forbid."""

    text: str | None = None
    no_learning: str | None = None
    no_index: str | None = None

    @property
    def against_pictures(self) -> str | None:
        """Why a picture that came with these must not be kept; None where it may."""
        return self.no_learning or self.no_index

    @property
    def against_listings(self) -> str | None:
        """The same for an answer that merely lists: sites keep their API out of search engines by `noindex`,
        which says nothing about what it lists."""
        return self.no_learning

    def also(self, other: Signals) -> Signals:
        """Both together."""
        texts = [text for text in (self.text, other.text) if text]
        return Signals(
            "; ".join(dict.fromkeys(texts)) or None,
            self.no_learning or other.no_learning,
            self.no_index or other.no_index,
        )


def of_headers(headers: Iterable[tuple[str, str]]) -> Signals:
    """The signals among an answer's headers; a name may come several times."""
    found = Signals()
    for name, value in headers:
        key = name.lower()
        if key == "x-robots-tag":
            found = found.also(_robots_tag(value))
        elif key in _USAGE_HEADERS:
            found = found.also(usage(name, value))
    return found


def usage(name: str, value: str) -> Signals:
    """One `Content-Usage` or `Content-Signal`: a list of `word=y` and `word=no`."""
    said: dict[str, bool] = {}
    for item in re.split(r"[,;]", value):
        word, equals, answer = (part.strip().lower() for part in item.partition("="))
        if word and equals:
            said[word] = answer.strip('"?') not in ("n", "no", "0")
    if not said:
        return Signals()
    text = _text(name, ", ".join(f"{word}={'y' if allowed else 'n'}" for word, allowed in said.items()))
    refused = {word for word, allowed in said.items() if not allowed}
    return Signals(text, text if refused & _LEARN else None, text if refused & _SEARCH else None)


def of_robots(content: str, path: str) -> Signals:
    """What the usage rules of a robots.txt say to us about `path` (`/` and what follows)."""
    return of_rules(rules(content), path)


def rules(content: str) -> list[tuple[str, str]]:
    """The usage rules of a robots.txt that hold for us, each with its name: as with other rules those of the
    group that names us, else those for `*`."""
    groups: dict[str, list[tuple[str, str]]] = {}
    agents: list[str] = []
    fresh = True
    for line in content.splitlines():
        key, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        if key.lower() == "user-agent":
            agents = [value.lower()] if fresh else [*agents, value.lower()]
            fresh = False
        elif key:
            fresh = True
            if key.lower() in _USAGE_HEADERS:
                for agent in agents or ["*"]:
                    groups.setdefault(agent, []).append((key, value))
    return groups.get(ROBOT, groups.get("*", []))


def of_rules(given: Iterable[tuple[str, str]], path: str) -> Signals:
    """What `rules` say about `path`; a rule may begin with the path that it is about."""
    found = Signals()
    for name, value in given:
        about, rule = ("/", value) if not value.startswith("/") else value.partition(" ")[::2]
        if path.startswith(about.rstrip("*")):
            found = found.also(usage(name, rule))
    return found


def _robots_tag(value: str) -> Signals:
    tagged = _AGENT_TAG.match(value)
    if tagged and tagged[1].lower() not in _VALUED:
        if tagged[1].lower() != ROBOT:
            return Signals()  # said to another robot
        value = tagged[2]
    words = [word.strip().lower() for word in value.split(",") if word.strip()]
    text = _text("X-Robots-Tag", ", ".join(words))
    return Signals(
        text if words else None,
        text if _NO_LEARNING.intersection(words) else None,
        text if _NO_INDEX.intersection(words) else None,
    )


def _text(name: str, value: str) -> str:
    return f"{name}: {value}"[:_TEXT_LIMIT]
