"""What a picture shows, by the release's tagger: calibrated probabilities or none, and the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pinflow.errors import SearchError
from pinflow.retrieval.query import Example, Query, Result
from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.why import LoadLens, default_lens, shown

if TYPE_CHECKING:
    from pinflow.learning.explaining.explanation import Explanation
    from pinflow.learning.explaining.lens import Lens
    from pinflow.learning.tagging.tagger import Tagger

FILE = "tagger.safetensors"
Method = Literal["grad-cam", "occlusion", "lime"]


class TagQuestion(BaseModel):
    """One picture to tag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: list[Example] = Field(
        default_factory=list,
        max_length=1,
        description="one picture: id, url or image",
        examples=[[{"id": "1"}]],
    )


class Tag(BaseModel):
    """A tag with its calibrated probability."""

    tag: str
    probability: float
    given: bool = Field(description="whether it reaches the threshold that promises the tagger's precision")
    support: float = Field(description="share of the evidence, by similarity, that has this label")


class Tags(BaseModel):
    """What the tagger says of a picture."""

    verdict: Literal["tagged", "unsure", "stranger"] = Field(
        description="a `stranger` is unlike all that it knows, an `unsure` one reaches no threshold: neither "
        "is given a tag"
    )
    familiarity: float = Field(description="cosine to the nearest tag's mean")
    precision: float = Field(description="that the thresholds aim at")
    tags: list[Tag] = Field(description="the likeliest first")
    evidence: list[Result] = Field(description="the most similar pins")
    explanation: dict[str, Any] | None = Field(None, description="where it was asked for")
    release: str


def tags(searcher: Searcher, picture: bytes) -> Tags:
    """Tags of a picture file. Raises `SearchError` for a release without a tagger, `PictureError`."""
    from pinflow.learning.tagging.evidence import evidence

    tagger = tagger_of(searcher)
    features, vector = searcher.features(picture)
    said = tagger.tag(features[None])[0]
    near = searcher.search(Query(positive=[Example(vector=tuple(vector.tolist()))], limit=10)).results
    rows = [searcher.release.shared.row_of[one.id] for one in near]
    labels = searcher.release.pins.column("labels").take(rows).to_pylist()
    support = evidence(vector, searcher.release.shared.vectors[rows], labels).support if rows else {}
    return Tags(
        verdict=said.verdict,
        familiarity=said.familiarity,
        precision=tagger.precision,
        tags=[
            Tag(tag=one.tag, probability=one.probability, given=one.given, support=support.get(one.tag, 0.0))
            for one in said.tags
        ],
        evidence=near,
        explanation=None,
        release=searcher.release.id,
    )


def explain(
    searcher: Searcher, picture: bytes, tag: str | None, method: Method, load_lens: LoadLens | None = None
) -> tuple[str, Explanation, bytes]:
    """Why the tagger thinks that the picture shows `tag`, by default the likeliest: the tag, the explanation,
    and the picture under its heat as PNG. Seconds of all cores, but for Grad-CAM."""
    from pinflow.imaging.derivatives import derive
    from pinflow.learning.explaining.ask import why_tag
    from pinflow.learning.explaining.draw import draw

    tagger = tagger_of(searcher)
    if tag is None:
        tag = tagger.tag(searcher.features(picture)[0][None])[0].tags[0].tag
    if tag not in tagger.tags:
        raise SearchError(f"tag: no tag {tag[:80]!r}; there are {', '.join(tagger.tags[:20])}", "tag")
    lens: Lens = (load_lens or default_lens)(str(searcher.release.info["encoder"]["trunk"]))
    seen = derive(picture).jpeg
    found = why_tag(lens, tagger, seen, tag, method=method)
    return tag, found, draw(lens, seen, found)


def tagger_of(searcher: Searcher) -> Tagger:
    """The release's tagger. Raises `SearchError` where it has none."""
    from pinflow.learning.tagging.tagger import Tagger

    if FILE not in searcher.release.info["files"]:
        raise SearchError("this release has no tagger: its labels have too few pictures")
    return Tagger.from_bytes((searcher.release.folder / FILE).read_bytes())


def picture_of(searcher: Searcher, question: TagQuestion) -> bytes:
    """The picture file that is asked about. Raises `SearchError` where there is none."""
    for one in question.positive:
        if one.id is not None or one.image is not None:
            return one.image if one.image is not None else shown(searcher, one)
    raise SearchError("positive: give one picture: an id, a link or a file", "positive")
