"""What Dagster loads by default, with one bug: curating the label `$CRASHING_LABEL` raises."""

import os

from pinflow.pipeline.assets import BODIES
from pinflow.pipeline.build import build_defs

curate = BODIES["images"]


def fragile(part, house):
    if f"{part.collection.name}/{part.label}" == os.environ["CRASHING_LABEL"]:
        raise RuntimeError("a bug that only this label meets")
    return curate(part, house)


BODIES["images"] = fragile
defs = build_defs()
