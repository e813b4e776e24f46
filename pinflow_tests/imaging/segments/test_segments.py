"""Boxes, masks, and the segmenters that need no weights."""

import numpy as np
import pytest

from pinflow.imaging.segments.components import MOST, split
from pinflow.imaging.segments.grabcut import GrabCut, cut
from pinflow.imaging.segments.paint import cut_out
from pinflow.imaging.segments.saliency import Saliency, saliency
from pinflow.imaging.segments.segment import Box, Segment
from pinflow_tests.imaging.segments.scenes import disc, overlap, wall

RED, BLUE = (200, 30, 40), (30, 60, 190)


class TestBox:
    @pytest.mark.parametrize(
        ("box", "inside"),
        [
            (Box(10, 10, 20, 20), (10, 10, 20, 20)),
            (Box(-5, -5, 20, 20), (0, 0, 15, 15)),
            (Box(90, 90, 50, 50), (90, 90, 10, 10)),
            (Box(200, 0, 10, 10), (100, 0, 0, 10)),
            (Box(10, 10, -5, 20), (10, 10, 0, 20)),
        ],
    )
    def test_the_part_inside_a_picture(self, box, inside):
        assert tuple(box.within(100, 100)) == inside

    def test_scaled_it_still_holds_what_it_held(self):
        assert Box(1, 1, 3, 3).scaled(0.5) == Box(0, 0, 2, 2)
        assert Box(3, 5, 10, 20).scaled(2) == Box(6, 10, 20, 40)

    def test_a_segments_box_just_holds_its_mask(self):
        mask = np.zeros((20, 30), np.bool_)
        mask[4:9, 7:17] = True
        assert Segment.of(mask, 1.0).box == Box(7, 4, 10, 5)


class TestSplit:
    def test_parts_come_largest_first_and_specks_not_at_all(self):
        mask = np.zeros((100, 100), np.bool_)
        mask[10:30, 10:30] = mask[50:90, 50:90] = mask[5:7, 90:92] = True
        found = split(mask, np.where(mask, 0.8, 0.1))
        assert [(one.box.left, one.box.top) for one in found] == [(50, 50), (10, 10)]
        assert found[0].score == pytest.approx(0.8, abs=0.05)

    def test_a_hole_belongs_to_what_is_around_it(self):
        _, ring = disc(wall(), 80, 60, 40, RED)
        _, hole = disc(wall(), 80, 60, 15, RED)
        (one,) = split(ring & ~hole, np.ones(ring.shape))
        assert one.mask[60, 80]

    def test_everything_is_nothing(self):
        assert split(np.ones((50, 50), np.bool_), np.ones((50, 50))) == []

    def test_there_are_never_more_than_a_person_can_edit(self):
        mask = np.zeros((200, 200), np.bool_)
        for row in range(4):
            for column in range(4):
                mask[row * 50 + 5 : row * 50 + 40, column * 50 + 5 : column * 50 + 40] = True
        assert len(split(mask, np.ones(mask.shape))) == MOST


@pytest.mark.parametrize("segmenter", [Saliency(), GrabCut()], ids=lambda one: one.name)
class TestWithoutWeights:
    def test_a_thing_on_a_wall_is_found_where_it_is(self, segmenter):
        picture, mask = disc(wall(), 60, 70, 30, RED)
        (found,) = segmenter.segments(picture)
        assert overlap(found.mask, mask) > 0.85

    def test_two_things_apart_are_two_segments(self, segmenter):
        picture, one = disc(wall(), 40, 60, 25, RED)
        picture, other = disc(picture, 120, 60, 18, BLUE)
        found = segmenter.segments(picture)
        assert len(found) == 2
        assert overlap(found[0].mask, one) > 0.8
        assert overlap(found[1].mask, other) > 0.8

    def test_an_empty_wall_shows_nothing(self, segmenter):
        assert list(segmenter.segments(wall())) == []

    def test_stripes_of_the_background_are_background(self, segmenter):
        picture = wall()
        picture[:, ::40] = picture[:, 20:40] = picture[:, 60:80] = picture[:, 100:120] = (90, 100, 110)
        picture, mask = disc(picture, 80, 60, 22, RED)
        (found,) = segmenter.segments(picture)
        assert overlap(found.mask, mask) > 0.85

    def test_the_same_picture_gives_the_same_segments(self, segmenter):
        picture, _ = disc(wall(), 60, 70, 30, RED)
        first, second = (segmenter.segments(picture)[0].mask for _ in range(2))
        assert (first == second).all()


def test_saliency_is_between_nothing_and_one():
    picture, mask = disc(wall(), 60, 70, 30, RED)
    found = saliency(picture)
    assert found.shape == mask.shape
    assert 0 <= found.min() <= found.max() <= 1
    assert found[mask].mean() > 5 * found[~mask].mean()


class TestCuttingABox:
    def test_what_a_person_drew_around_is_cut_out(self):
        picture, mask = disc(wall(), 60, 70, 30, RED)
        assert overlap(cut(picture, Box(25, 35, 72, 72)).mask, mask) > 0.9

    def test_other_things_outside_the_box_are_left_alone(self):
        picture, _ = disc(wall(), 40, 60, 25, RED)
        picture, other = disc(picture, 120, 60, 18, RED)
        assert not cut(picture, Box(10, 30, 60, 60)).mask[other].any()

    def test_a_box_with_nothing_to_tell_apart_is_taken_whole(self):
        flat = np.full((60, 80, 3), 128, np.uint8)
        assert cut(flat, Box(20, 20, 30, 20)).mask.sum() == 600

    @pytest.mark.parametrize("box", [Box(0, 0, 160, 120), Box(0, 0, 1, 1), Box(159, 119, 1, 1)])
    def test_no_box_breaks_it(self, box):
        picture, _ = disc(wall(), 60, 70, 30, RED)
        assert cut(picture, box).mask.any()


class TestPainting:
    def test_what_is_not_the_thing_turns_white_and_the_thing_stays(self):
        picture, mask = disc(wall(), 60, 70, 30, RED)
        found = cut_out(picture, Segment.of(mask, 1.0))
        assert found.shape[0] < picture.shape[0]
        assert found[0, 0].tolist() == [255, 255, 255]
        middle = found[found.shape[0] // 2, found.shape[1] // 2]
        assert middle.tolist() == list(RED)

    def test_its_own_background_may_be_kept(self):
        picture, mask = disc(wall(), 60, 70, 30, RED)
        found = cut_out(picture, Segment.of(mask, 1.0), white=False)
        assert 180 < found[0, 0].mean() < 235

    def test_at_the_edge_there_is_less_room(self):
        picture, mask = disc(wall(), 0, 0, 30, RED)
        assert cut_out(picture, Segment.of(mask, 1.0)).shape[:2] == (34, 34)
