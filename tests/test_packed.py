"""revoskit.masks.packed: eight frames in a byte hold what the masks hold."""

from __future__ import annotations

import literal
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import rle, sequences

from revoskit.masks.packed import pack
from revoskit.masks.rle import MaskSequence


@settings(max_examples=80)
@given(sequences(1))
def test_packed_masks_come_back_as_the_rles_they_were_made_from(masks):
    (pixels,) = masks
    rles = MaskSequence.encode(pixels)
    assert pack(rles).unpack() == rles
    assert pack(pixels).unpack() == rles


@settings(max_examples=80)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 9))
def test_masks_with_empty_runs_are_the_masks_that_they_decode_to(runs, height):
    runs = [*runs, -sum(runs) % height or (0 if sum(runs) else height)]
    flat = np.concatenate([np.full(run, i % 2, np.uint8) for i, run in enumerate(runs)])
    pixels = flat.reshape(-1, height).T[None]
    masks = MaskSequence.parse([rle(runs, *pixels.shape[1:])], *pixels.shape[1:])
    assert pack(masks).unpack() == MaskSequence.encode(pixels)
    np.testing.assert_array_equal(pack(masks).areas, pixels.sum((1, 2)))
    np.testing.assert_array_equal(pack(masks).overlap(pack(pixels)), pixels.sum((1, 2)))


@settings(max_examples=15)
@given(sequences(4))
def test_levels_of_overlap_are_those_of_the_sum(masks):
    layers = [pack(mask) for mask in masks]
    total = np.sum(masks, axis=0)
    levels = pack(total).at_least(layers, 256)
    assert len(levels) == total.max()
    for level, mask in enumerate(levels, 1):
        np.testing.assert_array_equal(mask.areas, (total >= level).sum((1, 2)))
        np.testing.assert_array_equal(mask.overlap(layers[0]), ((total >= level) & (masks[0] > 0)).sum((1, 2)))


def test_levels_are_counted_as_far_as_asked():
    layers = [pack(np.ones((2, 3, 4), np.uint8))] * 9
    assert [len(layers[0].at_least(layers, most)) for most in (3, 9, 20)] == [3, 9, 9]


@settings(max_examples=40)
@given(sequences(1))
def test_what_stays_from_one_frame_to_the_next_is_counted(masks):
    (pixels,) = masks
    want = (pixels[:-1] & pixels[1:]).sum((1, 2))
    np.testing.assert_array_equal(pack(pixels).overlap_with_next(), want)
    np.testing.assert_array_equal(pack(MaskSequence.encode(pixels)).overlap_with_next(), want)


def test_nothing_stays_of_an_object_that_jumps_to_the_other_end_of_the_frame():
    pixels = np.zeros((17, 60, 80), np.uint8)
    pixels[:8, :20, :9] = pixels[8:16, 40:, 70:] = 1
    assert pack(pixels).overlap_with_next().tolist() == [180] * 7 + [0] + [200] * 7 + [0]


@settings(max_examples=30)
@given(sequences(2))
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_what_lies_near_a_boundary_lies_within_a_disk_around_one_of_its_pixels(radius, masks):
    one, other = map(pack, masks)
    edges = [[literal.boundary_map(frame) for frame in mask] for mask in masks]
    np.testing.assert_array_equal(one.boundary_lengths, [edge.sum() for edge in edges[0]])
    want = [
        round(literal.share_within(mine, theirs, radius) * mine.sum()) if mine.any() and theirs.any() else 0
        for mine, theirs in zip(*edges, strict=True)
    ]
    np.testing.assert_array_equal(one.boundary_near(other, radius), want)
