"""Runs of many frames are united and written as those of each frame alone would be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from revoskit.masks.rle import MaskSequence
from revoskit.masks.runs import Counts, frames_at_once


def of_pixels(pixels: np.ndarray) -> list[str]:
    return [coco.encode(np.asfortranarray(frame))["counts"].decode() for frame in pixels]


@st.composite
def patchy_tracks(draw):
    """Pixels of two to five tracks of many small frames, bool (tracks, T, 3, 4), and where a track has no mask."""
    tracks, frames = draw(st.integers(2, 5)), draw(st.sampled_from([1, 2, 7, 255, 256, 257, 600]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (tracks, frames, 3, 4)
    pixels = rng.random(shape) < draw(st.sampled_from([0.02, 0.3, 0.9]))
    absent = rng.random(shape[:2]) < draw(st.sampled_from([0, 0.2, 0.8, 1]))
    pixels[absent] = False
    return pixels, absent


@given(patchy_tracks())
@settings(max_examples=60)
def test_a_union_of_many_frames_is_written_as_that_of_its_pixels(case):
    pixels, absent = case
    tracks = [
        MaskSequence.parse(
            [None if gone else mask for gone, mask in zip(missing, MaskSequence.encode(track), strict=True)], 3, 4
        )
        for track, missing in zip(pixels, absent, strict=True)
    ]
    united = tracks[0].union(*tracks[1:])
    assert [mask["counts"] for mask in united] == of_pixels(pixels.any(0))


def with_needless_digits(runs: list[int]) -> str:
    """COCO's counts of short runs, each number in two digits though one will do."""
    numbers = runs[:3] + [run - before for run, before in zip(runs[3:], runs[1:], strict=False)]
    assert all(-16 <= number < 16 for number in numbers)
    return "".join(chr(48 + (number & 31 | 32)) + chr(48 + (31 if number < 0 else 0)) for number in numbers)


@pytest.mark.parametrize("runs", [[2, 1, 1, 1, 1], [1, 3, 1, 1], [0, 6]])
@pytest.mark.parametrize("frames", [1, 9])
def test_a_union_has_no_needless_digits_where_a_track_has_them(runs, frames):
    mask = {"size": [2, 3], "counts": with_needless_digits(runs)}
    track = MaskSequence.parse([mask, *[None] * (frames - 1)], 2, 3)
    assert track[0] == mask
    united = track.union(MaskSequence.parse([None] * frames, 2, 3))
    assert [one["counts"] for one in united] == of_pixels(track.decode())


@pytest.mark.parametrize("share", [0, 1])
def test_masks_of_the_most_pixels_that_32_bits_tell_apart_are_united(share):
    """One frame at a time, in which an edge lies at the very end or at the very start."""
    height, width = 2**13, 2**13
    assert frames_at_once(height * width) == 15
    first, last = np.array([5, share * 2**26]), np.array([9, share * 2**26 + 2**26 - 7])
    one = MaskSequence.from_intervals(*(np.sort(edge[:1]) for edge in (first, last)), 16, height, width)
    other = MaskSequence.from_intervals(*(edge[1:] for edge in (first, last)), 16, height, width)
    assert one.union(other).areas().tolist()[:2] == [[2**26 - 7, 0], [4, 2**26 - 7]][share]


def test_counts_are_cut_joined_and_taken_like_lists():
    strings = ["abc", "", "d", "", "ef"]
    counts = Counts.of(strings)
    assert counts.strings() == strings
    assert counts.sizes().tolist() == [3, 0, 1, 0, 2]
    assert counts.present().tolist() == [0, 2, 4]
    for begin in range(6):
        for end in range(begin, 6):
            assert counts.some(begin, end).strings() == strings[begin:end]
    assert counts.take([4, 0, 2, 1]).strings() == ["ef", "abc", "d", ""]
    assert Counts.joined([counts, Counts.of([]), counts]).equal(Counts.of(strings * 2))
    assert not counts.equal(Counts.of(["ab", "c", "d", "", "ef"]))
