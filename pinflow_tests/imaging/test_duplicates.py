"""Near-duplicates: proposed by hash, confirmed by colour, never chained."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageEnhance

from pinflow.imaging.derivatives import derive
from pinflow.imaging.duplicates import HAMMING, LEVELS, near_duplicates
from pinflow_tests.imaging.pictures import encoded, scene


def same(_: int) -> np.ndarray:
    return np.zeros(768, np.uint8)


def hashes(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def bits(count: int) -> int:
    return (1 << count) - 1


def test_only_within_the_distance() -> None:
    assert near_duplicates(hashes(0, bits(HAMMING), bits(HAMMING + 1)), same).tolist() == [-1, 0, -1]


def test_chains_do_not_collapse() -> None:
    steps = hashes(*(bits(6 * i) for i in range(4)))
    assert near_duplicates(steps, same).tolist() == [-1, 0, -1, 2]


def test_the_nearest_kept_picture_is_chosen_then_the_earliest() -> None:
    assert near_duplicates(hashes(bits(12), 0, bits(7)), same).tolist() == [-1, -1, 0]
    assert near_duplicates(hashes(0, bits(10), bits(5)), same).tolist() == [-1, -1, 0]


def test_colour_must_agree_everywhere() -> None:
    signatures = np.zeros((3, 768), np.uint8)
    signatures[1, 5] = LEVELS
    signatures[2, 5] = LEVELS + 1
    assert near_duplicates(hashes(0, 0, 0), signatures.__getitem__).tolist() == [-1, 0, -1]


def test_known_pictures_are_kept_and_asked_for_only_when_proposed() -> None:
    asked: list[int] = []

    def signature(row: int) -> np.ndarray | None:
        asked.append(row)
        return None if row == 1 else np.zeros(768, np.uint8)

    assert near_duplicates(hashes(0, 0, bits(60), 0), signature, known=2).tolist() == [-1, -1, -1, 0]
    assert set(asked) <= {3, 0}


@pytest.mark.parametrize("known", [0, 70])
def test_blocks_agree_with_a_plain_loop(known: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2**63, 40, np.uint64)
    flips = np.uint64(1) << rng.integers(0, 63, (300, 4)).astype(np.uint64)
    values = centres[rng.integers(0, 40, 300)] ^ np.bitwise_xor.reduce(flips, 1)
    expected = [-1] * 300
    for i in range(known, 300):
        near = [
            ((int(values[i]) ^ int(values[j])).bit_count(), j)
            for j in range(i)
            if expected[j] < 0 and (int(values[i]) ^ int(values[j])).bit_count() <= HAMMING
        ]
        expected[i] = min(near)[1] if near else -1
    assert near_duplicates(values, same, known=known).tolist() == expected
    assert sum(e >= 0 for e in expected) > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_saved_again_is_found(seed: int) -> None:
    picture = scene(seed, 400, 300)
    again = [
        encoded(picture, "JPEG", quality=40),
        encoded(picture, "WEBP", quality=60),
        encoded(picture.resize((200, 150)), "JPEG", quality=80),
        encoded(ImageEnhance.Brightness(picture).enhance(1.03), "JPEG", quality=80),
    ]
    made = [derive(data) for data in [encoded(picture), *again]]
    values = np.array([one.phash for one in made], np.uint64)
    assert near_duplicates(values, lambda row: made[row].signature).tolist() == [-1, 0, 0, 0, 0]


def test_different_pictures_are_not() -> None:
    made = [derive(encoded(scene(seed))) for seed in range(60)]
    values = np.array([one.phash for one in made], np.uint64)
    assert set(near_duplicates(values, lambda row: made[row].signature).tolist()) == {-1}
