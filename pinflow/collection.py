"""What a user declares: one YAML file a collection, validated key by key.

An error names the file, the key and the nearest known one. A bad file is skipped and reported, and
never stops the other collections.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinflow.errors import CollectionError, LabelError
from pinflow.labels import slug, text_of

NAME = re.compile(r"^[a-z][a-z0-9_]*$")
CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))  # minute, hour, day, month, weekday
RESERVED = ("label_lists", "opt_outs")  # lists of people, stored beside the collections
Kind = Literal["pinterest", "wga", "openverse", "feed", "folder"]
# The codes of Creative Commons' licences and marks.
LICENCES = (
    *("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"),
    *("cc0", "pdm", "sampling+", "nc-sampling+"),
)
Positives = Literal["related", "label", "attributes", "captions", "augmentation", "clusters"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a collection's pins come from."""

    kind: Kind = Field("openverse", description="whose pictures; unless you say so, openly licensed ones")
    path: str | None = Field(None, description="folder: directory or URL; feed, wga: file or URL")
    base_url: str | None = Field(None, description="another server than the source's own")
    accept_terms: bool = Field(False, description="you have read the site's terms")
    label_by: str | None = Field(None, description="the column whose values are labels")
    columns: dict[str, str] = Field(default_factory=dict, description="our name: your column name")
    licences: list[str] = Field(default_factory=list, description="openverse: licences to keep")
    per_label: int = Field(1000, ge=1, le=100_000, description="pins a label at most")
    related: bool = Field(True, description="ask the site for related pins")

    @field_validator("licences")
    @classmethod
    def _licences(cls, licences: list[str]) -> list[str]:
        return [_licence(written) for written in licences]

    @property
    def official_api(self) -> bool:
        """Whether `base_url` is Pinterest's API for boards of one's own (v5) rather than the site."""
        return self.kind == "pinterest" and (self.base_url or "").rstrip("/").endswith("/v5")

    @property
    def lists_labels(self) -> bool:
        """Whether `labels: all` has a meaning."""
        return self.official_api or self.kind in ("wga", "feed", "folder")

    @model_validator(mode="after")
    def _keys_for_their_kind(self) -> Source:
        if self.kind in ("feed", "folder") and not self.path:
            raise ValueError(f"`path` is needed by source kind {self.kind!r}: a file, directory or URL")
        if self.licences and self.kind != "openverse":
            raise ValueError(
                f"`licences` is for source kind 'openverse'; {self.kind!r} cannot choose by them"
            )
        return self


# What people ask for in one word. Each is a start: a key that the file sets itself holds.
RECIPES: dict[str, dict[str, Any]] = {
    # A frozen ShuffleNetV2, a dense layer on it, pair-wise contrastive loss on ideal positives (paintings of
    # one school, style and type) and ideal negatives (all others).
    "painting": {
        "trunk": "shufflenet_v2_x1_0",
        "positives": ["attributes"],
        "match": "all",
        "loss": "contrastive",
    },
    # Two views of one picture, and nothing else, belong together.
    "simclr": {"positives": ["augmentation"], "loss": "ntxent"},
    # What k-means puts together belongs together.
    "clusters": {"positives": ["clusters"], "loss": "supcon"},
}
PAINTING = ("school", "style", "type")  # the attributes of `painting` where a collection names none


class EncoderRecipe(_Strict):
    """How the collection's encoder is tuned."""

    recipe: str | None = Field(None, description=f"a start by name: {', '.join(RECIPES)}")
    trunk: str = Field(
        "tf_efficientnet_lite0",
        description="any timm name, or open_clip:ARCHITECTURE/WEIGHTS by open_clip's names",
    )
    tune: Literal["head", "full", "none"] = "head"
    positives: list[Positives] = ["related", "label"]
    match: Literal["any", "all"] = "all"
    loss: str = "auto"
    grayscale: bool = False

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("recipe") is None:
            return given
        name = given["recipe"]
        if name in RECIPES:
            return {**RECIPES[name], **given}
        near = difflib.get_close_matches(str(name), RECIPES, 1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(RECIPES)}"
        raise ValueError(f"unknown recipe {name!r}; {hint}")


class Collection(_Strict):
    """A named set of labels with one source and one recipe."""

    name: str
    description: str = ""
    source: Source = Source(kind="openverse")
    labels: list[str] | Literal["all"]
    attributes: list[str] = Field(default_factory=list, description='columns that also mean "alike"')
    group_by: list[str] = Field(default_factory=list, description="columns that must not straddle a split")
    encoder: EncoderRecipe = EncoderRecipe(trunk="tf_efficientnet_lite0")
    rescrape: str = Field("0 3 * * *", description="cron line of the nightly rescrape")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not NAME.match(name):
            raise ValueError(
                "the file's name must be lower-case letters, digits and _, starting with a letter"
            )
        if name in RESERVED:
            raise ValueError(f"the file's name {name!r} is reserved: choose another")
        return name

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, labels: Any) -> Any:
        if isinstance(labels, list):
            for label in labels:
                try:
                    slug(text_of(label))
                except LabelError as error:
                    raise ValueError(str(error)) from error
            return [text_of(label) for label in labels]
        return labels

    @field_validator("rescrape")
    @classmethod
    def _cron(cls, cron: str) -> str:
        fields = cron.split()
        if len(fields) != len(CRON) or not all(map(_is_cron_field, fields, CRON)):
            raise ValueError(f'{cron!r} is no cron line of five fields of numbers, e.g. "0 3 * * *"')
        return cron

    @model_validator(mode="before")
    @classmethod
    def _paintings(cls, given: Any) -> Any:
        encoder = given.get("encoder") if isinstance(given, dict) else None
        name = encoder.get("recipe") if isinstance(encoder, dict) else getattr(encoder, "recipe", None)
        return {"attributes": list(PAINTING), **given} if name == "painting" else given

    @model_validator(mode="after")
    def _all_where_known(self) -> Collection:
        if self.labels == "all" and not self.source.lists_labels:
            raise ValueError(
                f"`labels: all` needs a source that lists its labels; {self.source.kind} does not"
            )
        return self


@dataclass(frozen=True)
class Collections:
    """The collections of a folder, and the files that could not be read, each with its error."""

    good: dict[str, Collection] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


def load(folder: Path) -> Collections:
    """Every `*.yaml` of the folder. A file with an error is reported in `.bad`, by file name."""
    good: dict[str, Collection] = {}
    bad: dict[str, str] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            if path.stem in good:
                raise CollectionError(f"{path}: {path.stem}.yaml is there too: keep one of them")
            good[path.stem] = read(path)
        except CollectionError as error:
            bad[path.name] = str(error)
    return Collections(good, bad)


def read(path: Path) -> Collection:
    """One collection file. Raises `CollectionError`."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CollectionError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CollectionError(f"{path}: expected keys such as `source:` and `labels:`")
    try:
        return Collection(name=path.stem, **content)
    except TypeError as error:
        raise CollectionError(f"{path}: {error}") from error
    except ValidationError as error:
        raise CollectionError("; ".join(f"{path}: {_explain(e)}" for e in error.errors())) from error


def _licence(written: str) -> str:
    """The code of a licence as people write it: `CC BY-SA 4.0`, `cc-by-sa`, `by_sa`."""
    code = re.sub(r"[-_ ]+", "-", written.strip().lower())
    code = re.sub(r"-\d\.\d$", "", code).removeprefix("cc-")
    code = {"public-domain-mark": "pdm", "public-domain": "pdm", "zero": "cc0"}.get(code, code)
    if code in LICENCES:
        return code
    near = difflib.get_close_matches(code, LICENCES, 1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(LICENCES)}"
    raise ValueError(f"unknown licence {written!r}; {hint}")


def _is_cron_field(field: str, bounds: tuple[int, int]) -> bool:
    """Whether each part is `*`, `n` or `n-m`, with `/step` or without, inside `bounds`."""
    low, high = bounds
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?", part)
        if not found:
            return False
        first, last = int(found[1] or low), int(found[2] or found[1] or high)
        if not low <= first <= last <= high:
            return False
    return True


def _explain(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    key = ".".join(where) or "file"
    if error["type"] != "extra_forbidden":
        return f"`{key}`: {error['msg'].removeprefix('Value error, ')}"
    sections: dict[str, type[BaseModel]] = {"source": Source, "encoder": EncoderRecipe}
    model = sections.get(where[0], Collection)
    known = [name for name in model.model_fields if name != "name"]
    near = difflib.get_close_matches(where[-1], known, 1)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(known)}"
    return f"unknown key `{key}`{hint}"


KINDS: tuple[str, ...] = get_args(Kind)
