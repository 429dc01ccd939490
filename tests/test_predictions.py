"""revoskit.scoring.predictions: every way in which predictions come, and every way in which they can be wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.masks.packed import Patch
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.predictions import InMemory, RleFile, from_masks, grey_masks, open_predictions

FRAMES, SIZE = 10, (40, 60)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory) -> Annotations:
    root = tmp_path_factory.mktemp("ReVOS")
    write_miniature(root, videos=5, frames=FRAMES, height=SIZE[0], width=SIZE[1])
    return open_annotations(Layout.at(root), "validation")


@pytest.fixture(scope="module")
def video(annotations):
    return next(iter(annotations))


@pytest.fixture
def tree(tmp_path, video) -> Path:
    """The first expression's masks as 0/255, in a folder."""
    for name, mask in zip(video.frame_names, masks_of(), strict=True):
        save(tmp_path, video, name, mask * 255)
    return tmp_path


def masks_of() -> np.ndarray:
    masks = np.zeros((FRAMES, *SIZE), np.uint8)
    for i in range(FRAMES - 2):  # the last two frames are empty
        masks[i, 5 + i : 20 + i, 10:30] = 1
    return masks


def save(root: Path, video, name: str, pixels: np.ndarray) -> Path:
    path = root / video.video_id / "0" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def read(source, video):
    return open_predictions(source).read(video, video.expressions[0])


def test_a_tree_of_pngs_is_read_with_its_grey_values(tree, video):
    found = read(tree, video)
    assert found.problem is None
    np.testing.assert_array_equal(found.binary.areas, masks_of().sum((1, 2)))
    np.testing.assert_array_equal(found.official.values, [255] * 8 + [0] * 2)


def test_frames_of_several_values_keep_them(video):
    pixels = masks_of() * 3
    pixels[4, 10, 12] = 200
    found = grey_masks([Patch.of(frame) for frame in pixels], *pixels.shape[1:])
    assert list(found.several) == [4]
    patch = found.several[4]
    inside = pixels[4, patch.y : patch.y + patch.pixels.shape[0], patch.x : patch.x + patch.pixels.shape[1]]
    np.testing.assert_array_equal(patch.pixels, inside)


@pytest.mark.parametrize(
    ("kind", "reason", "harm"),
    [
        ("missing", "frame 00003.png is missing", lambda path: path.unlink()),
        ("unreadable", "00003.png is unreadable", lambda path: path.write_bytes(path.read_bytes()[:-30])),
        ("unreadable", "00003.png is unreadable", lambda path: path.write_bytes(b"")),
        ("wrong size", "00003.png is 7x9 (height x width), expected 40x60",
         lambda path: Image.new("L", (9, 7)).save(path)),
    ],
)  # fmt: skip
def test_one_bad_frame_costs_the_expression_and_is_named(tree, video, kind, reason, harm):
    harm(tree / video.video_id / "0" / "00003.png")
    found = read(tree, video)
    assert found.binary is found.official is None
    assert (found.problem.kind, found.problem.expression_id) == (kind, "0")
    assert reason in found.problem.reason


def test_a_single_row_is_spread_officially_and_is_a_wrong_size_otherwise(tree, video):
    save(tree, video, "00003", np.full((1, SIZE[1]), 255, np.uint8))
    found = read(tree, video)
    assert found.binary is None
    assert found.problem.kind == "wrong size"
    assert found.official.masks.areas[3] == SIZE[0] * SIZE[1]


def test_a_missing_folder_is_missing(tree, video):
    found = open_predictions(tree).read(video, video.expressions[1])
    assert found.problem.kind == "missing"


def test_folders_for_nothing_in_the_split_are_found(tree, annotations, video):
    (tree / video.video_id / "99").mkdir()
    (tree / "OVIS/train/unknown/0").mkdir(parents=True)
    (tree / "elsewhere").mkdir()
    extras = {(p.video_id, p.expression_id) for p in open_predictions(tree).extras(annotations)}
    assert extras == {(video.video_id, "99"), ("OVIS/train/unknown", None), ("elsewhere", None)}


def rles() -> list:
    masks = list(MaskSequence.encode(masks_of()))
    masks[-1] = None
    return masks


def sources(tmp_path: Path, video) -> dict:
    from datasets import Dataset

    rows = {"video_id": [video.video_id], "expression_id": ["0"], "masks": [rles()]}
    table = Dataset.from_dict(rows)
    table.to_parquet(str(tmp_path / "p.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "p.json").write_text(json.dumps({video.video_id: {"0": rles()}}))
    return {
        "json": tmp_path / "p.json",
        "parquet": tmp_path / "p.parquet",
        "saved": tmp_path / "saved",
        "table": table,
        "rles": {video.video_id: {"0": rles()}},
        "array": {video.video_id: {"0": masks_of().astype(bool)}},
        "frames": {video.video_id: {0: list(masks_of())}},
        "bytes": {video.video_id: {"0": [m and {**m, "counts": m["counts"].encode()} for m in rles()]}},
    }


@pytest.mark.parametrize("kind", ["json", "parquet", "saved", "table", "rles", "array", "frames", "bytes"])
def test_every_other_source_gives_the_same_masks(tmp_path, monkeypatch, video, kind):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    opened = pickle.loads(pickle.dumps(open_predictions(sources(tmp_path, video)[kind])))
    found = opened.read(video, video.expressions[0])
    assert found.problem is None
    np.testing.assert_array_equal(found.binary.areas, masks_of().sum((1, 2)))
    np.testing.assert_array_equal(found.official.values, [1] * 8 + [0] * 2)
    assert opened.read(video, video.expressions[1]).problem.kind == "missing"


@pytest.mark.parametrize(
    ("kind", "reason", "masks"),
    [
        ("malformed", "add up", [{"size": list(SIZE), "counts": "51"}] * FRAMES),
        ("malformed", "number 1", [None, {"size": list(SIZE), "counts": ""}] * (FRAMES // 2)),
        ("wrong size", r"\[3, 4\], expected \[40, 60\]", [{"size": [3, 4], "counts": "<"}] * FRAMES),
        ("wrong length", "2 masks, expected one for each of the video's 10 frames", [None] * 2),
        ("malformed", "list of RLEs, found str", "nonsense"),
        ("malformed", "list of RLEs, found dict", {"size": None, "counts": None}),
        ("malformed", "expected null or", [1, *[None] * (FRAMES - 1)]),
    ],
)
def test_bad_rles_are_refused_with_the_reason(tmp_path, video, kind, reason, masks):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({video.video_id: {"0": masks}}))
    found = read(path, video)
    assert found.binary is found.official is None
    assert found.problem.kind == kind
    assert __import__("re").search(reason, found.problem.reason)


def test_a_bad_entry_in_a_file_costs_its_video_only(tmp_path, annotations, video):
    other = list(annotations)[-1].video_id
    path = tmp_path / "p.json"
    path.write_text(json.dumps({video.video_id: ["not", "a", "dict"], other: {}, "EXTRA": {}}))
    assert read(path, video).problem.kind == "malformed"
    assert [p.video_id for p in RleFile(path).extras(annotations)] == ["EXTRA"]


def test_arrays_that_are_no_masks_are_refused(video):
    expression = video.expressions[0]
    logits = np.full((FRAMES, *SIZE), -1.5)
    assert "threshold" in from_masks(video, expression, logits).problem.reason
    assert from_masks(video, expression, masks_of()[:3]).problem.kind == "wrong length"
    assert from_masks(video, expression, masks_of()[:, :4]).problem.kind == "wrong size"
    assert from_masks(video, expression, masks_of().astype(np.float32)).problem is None
    ragged = [*masks_of()[:-1], masks_of()[-1][:, :-1]]
    assert "not of one shape" in from_masks(video, expression, ragged).problem.reason
    assert from_masks(video, expression, masks_of().astype(str)).problem.kind == "malformed"
    assert from_masks(video, expression, np.full((FRAMES, *SIZE), np.nan)).problem.kind == "malformed"


def test_tensors_are_taken_as_they_are(video):
    torch = pytest.importorskip("torch")
    found = from_masks(video, video.expressions[0], torch.from_numpy(masks_of()).bool())
    np.testing.assert_array_equal(found.binary.areas, masks_of().sum((1, 2)))


def test_what_is_no_prediction_at_all_is_refused(tmp_path):
    (tmp_path / "empty.json").touch()
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text('{"a": ')
    (tmp_path / "words.txt").write_text("")
    for source in (
        "nowhere",
        tmp_path / "words.txt",
        3,
        *(tmp_path / f"{n}.json" for n in ("empty", "list", "broken")),
    ):
        with pytest.raises(UsageError):
            open_predictions(source)
    from datasets import Dataset

    with pytest.raises(UsageError, match="lacks video_id, masks"):
        open_predictions(Dataset.from_dict({"expression_id": ["0"]}))


def test_extras_in_memory_are_found(annotations, video):
    extras = list(InMemory({video.video_id: {"0": [], "77": []}, "x": {}}).extras(annotations))
    assert [(p.video_id, p.expression_id, p.kind) for p in extras] == [
        (video.video_id, "77", "extra"),
        ("x", None, "extra"),
    ]


def test_a_prediction_that_is_there_twice_is_not_chosen_between(tmp_path, video):
    path = tmp_path / "twice.json"
    masks = json.dumps(rles())
    path.write_text(f'{{"{video.video_id}": {{"0": {masks}, "0": []}}}}')
    problem = RleFile(path).read(video, video.expressions[0]).problem
    assert problem.kind == "malformed"
    assert "'0' twice" in problem.reason
    path.write_text(f'{{"{video.video_id}": {{}}, "{video.video_id}": {{}}}}')
    with pytest.raises(UsageError, match="twice"):
        RleFile(path)
