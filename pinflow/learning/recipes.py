"""Recipes by name: `EncoderRecipe`s that people ask for in one word, and the columns they take as alike."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from pinflow.collection import EncoderRecipe
from pinflow.errors import PinflowError


@dataclass(frozen=True)
class NamedRecipe:
    """An encoder's recipe, with the collection's `attributes:` that it needs."""

    encoder: EncoderRecipe
    attributes: tuple[str, ...] = ()


RECIPES = {
    # Pair-wise contrastive loss on ideal positives (the same school, style and type of painting) and ideal
    # negatives (everything else).
    "painting": NamedRecipe(
        EncoderRecipe(positives=["attributes"], match="all", loss="contrastive"), ("school", "style", "type")
    ),
    "simclr": NamedRecipe(EncoderRecipe(positives=["augmentation"], loss="ntxent")),
    "clustering": NamedRecipe(EncoderRecipe(positives=["clusters"])),
}


def named(name: str) -> NamedRecipe:
    """The recipe of that name. Raises `PinflowError` with the nearest one."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, 1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(RECIPES)}"
    raise PinflowError(f"unknown recipe {name!r}: {hint}")
