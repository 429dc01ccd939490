"""Clips: which frames are chosen, what they look like, and that nothing but seed, epoch and ids decides about it."""

from __future__ import annotations

import copy
import gc
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import revos
from revoskit import Clips, collate, frames
from revoskit.errors import FrameError, MaskError, UsageError
from revoskit.frames import Grid, frame_of
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.training.sampling import Draw, Sampling
from revoskit.training.shared_epoch import Shared

FRAMES, HEIGHT, WIDTH = 12, 72, 128


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("clips") / "ReVOS", frames=FRAMES, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def load(data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def load(config="expressions", **kwargs):
        return load_dataset(
            revos.NAME, config, data_dir=str(data.root), split="train", cache_dir=str(cache / config), **kwargs
        )

    return load


@pytest.fixture(scope="module")
def expressions(load):
    return load()


@pytest.fixture(scope="module")
def videos(load):
    return load("videos")


@pytest.fixture
def row(expressions):
    return copy.deepcopy(expressions[0])


def same(one: dict, other: dict) -> bool:
    assert one.keys() == other.keys()
    return all(np.array_equal(np.asarray(one[name]), np.asarray(other[name])) for name in one)


# --- which frames -----------------------------------------------------------------------------------------------------

CHOOSING = ["uniform", "random", "contiguous", "context", "visible"]


def choose(name, total, count, *, seed=0, seen=None, **kwargs):
    visible = np.ones(total, bool) if seen is None else np.isin(np.arange(total), seen)
    draw = Draw(None if seed is None else np.random.default_rng(seed))
    return Sampling(name, count, **kwargs).frames(total, lambda: visible, draw)


@given(
    st.sampled_from(CHOOSING),
    st.integers(1, 40),
    st.integers(2, 12),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 2**32)),
    st.sampled_from(["repeat", "pad"]),
)
def test_a_clip_has_the_number_of_frames_and_says_which_count(name, total, count, stride, seed, short):
    stride = stride if name in ("contiguous", "visible", "context") else 1
    indices, valid = choose(name, total, count, seed=seed, stride=stride, short=short)
    assert indices.shape == valid.shape == (count,)
    assert ((indices >= 0) & (indices < total))[valid].all()
    if short == "pad":
        assert ((indices == -1) == ~valid).all()
    else:
        assert (indices >= 0).all()
        assert set(indices) == set(indices[valid])
    if name != "context":
        assert (np.diff(indices[valid]) > 0).all()
    if name in ("uniform", "random"):
        assert valid.sum() == min(total, count)


def test_uniform_takes_one_frame_from_each_stretch():
    starts = set()
    for seed in range(50):
        indices, _ = choose("uniform", 20, 5, seed=seed)
        assert (indices // 4 == np.arange(5)).all()
        starts.add(int(indices[0]))
    assert starts == {0, 1, 2, 3}


def test_evaluation_takes_the_middle_of_each_stretch():
    assert choose("uniform", 30, 3, seed=None)[0].tolist() == [4, 14, 24]
    assert choose("random", 30, 3, seed=None)[0].tolist() == [4, 14, 24]
    assert choose("contiguous", 11, 3, seed=None)[0].tolist() == [4, 5, 6]


def test_contiguous_frames_lie_a_stride_apart_and_reach_both_ends():
    clips = [choose("contiguous", 20, 4, seed=seed, stride=3)[0] for seed in range(100)]
    assert all((np.diff(clip) == 3).all() for clip in clips)
    assert min(clip[0] for clip in clips) == 0
    assert max(clip[-1] for clip in clips) == 19


def test_context_comes_first_and_spans_the_video():
    for seed in range(20):
        indices, valid = choose("context", 39, 8, seed=seed, context=3)
        assert (indices[:3] // 13).tolist() == [0, 1, 2]
        assert (np.diff(indices[3:]) == 1).all()
        assert valid.all()


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4), st.data())
def test_a_clip_around_the_object_holds_a_frame_in_which_it_is_visible(total, count, stride, data):
    seen = data.draw(st.sets(st.integers(0, total - 1), min_size=1))
    indices, valid = choose("visible", total, count, seed=data.draw(st.integers(0, 99)), seen=list(seen), stride=stride)
    assert seen & set(indices[valid].tolist())


def test_all_takes_every_frame():
    assert choose("all", 7, 3)[0].tolist() == list(range(7))


def test_a_range_of_frames_draws_their_number():
    assert {len(choose("uniform", 40, (2, 5), seed=seed)[0]) for seed in range(60)} == {2, 3, 4, 5}


def test_short_videos_repeat_in_place_or_pad_at_the_end():
    indices, valid = choose("uniform", 3, 6, short="repeat")
    assert indices.tolist() == [0, 0, 1, 1, 2, 2]
    assert valid.tolist() == [True, False] * 3
    indices, valid = choose("uniform", 3, 5, short="pad")
    assert indices.tolist() == [0, 1, 2, -1, -1]
    assert valid.tolist() == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_frames": 0},
        {"num_frames": (4, 2)},
        {"num_frames": (4,)},
        {"num_frames": 2.5},
        {"num_frames": "8"},
        {"sampling": "dense"},
        {"stride": 0},
        {"stride": 1.5},
        {"stride": 2},
        {"stride": 3, "sampling": "random"},
        {"sampling": "context", "context": 8},
        {"context": 2},
        {"short": "loop"},
        {"size": 0},
        {"size": (1, 2, 3)},
        {"size": (1,)},
        {"size": (None, 2)},
        {"size": 1.5},
        {"size": "448"},
        {"side": "left"},
        {"output": "jax"},
        {"on_error": "ignore"},
        {"expressions_per_video": 0},
    ],
)
def test_an_argument_that_cannot_be_meant_is_refused_when_it_is_given(arguments):
    with pytest.raises(UsageError, match=next(iter(arguments)).replace("sampling", "(sampling|context)")):
        Clips(**arguments)


def test_numbers_may_be_those_of_numpy_and_pairs_may_be_lists(row):
    clip = Clips([np.int64(2), 2], size=[np.int64(12), 16])({name: [value] for name, value in row.items()})
    assert clip["frames"][0].shape == (2, 12, 16, 3)
    assert Clips(np.int64(2), size=np.int64(12))._clip(row)["frames"].shape[:2] == (2, 12)


# --- frames and masks -------------------------------------------------------------------------------------------------


def test_a_clip_has_the_documented_arrays(expressions):
    clip = expressions.with_transform(Clips(5, size=36))[0]
    assert clip["frames"].shape == (5, 36, 64, 3)
    assert clip["frames"].dtype == clip["masks"].dtype == np.uint8
    assert clip["masks"].shape == (5, 36, 64)
    assert clip["frame_indices"].shape == clip["valid"].shape == (5,)
    assert clip["original_size"].tolist() == [HEIGHT, WIDTH]
    raw = expressions[0]
    for name in ("expression", "expression_type", "video_id", "expression_id"):
        assert clip[name] == raw[name]


def test_masks_are_the_written_pixels(expressions, data):
    for clip, raw in zip(expressions.with_transform(Clips(4)), expressions, strict=True):
        pixels = np.zeros((FRAMES, raw["height"], raw["width"]), bool)
        for annotation_id in raw["annotation_ids"]:
            pixels |= data.pixels[annotation_id]
        assert (clip["masks"] == pixels[clip["frame_indices"]]).all()
        frame = Image.open(raw["frames"][clip["frame_indices"][0]]["path"])
        assert abs(clip["frames"][0].astype(int) - np.asarray(frame)).mean() < 1


def test_expressions_of_absent_objects_have_empty_masks(expressions):
    clips = expressions.filter(lambda row: row["expression_type"] == 2).with_transform(Clips(3, "visible"))
    assert len(clips) == 3
    assert not any(clip["masks"].any() for clip in clips)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        (None, "shortest", (72, 128)),
        (36, "shortest", (36, 64)),
        (36, "longest", (20, 36)),
        (100, "shortest", (100, 178)),
        ((30, 50), "shortest", (30, 50)),
    ],
)
def test_the_size_is_that_of_a_side_or_exact(expressions, size, side, expected):
    clip = expressions.with_transform(Clips(2, size=size, side=side))[0]
    assert clip["frames"].shape[1:3] == clip["masks"].shape[1:] == expected


@pytest.fixture(params=["simplejpeg", "Pillow"])
def backend(request, monkeypatch):
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(frames, "simplejpeg", None)
    return request.param


def jpeg(pixels: np.ndarray) -> dict:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
    return {"path": None, "bytes": file.getvalue()}


@pytest.mark.parametrize("full", [(480, 640), (243, 431), (161, 193)])
@pytest.mark.parametrize("scale", [1.3, 0.9, 0.55, 0.45, 0.24, 0.11])
def test_squares_lie_in_the_frame_where_they_lie_in_the_mask(backend, full, scale):
    """Centres of planted squares, in frame and mask, agree to a tenth of a pixel on average: no half-pixel shift."""
    step = max(24, round(8 / scale))
    size = tuple(max(8, round(side * scale)) for side in full)
    rng = np.random.default_rng(0)
    found = {"frame": [], "mask": []}
    grid = Grid(*full, *size)
    for _ in range(40):
        top, left = (int(rng.integers(0, side - step + 1)) for side in full)
        mask = np.zeros(full, np.uint8)
        mask[top : top + step, left : left + step] = 1
        frame = np.empty((*size, 3), np.uint8)
        frame_of(jpeg(np.repeat(mask[..., None] * 255, 3, 2))).pixels(grid, frame)
        sampled = MaskSequence.encode(mask[None]).sample(grid.rows, grid.columns)[0]
        for name, weights in (("frame", frame[..., 0].astype(float)), ("mask", sampled.astype(float))):
            weights[weights < 8 * (name == "frame")] = 0  # what the JPEG rings
            y, x = np.mgrid[: size[0], : size[1]]
            found[name].append([(weights * y).sum() / weights.sum(), (weights * x).sum() / weights.sum()])
    shift = np.subtract(found["frame"], found["mask"])
    assert abs(shift.mean(0)).max() < 0.12
    assert abs(shift).max() < 0.6  # a mask can only move by whole pixels


def test_decoders_agree_on_the_pixels(row, monkeypatch):
    pytest.importorskip("simplejpeg")
    clip = Clips(2, size=40, training=False)(row)["frames"].astype(int)
    monkeypatch.setattr(frames, "simplejpeg", None)
    assert abs(Clips(2, size=40, training=False)(row)["frames"] - clip).mean() < 2


def test_the_decoder_in_use_is_named(backend):
    said = frames.decoder()
    assert said.startswith(backend)
    assert "resized by OpenCV" in said


def test_a_jpeg_is_reduced_while_it_is_decoded():
    assert Grid(1080, 1920, 448, 796).reduction == 2
    assert Grid(1080, 1920, 270, 480).reduction == 4
    assert Grid(720, 1280, 448, 796).reduction == 1


def test_only_the_chosen_frames_and_masks_are_looked_at(row):
    expected = Clips(3, training=False)(row)
    for i in set(range(FRAMES)) - set(expected["frame_indices"].tolist()):
        row["frames"][i] = {"path": "nowhere.jpg", "bytes": None}
        row["masks"][i] = {"size": [1, 1], "counts": "malformed"}
    assert same(Clips(3, training=False)(row), expected)


def test_frames_may_be_given_as_bytes_or_as_images(row, load):
    expected = Clips(3, size=40)(row)
    embedded = row | {
        "frames": [{"path": "a name of its own", "bytes": Path(frame["path"]).read_bytes()} for frame in row["frames"]]
    }
    assert same(Clips(3, size=40)(embedded), expected)
    decoded = load(decode_frames=True).with_transform(Clips(3, size=40))[0]
    assert (decoded["frame_indices"] == expected["frame_indices"]).all()
    assert abs(decoded["frames"].astype(int) - expected["frames"]).mean() < 2


def test_padding_is_black_and_empty(row):
    clip = Clips(FRAMES + 3, short="pad", size=20)(row)
    assert clip["valid"].sum() == FRAMES
    assert not clip["frames"][FRAMES:].any()
    assert not clip["masks"][FRAMES:].any()


def test_an_unsound_mask_names_video_expression_and_frame(row):
    row["masks"] = [{"size": [HEIGHT, WIDTH], "counts": "1"}] * FRAMES
    with pytest.raises(
        MaskError, match=r"video 'LV-VIS/train/01020', expression '0', frame number \d+: its counts add"
    ):
        Clips(2)(row)


def test_a_missing_column_is_named(expressions):
    with pytest.raises(UsageError, match=r"needs the columns frames, masks; the rows have"):
        expressions.remove_columns(["frames", "masks"]).with_transform(Clips(2))[0]


@pytest.mark.parametrize("size", [(0, 128), (72, 0), (-72, -128)])
def test_a_row_of_no_pixels_is_named(row, size):
    row["height"], row["width"] = size
    with pytest.raises(UsageError, match=f"{row['video_id']}.* {size[0]}x{size[1]} pixels"):
        Clips(2, size=32)({name: [value] for name, value in row.items()})


def test_the_columns_that_a_clip_is_made_from_are_enough(expressions):
    needed = ["video_id", "height", "width", "frames", "masks", "expression_id"]
    whole = expressions.with_transform(Clips(2, size=16))[0]
    part = expressions.select_columns(needed).with_transform(Clips(2, size=16))[0]
    assert whole.keys() - part.keys() == {"expression", "expression_type"}
    np.testing.assert_array_equal(part["frames"], whole["frames"])


def test_rows_of_published_expressions_send_to_config_videos(row):
    del row["frames"]
    with pytest.raises(UsageError, match="no frames: use config videos"):
        Clips(2)({**row, "video_index": 0})


# --- config videos ----------------------------------------------------------------------------------------------------


def test_several_expressions_share_one_set_of_frames(videos, data):
    clips = videos.with_transform(Clips(4, expressions_per_video=5))
    for clip, raw in zip(clips, videos, strict=True):
        assert len(clip["expression"]) == len(set(clip["expression_id"])) == 5
        assert clip["masks"].shape == (5, 4, raw["height"], raw["width"])
        by_id = {expression["expression_id"]: expression for expression in raw["expressions"]}
        for name, text, kind, masks in zip(
            clip["expression_id"], clip["expression"], clip["expression_type"], clip["masks"], strict=True
        ):
            expression = by_id[name]
            assert (text, kind) == (expression["expression"], expression["expression_type"])
            pixels = [data.pixels[i][clip["frame_indices"]] for i in expression["annotation_ids"]]
            assert (masks == (np.any(pixels, 0) if pixels else 0)).all()


def test_other_epochs_draw_other_expressions(videos):
    clips = Clips(2, size=16, expressions_per_video=3)
    drawn = set()
    for epoch in range(8):
        clips.set_epoch(epoch)
        drawn.add(tuple(videos.with_transform(clips)[0]["expression_id"]))
    assert len(drawn) > 3


def test_tracks_come_with_what_each_expression_means(videos, data):
    clip, raw = videos.with_transform(Clips(4, tracks=True))[0], videos[0]
    assert clip["annotation_ids"].tolist() == [track["annotation_id"] for track in raw["tracks"]]
    for masks, annotation_id in zip(clip["masks"], clip["annotation_ids"].tolist(), strict=True):
        assert (masks == data.pixels[annotation_id][clip["frame_indices"]]).all()
    for means, expression in zip(clip["expression_tracks"], raw["expressions"], strict=True):
        assert clip["annotation_ids"][means].tolist() == sorted(expression["annotation_ids"])


def test_a_video_without_tracks_or_expressions_has_empty_stacks(videos):
    raw = videos[0] | {"tracks": [], "expressions": []}
    for clips in (Clips(2, "visible"), Clips(2, tracks=True)):
        assert clips(raw)["masks"].shape == (0, 2, HEIGHT, WIDTH)


# --- the same clip, whoever draws it ----------------------------------------------------------------------------------


def test_seed_epoch_and_ids_decide_and_nothing_else(expressions):
    clips = Clips(4, "random", size=16, seed=3)
    drawn = expressions.with_transform(clips)
    first = [drawn[i] for i in range(6)]
    again = expressions.with_transform(Clips(4, "random", size=16, seed=3))
    assert all(same(again[i], first[i]) for i in reversed(range(6)))
    assert all(same(clip, first[i]) for i, clip in enumerate(drawn.__getitems__(list(range(6)))))
    shuffled = expressions.with_transform(clips).shuffle(seed=1)
    by_id = {(clip["video_id"], clip["expression_id"]): clip for clip in shuffled}
    assert all(same(by_id[clip["video_id"], clip["expression_id"]], clip) for clip in first)
    other = expressions.with_transform(Clips(4, "random", size=16, seed=4))
    assert not all(same(other[i], first[i]) for i in range(6))


def test_set_epoch_reaches_every_copy(expressions):
    clips = Clips(3, "random", size=16)
    copies = [
        expressions.with_transform(clips),
        expressions.with_transform(clips).shuffle(seed=0),
        expressions.with_transform(pickle.loads(pickle.dumps(clips))),
    ]
    clips.set_epoch(7)
    assert [copied.format["format_kwargs"]["transform"].epoch for copied in copies] == [7] * 3
    before = copies[0][0]
    clips.set_epoch(8)
    assert not same(copies[0][0], before)


def test_evaluation_is_the_same_in_every_epoch(row):
    clips = Clips(3, training=False, size=16)
    before = clips(row)
    clips.set_epoch(5)
    assert same(clips(row), before)


def test_a_stream_gives_the_same_clips(load, expressions):
    clips = Clips(3, size=24)
    stream = load(streaming=True)
    streamed = list(stream.map(clips, remove_columns=stream.column_names))
    mapped = list(expressions.with_transform(clips))
    assert len(streamed) == len(mapped)
    assert all(same(one, other) for one, other in zip(streamed, mapped, strict=True))


def test_ranks_divide_the_clips_among_them(load, expressions):
    clips = Clips(2, size=16)
    stream = load(streaming=True)
    mapped = expressions.with_transform(clips)
    expected = {(clip["video_id"], clip["expression_id"]): clip for clip in mapped}
    for whole in (mapped, stream.map(clips, remove_columns=stream.column_names)):
        drawn = [clip for rank in range(2) for clip in split_dataset_by_node(whole, rank, 2)]
        assert len(drawn) == len(expected)
        assert all(same(clip, expected[clip["video_id"], clip["expression_id"]]) for clip in drawn)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_draw_the_same_and_follow_the_epoch(expressions, method):
    torch = pytest.importorskip("torch")
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    rows = expressions.select(range(6))
    clips = Clips(3, "random", size=16, output="torch")
    loader = torch.utils.data.DataLoader(
        rows.with_transform(clips),
        batch_size=2,
        num_workers=2 if method == "fork" else 1,
        collate_fn=collate,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        alone = Clips(3, "random", size=16, output="torch")
        alone.set_epoch(epoch)
        expected = rows.with_transform(alone)
        for number, batch in enumerate(loader):
            wanted = collate([expected[2 * number], expected[2 * number + 1]])
            assert same(batch, wanted)


def test_what_copies_share_outlives_them_but_not_the_original():
    shared = Shared(3)
    folder = shared._folder
    copied = pickle.loads(pickle.dumps(shared))
    copied.append("one\ntwo")
    del copied
    assert folder.exists()
    assert shared.names == ["one two"]
    pickled = pickle.dumps(shared)
    del shared
    assert not folder.exists()
    assert pickle.loads(pickled).number == 3


# --- broken frames ----------------------------------------------------------------------------------------------------


def spoil(row: dict, index: int, how: str, folder) -> str:
    """Make a frame of a row unreadable; returns a part of the message that has to say so."""
    path = folder / "spoilt.jpg"
    data = Path(row["frames"][index]["path"]).read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "text":
        path.write_text("<html>not found</html>")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "size":
        Image.new("RGB", (32, 24)).save(path)
    if how == "null":
        row["frames"][index] = None
        return "null in the dataset"
    row["frames"][index] = {"path": str(path), "bytes": None}
    return f"{path} {'cannot be read' if how == 'gone' else 'is 24x32' if how == 'size' else 'is not a sound JPEG'}"


@pytest.mark.parametrize("how", ["truncated", "text", "empty", "gone", "size", "null"])
def test_a_broken_frame_is_named(row, tmp_path, backend, how):
    index = int(Clips(3, training=False)(row)["frame_indices"][1])
    message = spoil(row, index, how, tmp_path)
    with pytest.raises(FrameError) as caught:
        Clips(3, training=False)(row)
    assert message in str(caught.value)
    assert f"video 'LV-VIS/train/01020', frame '{row['frame_names'][index]}' (number {index})" in str(caught.value)


@pytest.mark.parametrize("by", [0.5, 2])
def test_frames_of_another_size_and_the_same_shape_are_sampled_with_a_warning_a_video(row, tmp_path, backend, by):
    expected = Clips(3, size=24, training=False)(row)
    for index, frame in enumerate(row["frames"]):
        path = tmp_path / f"{index}.jpg"
        image = Image.open(frame["path"])
        image.resize((round(image.width * by), round(image.height * by))).save(path, quality=95)
        row["frames"][index] = {"path": str(path), "bytes": None}
    with pytest.warns(UserWarning, match="video 'LV-VIS/train/01020': its frames are .* the same shape") as told:
        clip = Clips(3, size=24, training=False)(row)
    assert len({str(one.message) for one in told}) == 1
    np.testing.assert_array_equal(clip["masks"], expected["masks"])
    assert np.abs(clip["frames"].astype(int) - expected["frames"]).mean() < 8


def test_resampling_does_without_the_broken_frame_and_counts_it(row, tmp_path):
    spoil(row, 4, "truncated", tmp_path)
    clips = Clips(FRAMES, size=16, on_error="resample")
    with pytest.warns(UserWarning, match=r"spoilt\.jpg is not a sound JPEG.*drawn again without it"):
        clip = clips(row)
    assert set(clip["frame_indices"].tolist()) == set(range(FRAMES)) - {4}
    assert clip["valid"].sum() == FRAMES - 1
    assert clip["broken_frames"] == 1
    assert clips.broken_frames == {str(tmp_path / "spoilt.jpg"): 1}


@pytest.mark.filterwarnings("ignore:.*drawn again")
def test_a_video_without_any_sound_frame_is_an_error(row):
    row["frames"] = [None] * FRAMES
    with pytest.raises(FrameError, match="has no frame that can be read, of 12"):
        Clips(2, on_error="resample")(row)


def test_workers_report_the_broken_frames_they_met(expressions, tmp_path):
    torch = pytest.importorskip("torch")
    rows = [copy.deepcopy(expressions[i]) for i in range(4)]
    for broken in rows[:2]:
        spoil(broken, 0, "gone", tmp_path)
    clips = Clips(FRAMES, size=16, on_error="resample", output="torch")

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return clips(rows[index])

    loader = torch.utils.data.DataLoader(
        Rows(), batch_size=2, num_workers=2, collate_fn=collate, multiprocessing_context="fork"
    )
    assert [batch["broken_frames"].tolist() for batch in loader] == [[1, 1], [0, 0]]
    assert clips.broken_frames == {str(tmp_path / "spoilt.jpg"): 2}


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_pads_what_differs_in_size(expressions, videos):
    upright = next(i for i, row in enumerate(expressions) if row["height"] > row["width"])
    clips = expressions.with_transform(Clips((2, 6), size=18, seed=1))
    one, other = clips[0], clips[upright]
    batch = collate([one, other])
    frames = max(len(one["valid"]), len(other["valid"]))
    assert len(one["valid"]) != len(other["valid"])
    assert batch["frames"].shape == (2, frames, 32, 32, 3)
    assert batch["sizes"].tolist() == [[18, 32], [32, 18]]
    assert (batch["frames"][1, : len(other["valid"]), :32, :18] == other["frames"]).all()
    assert not batch["masks"][0, :, 18:].any()
    shorter = min(range(2), key=lambda i: len((one, other)[i]["valid"]))
    assert (batch["frame_indices"][shorter, len((one, other)[shorter]["valid"]) :] == -1).all()
    assert batch["expression"] == [one["expression"], other["expression"]]
    per_video = videos.with_transform(Clips(2, size=(18, 18)))
    batch = collate([per_video[0], per_video[1]])  # eight and seven expressions
    assert batch["masks"].shape == (2, 8, 2, 18, 18)
    assert batch["expression_type"][1, 7] == -1


def test_tensors_have_channels_first(expressions):
    torch = pytest.importorskip("torch")
    arrays, tensors = (expressions.with_transform(Clips(2, size=16, output=kind))[0] for kind in ("numpy", "torch"))
    assert tensors["frames"].shape == (2, 3, 16, 28)
    assert (tensors["frames"].numpy() == arrays["frames"].transpose(0, 3, 1, 2)).all()
    batch = collate([tensors, tensors])
    assert batch["frames"].shape == (2, 2, 3, 16, 28)
    assert all(
        isinstance(batch[name], torch.Tensor) for name in ("frames", "masks", "valid", "expression_type", "sizes")
    )
    assert (batch["frames"][1] == tensors["frames"]).all()


def test_everything_but_tensors_works_without_torch_and_loads_late(data):
    program = f"""
import sys
sys.modules["torch"] = None
import revoskit
assert "revoskit.training.clips" not in sys.modules and "cv2" not in sys.modules and "Clips" in dir(revoskit)
from revoskit import Clips, collate
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.columns import expression_example
from revoskit.dataset.layout import Layout
layout = Layout.at({json.dumps(str(data.root))})
annotations = open_annotations(layout, "train")
video = next(iter(annotations))
frames = [frame.row() for frame in annotations.files.frames(video)]
row = expression_example(video, video.expressions[0], annotations.masks(video), frames)
assert collate([Clips(3, size=16)(row)])["frames"].shape == (1, 3, 16, 28, 3)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_forked_worker_leaves_what_it_shares_with_its_parent_alone(row):
    clips = Clips(2, size=32)
    before = gc.get_freeze_count()
    clips(row)
    assert gc.get_freeze_count() == before, "nothing changes in the process that made it"
    reading, writing = os.pipe()
    if os.fork() == 0:
        clips(row)
        os.write(writing, b"frozen" if gc.get_freeze_count() > before else b"collected")
        os._exit(0)
    os.wait()
    assert os.read(reading, 20) == b"frozen"
