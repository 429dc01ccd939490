"""Masks are read as the COCO API reads them, and nothing unsound gets as far as its native code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import counts_from, rle
from mask_strategies import pixels as noise
from pycocotools import mask as coco

from revoskit.errors import MaskError
from revoskit.masks.rle import MAX_PIXELS, MaskSequence, faults
from revoskit.masks.runs import Runs, write

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40))
PIXELS = SHAPES.flatmap(lambda shape: noise(*shape))


def naive_pixels(runs: list[int], height: int, width: int) -> np.ndarray:
    flat = np.concatenate([np.full(run, i % 2, np.uint8) for i, run in enumerate(runs)])
    return flat.reshape(width, height).T


@given(PIXELS)
def test_encoding_and_decoding_give_the_pixels_back(pixels):
    masks = MaskSequence.encode(pixels)
    assert (masks.decode() == pixels).all()
    assert (masks.areas() == pixels.sum((1, 2))).all()
    assert MaskSequence.parse(list(masks), *pixels.shape[1:]) == masks


@given(PIXELS)
def test_masks_are_what_pycocotools_writes(pixels):
    for mask, frame in zip(MaskSequence.encode(pixels), pixels, strict=True):
        assert mask["counts"] == coco.encode(np.asfortranarray(frame))["counts"].decode()


@given(st.lists(st.integers(0, 70), min_size=1, max_size=30), st.data())
def test_any_run_lengths_that_fill_the_mask_are_accepted_and_read_right(runs, data):
    total = sum(runs)
    if total == 0:
        runs, total = [1], 1
    height = data.draw(st.sampled_from([d for d in range(1, total + 1) if total % d == 0]))
    width = total // height
    mask = rle(runs, height, width)
    assert faults([mask], height, width) == []
    masks = MaskSequence.parse([mask], height, width)
    assert masks[0] == mask, "kept to the letter"
    assert (masks.decode()[0] == naive_pixels(runs, height, width)).all()
    assert masks.areas()[0] == sum(runs[1::2])
    assert (masks.union(masks).decode()[0] == naive_pixels(runs, height, width)).all()


def test_empty_runs_in_the_middle_do_not_end_a_union_early():
    # Two masks that both have an empty run at the same place: pycocotools' own merge stops there.
    one, other = rle([3, 0, 2, 5], 2, 5), rle([3, 0, 4, 3], 2, 5)
    united = MaskSequence.parse([one], 2, 5).union(MaskSequence.parse([other], 2, 5))
    expected = naive_pixels([3, 0, 2, 5], 2, 5) | naive_pixels([3, 0, 4, 3], 2, 5)
    assert (united.decode()[0] == expected).all()


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(*[noise(3, 9, 7)] * n)))
def test_a_union_covers_what_any_of_its_masks_covers(stacks):
    first, *rest = [MaskSequence.encode(pixels) for pixels in stacks]
    assert (first.union(*rest).decode() == np.bitwise_or.reduce(stacks)).all()


def test_a_null_counts_as_an_empty_mask_and_stays_null():
    pixels = np.ones((1, 4, 6), np.uint8)
    masks = MaskSequence.parse([None, *MaskSequence.encode(pixels), None], 4, 6)
    assert next(iter(masks)) is None
    assert masks.areas().tolist() == [0, 24, 0]
    assert masks.decode().sum((1, 2)).tolist() == [0, 24, 0]
    assert None not in list(masks.union())
    assert masks.union(MaskSequence.empty(3, 4, 6)).areas().tolist() == [0, 24, 0]
    assert coco.decode(list(masks.filled())).shape == (4, 6, 3)


def test_sequences_are_cut_and_reordered_like_lists():
    pixels = np.zeros((3, 4, 5), np.uint8)
    pixels[1, 1:3] = 1
    masks = MaskSequence.encode(pixels)
    assert masks[1:].areas().tolist() == [10, 0]
    assert masks.take([1, 0, 1, -2]).areas().tolist() == [10, 0, 10, 10]
    with pytest.raises(IndexError):
        masks.take([3])
    assert masks.take([]).runs() == []


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ({"size": [4, 5], "counts": ""}, "empty"),
        ({"size": [5, 4], "counts": counts_from([20])}, "size"),
        ({"size": "45", "counts": counts_from([20])}, "size"),
        ({"size": [4, 5], "counts": counts_from([19])}, "add up to 19 pixels, expected 4x5 = 20"),
        ({"size": [4, 5], "counts": counts_from([10, 11])}, "add up to 21"),
        ({"size": [4, 5], "counts": counts_from([25, -5])}, "negative"),
        ({"size": [4, 5], "counts": counts_from([20])[:-1] + "d"}, "break off"),
        ({"size": [4, 5], "counts": "\x00"}, "alphabet"),
        ({"size": [4, 5], "counts": "ü"}, "alphabet"),
        ({"size": [4, 5], "counts": "oooooooo0"}, "too large"),
        ({"size": [4, 5], "counts": [20]}, "its counts are 1 numbers, which are not the runs of 4x5 pixels"),
        ({"size": [4, 5]}, "expected null or"),
        ("mask", "expected null or"),
    ],
)
def test_an_unsound_mask_is_named_with_its_reason(mask, reason):
    good = rle([20], 4, 5)
    [fault] = faults([good, None, mask, good], 4, 5)
    assert fault.index == 2
    assert reason in fault.reason
    with pytest.raises(MaskError, match="mask 2"):
        MaskSequence.parse([good, None, mask, good], 4, 5)


def padded(number: int, digits: int) -> str:
    """COCO's string of a number below 16, in more digits than it needs."""
    return "".join(chr(48 + (value | 32)) for value in [number, *[0] * (digits - 2)]) + "0"


def test_a_number_may_have_six_digits_and_no_more():
    assert faults([rle([2**24 + 2**12], 4097, 4096)], 4097, 4096) == []  # it takes six
    assert faults([{"size": [3, 5], "counts": padded(15, 6)}], 3, 5) == []
    [fault] = faults([{"size": [3, 5], "counts": padded(15, 7)}], 3, 5)
    assert "too large" in fault.reason


def test_every_unsound_mask_is_found_not_only_the_first():
    good = rle([20], 4, 5)
    masks = [rle([19], 4, 5), good, {"size": [4, 5], "counts": ""}, rle([30, -10], 4, 5), good, "x"]
    assert [fault.index for fault in faults(masks, 4, 5)] == [0, 2, 3, 5]


@settings(max_examples=400)
@given(st.lists(st.one_of(st.text(max_size=12), st.text("0123456789:;<=>?@OPQnop", max_size=12)), max_size=6))
def test_wild_counts_are_refused_or_decode_to_exactly_their_runs(texts):
    masks = [{"size": [3, 4], "counts": text} for text in texts]
    bad = {fault.index for fault in faults(masks, 3, 4)}
    for i, mask in enumerate(masks):
        if i not in bad:
            pixels = MaskSequence.parse([mask], 3, 4).decode()
            assert set(np.unique(pixels)) <= {0, 1}
            assert coco.area(mask) == pixels.sum()


def test_sizes_that_native_code_cannot_count_are_refused():
    assert "not supported" in faults([rle([1], 1, 1)], 2**16, 2**16)[0].reason
    with pytest.raises(MaskError, match="not supported"):
        MaskSequence.parse([], 0, 5)


def test_a_sequence_cannot_be_made_around_the_checks():
    with pytest.raises(TypeError):
        MaskSequence()


@st.composite
def sampled_masks(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rows, columns = (
        sorted(byte % size for byte in draw(st.binary(min_size=1, max_size=12))) for size in (height, width)
    )
    shape = (draw(st.integers(1, 4)), height, width)
    return draw(noise(*shape)).astype(bool), np.array(rows), np.array(columns)


@given(sampled_masks())
@settings(max_examples=300)
def test_sampling_a_mask_gives_what_decoding_it_gives(case):
    pixels, rows, columns = case
    masks = [None if not pixel.any() else mask for pixel, mask in zip(pixels, MaskSequence.encode(pixels), strict=True)]
    sampled = MaskSequence.parse(masks, *pixels.shape[1:]).sample(rows, columns)
    assert (sampled == pixels[:, rows][:, :, columns]).all()


# One unsigned byte is full around these numbers, and two at the last. Some versions of `pycocotools` count in one byte.
LENGTHS = (255, 256, 257, 65_536)


def moving_pixel(frames: int) -> np.ndarray:
    """(frames, 1, 3) with the object in the first, second or third column in turn, and every fourth frame empty."""
    pixels = np.zeros((frames, 1, 3), np.uint8)
    there = np.arange(frames) % 4
    pixels[there < 3, 0, there[there < 3]] = 1
    return pixels


@pytest.mark.parametrize("frames", LENGTHS)
def test_everything_is_right_for_any_number_of_frames(frames):
    pixels = moving_pixel(frames)
    masks = MaskSequence.parse(list(MaskSequence.encode(pixels)), 1, 3)
    assert (masks.decode() == pixels).all()
    assert masks.areas().tolist() == pixels.sum((1, 2)).tolist()
    x = np.where(np.arange(frames) % 4 < 3, np.arange(frames) % 4, 0)
    size = pixels.any((1, 2))
    assert (masks.boxes() == np.stack([x * size, 0 * x, size, size], axis=1)).all()
    assert (masks.sample(np.array([0]), np.array([0, 2])) == pixels[:, :, [0, 2]]).all()


@pytest.mark.parametrize("frames", LENGTHS[:3])
def test_runs_and_unions_are_right_for_any_number_of_frames_and_of_tracks(frames):
    pixels = moving_pixel(frames)
    masks = MaskSequence.encode(pixels)
    assert [sum(run[1::2]) for run in masks.runs()] == pixels.sum((1, 2)).tolist()
    assert MaskSequence.from_intervals(*masks.intervals(), frames, 1, 3) == masks
    assert (masks.union(MaskSequence.encode(pixels[::-1])).decode() == (pixels | pixels[::-1])).all()
    single = [masks[i : i + 1] for i in range(frames)]
    assert single[0].union(*single[1:]).decode().ravel().tolist() == [1, 1, 1]


@pytest.mark.parametrize(("height", "width"), [(255, 257), (256, 256), (65_536, 3), (3, 65_537), (1_440, 2_560)])
def test_frames_of_more_pixels_than_two_bytes_count(height, width):
    pixels = np.zeros((2, height, width), np.uint8)
    pixels[0] = 1
    pixels[1, 1:, : width - 1] = 1
    masks = MaskSequence.parse(list(MaskSequence.encode(pixels)), height, width)
    assert masks.areas().tolist() == [height * width, (height - 1) * (width - 1)]
    assert masks.boxes().tolist() == [[0, 0, width, height], [0, 1, width - 1, height - 1]]
    assert masks[1:].union(masks[:1]).areas().tolist() == [height * width]
    assert (masks.decode() == pixels).all()


@given(
    st.lists(st.one_of(st.none(), noise(3, 4)), max_size=9),
    st.slices(9),
)
def test_a_slice_of_parsed_masks_is_what_parsing_the_slice_gives(frames, part):
    masks = [None if pixels is None else MaskSequence.encode(pixels[None])[0] for pixels in frames]
    some, parsed = MaskSequence.parse(masks, 3, 4)[part], MaskSequence.parse(masks[part], 3, 4)
    assert some == parsed
    assert some.runs() == parsed.runs()
    assert some.areas().tolist() == parsed.areas().tolist()
    assert some.boxes().tolist() == parsed.boxes().tolist()


@st.composite
def uneven_masks(draw):
    """Tracks of masks of one size as no encoder writes them, with empty runs anywhere, and null in some frames."""
    height, width, frames = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 4))

    def mask():
        edges = sorted(byte % (height * width + 1) for byte in draw(st.binary(max_size=8)))
        return rle(np.diff([0, *edges, height * width]).tolist(), height, width)

    tracks = [
        [(mask() if draw(st.booleans()) else None) for _ in range(frames)] for _ in range(draw(st.integers(2, 4)))
    ]
    return [MaskSequence.parse(track, height, width) for track in tracks]


@given(uneven_masks())
@settings(max_examples=300)
def test_a_union_is_that_of_the_pixels_as_pycocotools_encodes_it(tracks):
    pixels = np.bitwise_or.reduce([track.decode() for track in tracks])
    united = tracks[0].union(*tracks[1:])
    expected = [coco.encode(np.asfortranarray(frame))["counts"].decode() for frame in pixels]
    assert [mask["counts"] for mask in united] == expected
    assert united.runs() == MaskSequence.encode(pixels).runs()
    assert (united.decode() == pixels).all()


@given(uneven_masks())
def test_what_is_computed_from_uneven_masks_is_what_their_pixels_give(tracks):
    for track in (tracks[0], tracks[0][1:], tracks[0].take(range(len(tracks[0]))[::-1]), tracks[0].take([])):
        pixels = track.decode()
        assert track.areas().tolist() == pixels.sum((1, 2)).tolist()
        encoded = coco.encode(np.asfortranarray(pixels.transpose(1, 2, 0)))
        boxes = coco.toBbox(encoded).tolist() if len(pixels) else []
        assert track.boxes().tolist() == boxes
        assert [run for run in track.runs() if run] == [
            runs for mask, runs in zip(track, MaskSequence.encode(pixels).runs(), strict=True) if mask
        ]
        first, last = track.intervals()
        assert MaskSequence.from_intervals(first, last, len(track), track.height, track.width) == MaskSequence.encode(
            pixels
        )


@given(st.lists(st.integers(0, 2**29 - 1), min_size=1, max_size=8))
def test_runs_of_any_length_are_written_as_their_definition_has_it(runs):
    written = write(Runs(np.array(runs, np.int32), np.array([0])))
    assert written.strings() == [counts_from(runs)]


@given(st.lists(st.integers(0, MAX_PIXELS - 1), min_size=2, max_size=12, unique=True))
def test_runs_of_any_length_are_written_as_pycocotools_writes_them_and_read_back(edges):
    height, width = MAX_PIXELS, 1
    edges = sorted(edges)[: len(edges) // 2 * 2]
    runs = np.diff([0, *edges, height]).tolist()
    masks = MaskSequence.from_intervals(np.array(edges[0::2]), np.array(edges[1::2]), 1, height, width)
    written = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"].decode()
    assert masks[0]["counts"] == written
    assert MaskSequence.parse(list(masks), height, width).runs() == [runs]


@pytest.mark.parametrize("shape", [(3, 0, 6), (3, 5, 0)])
def test_frames_without_pixels_have_no_masks(shape):
    for make in (lambda: MaskSequence.encode(np.zeros(shape)), lambda: MaskSequence.empty(*shape)):
        with pytest.raises(MaskError, match="not supported"):
            make()
    assert len(MaskSequence.encode(np.zeros((0, *shape[1:])))) == 0


def test_a_sample_of_no_rows_or_columns_is_empty():
    masks = MaskSequence.encode(np.ones((3, 5, 6)))
    assert masks.sample(np.arange(0), np.arange(6)).shape == (3, 0, 6)
    assert masks.sample(np.arange(5), np.arange(0)).shape == (3, 5, 0)
