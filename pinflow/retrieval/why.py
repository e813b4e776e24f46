"""Why a pin answers a query: which parts of it match which parts of a picture, which words it has, and what
else it has in common with an example that is a pin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from pinflow.errors import SearchError
from pinflow.retrieval.query import Example, PinDetail, Query
from pinflow.retrieval.searcher import Searcher

if TYPE_CHECKING:
    from pinflow.learning.explaining.lens import Lens

MAX_PICTURES = 3  # compared in one answer: each costs two passes of the network
_WORD = re.compile(r"[^\W_]+")

LoadLens = Callable[[str], "Lens"]
TUNED = "trunk.safetensors"


class PictureMatch(BaseModel):
    """A picture of the query beside the pin."""

    example: str = Field(description="id of the pin, or `upload` for a picture that was sent")
    cosine: float = Field(description="of the two pictures as the network sees them, 256 px at most")
    first: list[list[float]] = Field(description="what each cell of the example adds; rows from the top")
    second: list[list[float]] = Field(description="what each cell of the pin adds")
    pairs: list[dict[str, Any]] = Field(
        description="the pairs of cells that add most",
        examples=[[{"first": [2, 3], "second": [2, 4], "adds": 0.031}]],
    )
    shared_attributes: dict[str, str] = Field(description="equal in both, where the example is a pin")
    shared_labels: list[str]
    recommended: bool = Field(description="whether the site shows one beside the other")


class WordMatch(BaseModel):
    """Words of the query, and where the pin has them. None: found by meaning, if at all."""

    text: str
    found: dict[str, list[str]] = Field(examples=[{"title": ["red"], "labels": ["apples"]}])


class Why(BaseModel):
    """Why a pin answers a query."""

    id: str
    pictures: list[PictureMatch]
    words: list[WordMatch]
    release: str


def parse(text: str) -> Query:
    """The `query=` of an address: the JSON of a query, or else words or, where a pin is called so, its id is
    for the caller to try first. Raises `pydantic.ValidationError`."""
    if text.lstrip().startswith("{"):
        return Query.model_validate_json(text)
    return Query(positive=[Example(text=text)])


def why(searcher: Searcher, query: Query, id: str, load_lens: LoadLens | None = None) -> Why:
    """Raises `SearchError` for an unknown id, `PictureError`, and `TrunkError` for a network that cannot be
    taken apart."""
    pin = searcher.pin(id)
    seen = [one for one in query.positive if one.id is not None or one.image is not None][:MAX_PICTURES]
    lens = _lens(searcher, load_lens) if seen else None
    return Why(
        id=id,
        pictures=[_picture(searcher, pin, one, lens) for one in seen if lens is not None],
        words=[WordMatch(text=one.text, found=_words(pin, one.text)) for one in query.positive if one.text],
        release=searcher.release.id,
    )


def why_picture(searcher: Searcher, query: Query, id: str, load_lens: LoadLens | None = None) -> bytes:
    """The first picture of the query and the pin side by side, with what joins them. PNG."""
    from pinflow.learning.explaining.draw import draw_match
    from pinflow.learning.explaining.match import why_match
    from pinflow.learning.head import Head

    searcher.pin(id)
    example = next((one for one in query.positive if one.id is not None or one.image is not None), None)
    if example is None:
        raise SearchError("query: words have no look to draw; give a pin or a picture", "query")
    lens = _lens(searcher, load_lens)
    first, second = shown(searcher, example), shown(searcher, Example(id=id))
    head = Head.from_bytes(searcher.release.shared.head)
    return draw_match(lens, first, second, why_match(lens, first, second, head))


def _picture(searcher: Searcher, pin: PinDetail, example: Example, lens: Lens) -> PictureMatch:
    from pinflow.learning.explaining.match import why_match
    from pinflow.learning.head import Head

    first, second = shown(searcher, example), shown(searcher, Example(id=pin.id))
    told = why_match(lens, first, second, Head.from_bytes(searcher.release.shared.head)).to_json()
    other = searcher.pin(example.id) if example.id is not None else None
    alike = {} if other is None else dict(other.attributes.items() & pin.attributes.items())
    labels = [] if other is None else [one for one in pin.labels if one in other.labels]
    beside = other is not None and (other.id in pin.related or pin.id in other.related)
    return PictureMatch(
        example=example.id or "upload",
        **{name: told[name] for name in ("cosine", "first", "second", "pairs")},
        shared_attributes=alike,
        shared_labels=labels,
        recommended=beside,
    )


def shown(searcher: Searcher, example: Example) -> bytes:
    """The picture as the network sees it: the thumbnail of a pin, the derivative of an upload."""
    if example.id is not None:
        searcher.pin(example.id)
        return searcher.release.thumbnail(example.id)
    from pinflow.imaging.derivatives import derive

    assert example.image is not None
    return derive(example.image).jpeg


def _words(pin: PinDetail, text: str) -> dict[str, list[str]]:
    """By field of the pin: the words of `text` that stand there, or with which a word there begins."""
    wanted = list(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))
    fields = {"title": pin.title or "", "labels": " ".join(pin.labels), "caption": pin.caption or ""}
    found = {}
    for name, content in fields.items():
        there = {word.casefold() for word in _WORD.findall(content)}
        hits = [word for word in wanted if any(one.startswith(word) for one in there)]
        if hits:
            found[name] = hits
    return found


def _lens(searcher: Searcher, load_lens: LoadLens | None) -> Lens:
    """On the network that the shared space is of."""
    from pinflow.learning.explaining.lens import tuned_lens
    from pinflow.learning.head import Head

    release = searcher.release
    if Head.from_bytes(release.shared.head).trunk:
        return tuned_lens((release.folder / TUNED).read_bytes())
    return (load_lens or default_lens)(str(release.info["encoder"]["trunk"]))


def default_lens(name: str) -> Lens:
    """That of `learning`. Raises `TrunkError`."""
    from pinflow.learning.explaining.lens import load_lens

    return load_lens(name)
