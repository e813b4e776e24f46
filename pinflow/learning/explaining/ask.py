"""What a person asks of a picture, answered in one call. Serving and notebooks start here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.gradcam import grad_cam
from pinflow.learning.explaining.lens import Lens
from pinflow.learning.explaining.lime import lime
from pinflow.learning.explaining.occlusion import occlusion
from pinflow.learning.explaining.score import tag_score
from pinflow.learning.tagging.tagger import Tagger

# Cheapest first: one pass forward and back, some 130 forward passes, 300.
METHODS: dict[str, Callable[..., Explanation]] = {"grad-cam": grad_cam, "occlusion": occlusion, "lime": lime}


def why_tag(
    lens: Lens, tagger: Tagger, picture: bytes, tag: str, *, method: str = "grad-cam", **options: Any
) -> Explanation:
    """Why the tagger thinks that an encoded picture shows `tag`, by one of `METHODS`; `options` are those of
    the method, such as LIME's `samples` and `seed`. The lens must be on the tagger's trunk.

    Raises `ValueError` for an unknown tag or method, `PictureError` for what is no picture.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}: choose one of {', '.join(METHODS)}")
    return METHODS[method](lens, picture, tag_score(tagger, tag), **options)
