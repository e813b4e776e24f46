"""Joining the chunks that a package cuts its network into."""

import hashlib
import json

import pytest

from pinflow.errors import PinflowError
from pinflow.sample.isnet import MODEL, RESOURCES, joined

PARTS = (b"first chunk", b"second")


def package(**changes):
    names = [hashlib.sha256(part).hexdigest() for part in PARTS]
    chunks = [
        {"hash": names[1], "offsets": [len(PARTS[0]), len(PARTS[0]) + len(PARTS[1])]},
        {"hash": names[0], "offsets": [0, len(PARTS[0])]},
    ]
    about = {"chunks": chunks, "size": sum(map(len, PARTS)), **changes}
    files = {f"dist/{name}": part for name, part in zip(names, PARTS, strict=True)}
    return files | {RESOURCES: json.dumps({MODEL: about}).encode()}


def test_chunks_are_joined_in_the_order_of_their_places():
    assert joined(package(), MODEL) == b"".join(PARTS)


@pytest.mark.parametrize("damage", [b"first chunl", b"short"])
def test_a_damaged_chunk_is_refused(damage):
    files = package()
    files[f"dist/{hashlib.sha256(PARTS[0]).hexdigest()}"] = damage
    with pytest.raises(PinflowError, match=r"damaged|another size"):
        joined(files, MODEL)


def test_a_whole_of_another_size_is_refused():
    with pytest.raises(PinflowError, match="not 99"):
        joined(package(size=99), MODEL)


def test_a_package_without_the_model_is_not_as_expected():
    with pytest.raises(PinflowError, match="not as expected"):
        joined(package(), "/models/huge")
