"""The ways to make a text tower that are tried against each other.

Of a sentence encoder that never saw a picture, the map into the pictures' space is learned (`linear`,
`mixup`). Where the trunk is open_clip's, its own words lie in that space already: they are taken as they are,
through the head that the pictures go through (`untuned`), or tuned from there with the loss that CLIP was
trained with (`tuned`). Tuning moves the map behind the words' network and not the network: a collection has
hundreds of captions, and hundreds of millions made what it knows (CLIP-Adapter, Gao et al. 2021, arXiv
2110.04544, has the same reason).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.learning.explaining.score import affine_map
from pinflow.learning.head import Head
from pinflow.learning.text import SENTENCES
from pinflow.learning.text.tune import Recipe

Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]  # sentences -> unit vectors (n, t)


@dataclass(frozen=True)
class Contender:
    """One way. `start` (d, t): where the map starts; None: at the ridge regression of pictures on words."""

    name: str
    sentences: str  # the model behind `encode`, by the name that loads it again
    encode: Encode
    recipe: Recipe
    start: Floats | None = None


def of_minilm(encode: Encode) -> list[Contender]:
    """A tower tuned without mixup was between these two on both sample sets, and nearer to the linear one."""
    recipes = {"linear": Recipe(steps=0), "mixup": Recipe(steps=100, mixup=1.0)}
    return [Contender(name, SENTENCES, encode, recipe) for name, recipe in recipes.items()]


def of_clip(name: str, encode: Encode, head: Head, width: int) -> list[Contender]:
    """Those of an open_clip trunk (`name`) whose vectors have `width` numbers, before `head`. A head that
    takes other vectors, or is no map of them, leaves the regression as a start."""
    try:
        start = affine_map(head, width)[0] if head.fits(width) else None
    except ValueError:
        start = None
    # A tenth of the default rate: what it starts from is good already.
    recipes = {"untuned": Recipe(steps=0), "tuned": Recipe(steps=100, learning_rate=2e-4)}
    return [Contender(f"open_clip {how}", name, encode, recipe, start) for how, recipe in recipes.items()]
