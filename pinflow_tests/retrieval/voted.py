"""The small release with what its neighbours are worth as votes and prices, fitted as the pipeline does."""

from __future__ import annotations

import json
from pathlib import Path

from pinflow import schema
from pinflow.retrieval.calibration import held_out, pricing, votes
from pinflow.retrieval.release import Release
from pinflow_tests.retrieval.releases import make_pins, write_info, write_release

YEARS = {"red": 1500, "green": 1600, "blue": 1700}


def voted_pins(each=8):
    """The usual drawings, each also of a school by its colour, and of about the same years."""
    pins = make_pins(each)
    for number, pin in enumerate(pins):
        colour = pin["id"].split("/")[0]
        year = YEARS[colour] + number % each
        dated = {"year_from": str(year), "year_to": str(year + 10)}
        pin["attributes"] = {**pin["attributes"], "school": f"{colour} school", **dated}
    return pins


def write_voted(folder: Path, **options) -> Path:
    """A release with `lookup.json` and `price.json` fitted to it, each picture unseen and its own group."""
    write_release(folder, **{"pins": voted_pins(), **options})
    release = Release.open(folder)
    asked = held_out(release.pins, schema.empty(schema.SPLIT_ROWS), frozen=True)
    fitted = votes(release.pins, release.shared.vectors, None, asked)
    (folder / "lookup.json").write_text(json.dumps({name: one.to_json() for name, one in fitted.items()}))
    priced = pricing(release.pins, release.shared.vectors, asked, {})
    (folder / "price.json").write_text(json.dumps(priced and priced.to_json()))
    write_info(folder, release.info)
    return folder
