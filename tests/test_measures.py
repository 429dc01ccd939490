"""revoskit.scoring.measures: the measures, against their definitions."""

from __future__ import annotations

import literal
import numpy as np
import pytest
from hypothesis import given, settings
from mask_strategies import rectangle, sequences

from revoskit.errors import MaskError, UsageError
from revoskit.masks.rle import MaskSequence
from revoskit.scoring import measures


def expected(truth, prediction, foreground) -> np.ndarray:
    return np.array([literal.binary_frame(*frame) for frame in zip(truth, prediction, foreground, strict=True)]).T


def found(truth, prediction, foreground) -> list[np.ndarray]:
    return [
        measures.region_similarity(truth, prediction),
        measures.boundary_measure(truth, prediction),
        measures.pixel_accuracy(truth, prediction),
        measures.robustness(truth, prediction, foreground),
    ]


@settings(max_examples=25)
@given(sequences(3))
def test_all_measures_equal_their_definitions_for_arrays_and_for_rles(masks):
    want = expected(*masks)
    np.testing.assert_allclose(found(*masks), want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found(*map(MaskSequence.encode, masks)), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 300), (300, 1), (150, 200), (97, 311)])
def test_tolerances_beyond_a_pixel_are_disks(height, width):
    rng = np.random.default_rng(height)
    truth, prediction = (np.zeros((9, height, width), np.uint8) for _ in range(2))
    for masks in (truth, prediction):
        for mask in masks[:8]:
            y, x = rng.integers(0, height), rng.integers(0, width)
            mask[max(0, y - 20) : y + 20, max(0, x - 25) : x + 25] = 1
            mask[rng.integers(0, height), rng.integers(0, width)] ^= 1
    assert measures.tolerance(height, width) >= 2
    want = expected(truth, prediction, truth | prediction)
    np.testing.assert_allclose(found(truth, prediction, truth | prediction), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("distance", [1, 2, 4, 5])
@pytest.mark.parametrize("direction", [(0, 1), (1, 0), (1, 1), (2, 1), (3, 4)])
def test_a_pixel_matches_just_as_far_as_the_tolerance_reaches(distance, direction):
    shape = (210, 280)
    radius = measures.tolerance(*shape)
    assert radius == 3
    dy, dx = distance * direction[0], distance * direction[1]
    truth, prediction = np.zeros((2, 1, *shape), np.uint8)
    truth[0, 100, 100] = 1
    prediction[0, 100 + dy, 100 + dx] = 1
    np.testing.assert_allclose(
        measures.boundary_measure(truth, prediction), [literal.boundary_f(truth[0], prediction[0])], atol=1e-12
    )


@pytest.mark.parametrize(
    "box", [(0, 0, 3, 40), (37, 0, 40, 40), (0, 0, 40, 3), (0, 37, 40, 40), (0, 0, 40, 40), (39, 39, 40, 40)]
)
def test_masks_at_every_border_keep_the_edge_rule(box):
    truth = rectangle((40, 40), *box)[None]
    prediction = rectangle((40, 40), 10, 10, 30, 30)[None]
    for g, p in ((truth, prediction), (prediction, truth), (truth, truth)):
        np.testing.assert_allclose(
            measures.boundary_measure(g, p), [literal.boundary_f(g[0], p[0])], rtol=0, atol=1e-12
        )


def test_the_four_measures_of_a_frame_by_hand():
    truth = rectangle((10, 10), 0, 0, 4, 5)[None]  # 20 pixels
    prediction = rectangle((10, 10), 2, 0, 6, 5)[None]  # 20, of them 10 right
    foreground = rectangle((10, 10), 0, 0, 4, 10)[None]  # 40
    assert measures.region_similarity(truth, prediction) == pytest.approx([10 / 30])
    assert measures.pixel_accuracy(truth, prediction) == pytest.approx([0.8])
    assert measures.robustness(truth, prediction, foreground) == pytest.approx([1 - 10 / 40], abs=1e-7)


def test_empty_masks_follow_the_conventions():
    empty, some = np.zeros((1, 8, 8), np.uint8), rectangle((8, 8), 2, 2, 5, 5)[None]
    assert measures.region_similarity(empty, empty) == measures.boundary_measure(empty, empty) == [1.0]
    assert measures.boundary_measure(some, empty) == measures.boundary_measure(empty, some) == [0.0]
    assert measures.region_similarity(some, empty) == [0.0]
    assert measures.robustness(empty, empty, empty) == [1.0]
    assert measures.robustness(empty, some, empty) == [0.0]


def test_the_tolerance_is_0_008_of_the_diagonal_rounded_up():
    assert [measures.tolerance(*size) for size in ((1, 1), (75, 100), (480, 854), (1080, 1920))] == [1, 1, 8, 18]


def test_arrays_of_any_dtype_are_read_as_zero_or_not():
    truth = rectangle((6, 6), 1, 1, 4, 4)[None]
    for dtype in (bool, np.int64, np.float32, np.int8):
        assert measures.region_similarity(truth, truth.astype(dtype) * np.ones(1, dtype)) == [1.0]
    assert measures.region_similarity(truth, truth * 255) == [1.0]


def test_lists_of_rles_may_hold_nulls_and_runs_over_several_columns():
    pixels = np.zeros((20, 5, 6), np.uint8)
    pixels[1, :, 1:4] = 1
    pixels[12, 3:, 2] = pixels[12, :2, 3] = 1
    masks = [mask if frame.any() else None for mask, frame in zip(MaskSequence.encode(pixels), pixels, strict=True)]
    assert (measures.region_similarity(pixels, masks) == 1).all()
    assert (measures.boundary_measure(masks, pixels) == 1).all()


def test_masks_of_different_frames_or_sizes_are_refused():
    masks = np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(UsageError, match=r"\(2, 4, 5\) and \(3, 4, 5\)"):
        measures.region_similarity(masks, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(UsageError, match="shape"):
        measures.region_similarity(masks[0], masks[0])
    with pytest.raises(MaskError, match="add up"):
        measures.region_similarity(masks, [{"size": [4, 5], "counts": "51"}] * 2)
    with pytest.raises(UsageError, match="nulls"):
        measures.region_similarity(masks, [None, None])


def test_no_frames_have_no_scores_and_frames_without_pixels_are_refused():
    none = np.zeros((0, 5, 6), bool)
    for measure in (measures.region_similarity, measures.boundary_measure, measures.pixel_accuracy):
        assert measure(none, none).shape == (0,)
        for shape in [(3, 0, 6), (3, 5, 0)]:
            with pytest.raises(UsageError, match="height, width"):
                measure(np.zeros(shape, bool), np.zeros(shape, bool))
    assert measures.robustness(none, none, none).shape == (0,)


def test_it_is_the_boundary_that_has_to_be_there_for_the_boundary_measure():
    full, empty, box = np.ones((1, 6, 8), bool), np.zeros((1, 6, 8), bool), np.zeros((1, 6, 8), bool)
    box[0, 2:4, 2:4] = True
    assert measures.boundary_measure(empty, full) == measures.boundary_measure(full, empty) == 1
    assert measures.boundary_measure(empty, box) == measures.boundary_measure(full, box) == 0
