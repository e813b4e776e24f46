"""Opt-out lists: who asked not to be here. `<storage>/opt_outs/*.txt`, for all collections.

One entry a line, `#` starts a comment: a pin id, the address of a page or a picture,
`domain:example.org` (and what is below it), `creator:NAME`, or `sha256:` and 64 hex digits. A pin
that an entry speaks of is never fetched; one that is here already gets a tombstone.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pinflow.labels import BadLine
from pinflow.scraping.pin import ID_LIMIT, Pin, web_address
from pinflow.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "opt_outs"
KINDS = ("domain", "creator", "sha256")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_HOST = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?$")
_SIMILAR = 0.8  # of 1, at which a word before a colon is taken for a misspelt kind
_SHOWN = 80  # characters of a bad line
_LINK = "link:"  # the origin key of an outgoing link


@dataclass(frozen=True)
class OptOuts:
    """All entries, by kind; the value of each is the list and line that it stands in."""

    ids: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    creators: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    bad: tuple[tuple[str, BadLine], ...] = ()  # list, line
    digest: str | None = None  # None without a list

    def __bool__(self) -> bool:
        return any((self.ids, self.addresses, self.domains, self.creators, self.pictures))

    def refuses(self, pin: Pin, sha256: str | None = None) -> str | None:
        """Where it says that this pin may not be here: list, line and entry. None where nothing does.
        `sha256` is the digest of its picture, once that is known."""
        addresses = [*pin.pictures, *([pin.page_url] if pin.page_url else [])]
        # A picture on a site of pins belongs to the page that it leads to.
        addresses += [key.removeprefix(_LINK) for key in pin.origin_keys if key.startswith(_LINK)]
        return (
            self.ids.get(pin.id)
            or (self.pictures.get(sha256) if sha256 else None)
            or (self.creators.get(_folded(pin.creator)) if pin.creator else None)
            or next(
                (self.addresses[one] for one in map(one_spelling, addresses) if one in self.addresses), None
            )
            or self._of_domain(addresses)
        )

    def refused(self, pins: pa.Table) -> dict[str, str]:
        """Pin id -> where it says so, for every refused pin of a `schema.PINS` table."""
        if not self:
            return {}
        names = ("id", "picture_url", "page_url", "creator", "origin_keys", "sha256")
        found: dict[str, str] = {}
        for id, picture, page, creator, keys, sha256 in zip(
            *(pins[name].to_pylist() for name in names), strict=True
        ):
            pin = Pin(id, (picture,) if picture else (), page, creator=creator, origin_keys=tuple(keys))
            if where := self.refuses(pin, sha256):
                found[id] = where
        return found

    def _of_domain(self, addresses: Iterable[str]) -> str | None:
        for address in addresses if self.domains else ():
            labels = _host(address).split(".")
            for start in range(len(labels)):
                if where := self.domains.get(".".join(labels[start:])):
                    return where
        return None


def read(store: Store) -> OptOuts:
    """All lists in storage: one listing, and a read of what is new. Bad lines stop no good one."""
    lists = {name: data for name, data in store.documents(FOLDER).items() if name.lower().endswith(".txt")}
    return parse(tuple(sorted(lists.items())))


@lru_cache(maxsize=8)
def parse(lists: tuple[tuple[str, bytes], ...]) -> OptOuts:
    """The entries of named lists. Where several speak of one thing, the first is told."""
    kinds: dict[str, dict[str, str]] = {name: {} for name in ("id", "address", *KINDS)}
    bad: list[tuple[str, BadLine]] = []
    digest = hashlib.sha256()
    for name, data in lists:
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            bad.append((name, BadLine(0, name, f"not UTF-8 ({error}): save the list as UTF-8")))
            continue
        for number, entry in _entries(text):
            try:
                kind, value = _understood(entry)
            except ValueError as error:
                bad.append((name, BadLine(number, entry[:_SHOWN], str(error))))
            else:
                kinds[kind].setdefault(value, f"{name}, line {number}: {entry[:_SHOWN]}")
    return OptOuts(
        kinds["id"],
        kinds["address"],
        kinds["domain"],
        kinds["creator"],
        kinds["sha256"],
        tuple(bad),
        digest.hexdigest() if lists else None,
    )


def _entries(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        # An address may hold a `#` of its own: a comment stands at the start, or after a space.
        entry = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if entry:
            yield number, entry


def _understood(entry: str) -> tuple[str, str]:
    """Kind and value of an entry. Raises `ValueError` saying what is wrong with it."""
    word, colon, rest = entry.partition(":")
    kind, value = word.strip().lower(), rest.strip()
    if kind in ("http", "https"):
        if web_address(entry) is None:
            raise ValueError("not an address: expected https://host/path")
        return "address", one_spelling(entry)
    if colon and kind in KINDS:
        return kind, _value(kind, value)
    if colon and (near := difflib.get_close_matches(kind, (*KINDS, "https"), 1, _SIMILAR)):
        raise ValueError(f"unknown kind {word!r}; did you mean `{near[0]}:`?")
    if len(entry) > ID_LIMIT:
        raise ValueError(f"an id has {ID_LIMIT} characters at most")
    return "id", entry


def _value(kind: str, value: str) -> str:
    if kind == "sha256":
        if not _SHA256.match(value.lower()):
            raise ValueError("expected 64 hex digits after `sha256:`")
        return value.lower()
    if kind == "creator":
        if not value:
            raise ValueError("expected a name after `creator:`")
        return _folded(value)
    host = _ascii(value.lower().removeprefix("*."))
    if not _HOST.match(host) or "." not in host.strip("."):
        raise ValueError("expected a host name such as example.org after `domain:`")
    return host.rstrip(".")


def one_spelling(url: str) -> str:
    """One spelling of an address: host in lower case, without scheme, fragment and closing slash."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"//{_ascii(parts.netloc.lower())}{parts.path.rstrip('/')}{query}"


def _host(url: str) -> str:
    try:
        return _ascii((urlsplit(url).hostname or "").lower()).rstrip(".")
    except ValueError:
        return ""


def _ascii(host: str) -> str:
    """An international name as DNS spells it."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()
