"""What can be asked, and what is answered: the shapes that web, command line and library share.

An `Answer` is printed and sent as its JSON and nothing else, so that `--json` equals the HTTP body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from pinflow.errors import SearchError
from pinflow.retrieval.colours import WITHIN

MAX_EXAMPLES = 50
MAX_LIMIT = 200
Text = Annotated[str, Field(max_length=1000)]
Id = Annotated[str, Field(max_length=500)]


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(
            value.partition(",")[2] if value.startswith("data:") else value, validate=True
        )
    except binascii.Error as error:
        raise ValueError("not base64") from error


Picture = Annotated[
    bytes,
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str),
]


def _full_filter(given: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """The one spelling of a filter that everything behind it sees."""
    full = {key: value for key, value in given.items() if key in known}
    for key, value in given.items():
        if key == "label":
            parts = {"labels": [value] if isinstance(value, str) else value}
        elif key == "price":
            parts = _price(value)
        elif key not in known:
            parts = {"attributes": {**full.get("attributes", {}), key: value}}
            full.pop("attributes", None)
        else:
            continue
        twice = sorted(parts.keys() & full.keys())
        if twice:
            raise ValueError(f"{key} says the same as {twice[0]}; give one of them")
        full |= parts
    if isinstance(full.get("licence"), str):
        full["licence"] = [full["licence"]]
    return full


def _hexadecimal(colour: str) -> str:
    from PIL.ImageColor import getrgb

    red, green, blue = getrgb(colour)[:3]  # its ValueError says what is wrong
    return f"#{red:02x}{green:02x}{blue:02x}"


def _price(value: Any) -> dict[str, Any]:
    names = {"min": "price_min", "max": "price_max", "currency": "currency"}
    if not isinstance(value, dict) or not value.keys() <= names.keys():
        raise ValueError("price: give {min, max, currency}, or some of them")
    return {names[key]: one for key, one in value.items()}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Strict):
    """One thing to look for, or to avoid. Exactly one of its fields is set."""

    text: Text | None = Field(None, description="words, searched in titles, labels and captions")
    url: Text | None = Field(None, description="link to a picture, or to a page with one of its own")
    id: Id | None = Field(None, description="id of a pin of this collection")
    image: Picture | None = Field(None, description="a picture file, base64 in JSON")
    vector: tuple[float, ...] | None = Field(
        None, max_length=8192, description="a vector in the space that is searched; need not be normalised"
    )

    @field_validator("image", mode="before")
    @classmethod
    def _image(cls, value: Any) -> Any:
        return _from_base64(value)

    @model_validator(mode="after")
    def _exactly_one(self) -> Example:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of text, url, id, image, vector; found {', '.join(given) or 'none'}"
            )
        return self


class Filter(_Strict):
    """Which pins may be found. Everything given must hold; a pin without a price is in no price range.

    `label`, `price: {min, max, currency}` and a single `licence` may be given too, and any other key is an
    attribute: `{"category": "shoes"}` is `{"attributes": {"category": "shoes"}}`.
    """

    labels: list[str] | None = Field(
        None, max_length=1000, description="found under any of these (slug or query)"
    )
    price_min: float | None = Field(None, ge=0, allow_inf_nan=False)
    price_max: float | None = Field(None, ge=0, allow_inf_nan=False)
    currency: str | None = Field(None, max_length=10, description="ISO 4217 code")
    attributes: dict[str, str | list[str]] = Field(
        default_factory=dict,
        max_length=50,
        description="each equal, letter by letter, or one of several",
    )
    licence: list[str] | None = Field(
        None, max_length=100, description="any of these, as the site gives them"
    )

    colour: str | None = Field(
        None, max_length=60, description="shown by the picture: #rrggbb, or a CSS colour such as `navy`"
    )
    colour_within: float = Field(
        WITHIN,
        gt=0,
        le=200,
        allow_inf_nan=False,
        description="how far from `colour` still counts, in CIEDE2000 units: 2 can just be told apart",
    )

    @field_validator("colour")
    @classmethod
    def _colour(cls, value: str | None) -> str | None:
        return value and _hexadecimal(value)

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: Any) -> Any:
        return _full_filter(given, set(cls.model_fields)) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _range(self) -> Filter:
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError(f"price_min {self.price_min:g} is above price_max {self.price_max:g}")
        return self


class Query(_Strict):
    """A search. Several examples are combined. Without any, the most typical pins come first."""

    positive: list[Example] = Field(default_factory=list, max_length=MAX_EXAMPLES)
    negative: list[Example] = Field(default_factory=list, max_length=MAX_EXAMPLES)
    label: str | None = Field(None, max_length=500, description="search within this label (slug or query)")
    filter: Filter = Field(default_factory=Filter)
    limit: int = Field(20, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before")
    min_score: float | None = Field(
        None, allow_inf_nan=False, description="leave out results below this score"
    )
    space: Literal["shared", "local", "style"] = Field(
        "shared",
        description="`local` compares in the label's own space and needs `label`; `style` looks for the same "
        "hand rather than the same thing",
    )
    style: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="how much the style counts beside the content, in `shared` space: 0 not at all, 1 alone",
    )

    diversity: float = Field(
        0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="how much unlikeness counts beside relevance among the first results: 0 not at all",
    )
    mix: Literal["blend", "interleave"] = Field(
        "blend",
        description="several positive examples: `blend` looks for what is like all of them, `interleave` "
        "shows what is like each in turn",
    )

    def moods(self) -> list[Query]:
        """The searches that this one is made of: one an example where they are to be interleaved."""
        if self.mix == "blend" or len(self.positive) < 2:
            return [self]
        return [self.model_copy(update={"positive": [example]}) for example in self.positive]

    def digest(self) -> str:
        """The same for every page of one search, and only for those."""
        # A picture of megabytes takes part by its digest, not spelled out in base64.
        sides = [
            [
                hashlib.sha256(example.image).hexdigest()
                if example.image is not None
                else example.model_dump_json()
                for example in side
            ]
            for side in (self.positive, self.negative)
        ]
        rest = self.model_dump_json(exclude={"cursor", "limit", "positive", "negative"})
        return hashlib.sha256(json.dumps([sides, rest]).encode()).hexdigest()[:16]


class Pin(BaseModel):
    """A pin as it is shown to a person."""

    id: str
    label: str | None = Field(description="slug of the label it was found under")
    title: str | None
    page_url: str | None
    image_url: str | None = Field(description="where the original picture came from")
    thumb_url: str = Field(description="the thumbnail, relative to this server")
    attributes: dict[str, str]
    price: float | None
    currency: str | None
    licence: str | None
    creator: str | None
    fetched_at: str | None = Field(description="when the picture was fetched, ISO 8601")
    width: int = Field(description="pixels of the original")
    height: int = Field(description="pixels of the original")


class Result(Pin):
    """A pin that was found."""

    rank: int = Field(description="1 for the best, counted through all pages")
    score: float = Field(
        description="pictures: cosine similarity, -1 to 1; words alone: relevance relative to the best "
        "hit, 0 to 1; both: the mean of the two, a negative cosine counting as 0; with `style`, the style's "
        "cosine, brought to the scale of the content's, takes its share of the cosine; less a penalty for "
        "whatever resembles a negative example by other means than the positive ones. With `diversity` "
        "or `interleave` results do not come in the order of their scores"
    )


class Answer(BaseModel):
    """Results, best first."""

    results: list[Result]
    next_cursor: str | None = Field(description="ask again with it for the next page; null on the last one")
    timings_ms: dict[str, float] = Field(description="milliseconds by stage")
    release: str = Field(description="id of the release that was searched")

    def after(self, fetch_ms: float) -> Answer:
        """The same where its links took so long to follow first."""
        total = round(self.timings_ms["total"] + fetch_ms, 3)
        timings = {"fetch": round(fetch_ms, 3), **self.timings_ms, "total": total}
        return self.model_copy(update={"timings_ms": timings})


class PinDetail(Pin):
    """A pin with everything that the release knows about it."""

    labels: list[str]
    caption: str | None
    related: list[str] = Field(description="ids of the pins that the site recommends beside it")
    sha256: str
    release: str


def write_cursor(release: str, query: Query, offset: int) -> str:
    """The opaque cursor for the page that starts at `offset`."""
    content = json.dumps([release, query.digest(), offset], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def release_of(cursor: str) -> str | None:
    """The id of the release that a cursor belongs to; None for what is no cursor."""
    try:
        return str(_opened(cursor)[0])
    except _DAMAGED:
        return None


def read_cursor(release: str, query: Query) -> int:
    """The offset in the query's cursor, 0 without one.

    Raises `SearchError` for a cursor that is damaged, of another query, or of another release.
    """
    if query.cursor is None:
        return 0
    try:
        of_release, digest, offset = _opened(query.cursor)
        valid = isinstance(offset, int) and not isinstance(offset, bool) and 0 < offset < 1 << 40
    except _DAMAGED as error:
        raise SearchError(
            "cursor: not one that this server gave; leave it out to start again", "cursor"
        ) from error
    if not valid or digest != query.digest():
        raise SearchError("cursor: belongs to another search; leave it out to start again", "cursor")
    if of_release != release:
        raise SearchError("cursor: the collection was renewed since; leave it out to start again", "cursor")
    return int(offset)


_DAMAGED = (ValueError, TypeError, UnicodeDecodeError, RecursionError)


def _opened(cursor: str) -> tuple[Any, Any, Any]:
    padded = cursor + "=" * (-len(cursor) % 4)
    release, digest, offset = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    return release, digest, offset
