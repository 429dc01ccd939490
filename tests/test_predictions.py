"""revoskit.scoring.predictions: every way in which predictions come, and every way in which they can be wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import datasets
import msgspec
import numpy as np
import pytest
from PIL import Image

from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.inference.writer import PredictionWriter
from revoskit.masks.packed import Patch
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.prediction import Note, from_masks, grey_masks
from revoskit.scoring.predictions import InMemory, open_predictions
from revoskit.scoring.rle_files import RleFile

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
        ("incomplete", "9 of 10 frames: a run that broke off? frame 00003.png is missing", lambda path: path.unlink()),
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


# --- everybody's ------------------------------------------------------------------------------------------------------


def areas(found) -> list[int]:
    assert found.problem is None, found.problem
    return found.binary.areas.tolist()


def expected_areas() -> list[int]:
    return masks_of().sum((1, 2)).tolist()


def sa2va(video, **changes) -> dict:
    """A results.json as Sa2VA writes it."""
    entry = {
        "index": 0,
        "video_id": video.video_id,
        "exp_id": "0",
        "text_prediction": "Sure, it is [SEG].<|im_end|>",
        "frames": list(video.frame_names),
        "exp": "<image>\nPlease segment it.",
        "prediction_masks": list(MaskSequence.encode(masks_of())),
    }
    return {video.video_id: {"0": entry | changes}}


def write_json(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_sa2vas_results_are_read_and_its_text_is_kept(tmp_path, video):
    found = read(write_json(tmp_path / "results.json", sa2va(video)), video)
    assert areas(found) == expected_areas()
    assert found.extra == {"text_prediction": "Sure, it is [SEG].<|im_end|>"}


@pytest.mark.parametrize(
    ("kind", "reason", "changes"),
    [
        ("missing", "prediction_masks is null: the masks were not written here", {"prediction_masks": None}),
        ("wrong length", "its frames are 2 (a, b), those of the video 10 (00000, 00001, …)", {"frames": ["a", "b"]}),
        ("failed", "out of memory", {"error": "out of memory"}),
        ("wrong length", "it has 0 masks", {"prediction_masks": []}),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(tmp_path, video, kind, reason, changes):
    problem = read(write_json(tmp_path / "results.json", sa2va(video, **changes)), video).problem
    assert problem.kind == kind
    assert reason in problem.reason


def test_a_list_of_entries_is_read_like_an_object(tmp_path, video):
    entry = sa2va(video)[video.video_id]["0"]
    for name in ("exp_id", "expression_id"):
        record = {"video_id": video.video_id, name: 0, "masks": [entry["prediction_masks"]]}
        assert areas(read(write_json(tmp_path / "p.json", [record]), video)) == expected_areas()
    with pytest.raises(UsageError, match="twice"):
        open_predictions(write_json(tmp_path / "p.json", [entry, entry]))
    with pytest.raises(UsageError, match="neither expression_id nor exp_id"):
        open_predictions(write_json(tmp_path / "p.json", [{"video_id": "v"}]))


def test_counts_of_every_spelling_are_read(tmp_path, video):
    runs = MaskSequence.encode(masks_of()).runs()
    as_lists = [{"size": list(SIZE), "counts": counts} for counts in runs]
    as_text_of_bytes = [{**m, "counts": str(m["counts"].encode())} for m in MaskSequence.encode(masks_of())]
    for masks in (as_lists, as_text_of_bytes):
        assert areas(read(write_json(tmp_path / "p.json", {video.video_id: {"0": masks}}), video)) == expected_areas()
    short = [{"size": list(SIZE), "counts": [3, 4]}, *as_lists[1:]]
    problem = read(write_json(tmp_path / "p.json", {video.video_id: {"0": short}}), video).problem
    assert (problem.kind, "number 0" in problem.reason) == ("malformed", True)


@pytest.fixture
def lines(tmp_path, annotations, video) -> Path:
    """What `predict` writes: masks, a failure, nothing in any frame, a line that breaks off, and none at all."""
    folder = tmp_path / "out"
    with PredictionWriter(folder, data_dir=annotations.layout.root) as writer:
        writer.write(video.video_id, "0", masks_of(), extra={"text": "it"})
        writer.error(video.video_id, "1", RuntimeError("no memory"))
        writer.write(video.video_id, "2", None)
        writer.write(video.video_id, "3", masks_of())
    path = writer.path
    path.write_bytes(path.read_bytes()[:-50] + b"\n")
    return folder


def test_lines_are_read_whatever_state_their_run_is_in(lines, annotations, video):
    for source in (lines, lines / "shard-00000-of-00001.jsonl", [lines]):
        opened = pickle.loads(pickle.dumps(open_predictions(source, annotations)))
        found = [opened.read(video, expression) for expression in video.expressions[:5]]
        assert areas(found[0]) == expected_areas()
        assert found[0].extra == {"text": "it"}
        assert areas(found[2]) == [0] * FRAMES
        assert [(one.problem.kind, one.problem.reason) for one in (found[1], found[3], found[4])] == [
            ("failed", "RuntimeError: no memory"),
            ("incomplete", "its line breaks off: a run that was killed?"),
            ("missing", "there is no line for it"),
        ]
        assert list(opened.extras(annotations)) == []


def test_opened_while_it_is_written_a_folder_is_what_it_was(lines, annotations, video):
    opened = open_predictions(lines, annotations)
    before = opened.state()
    with PredictionWriter(lines, data_dir=annotations.layout.root) as writer:
        writer.write(video.video_id, "4", masks_of())
    assert opened.read(video, video.expressions[4]).problem.kind == "missing"
    assert opened.state() == before
    again = open_predictions(lines, annotations)
    assert areas(again.read(video, video.expressions[4])) == expected_areas()
    assert again.state() != before


def test_lines_with_nonsense_in_them_say_so(lines, annotations, video):
    path = lines / "shard-00000-of-00001.jsonl"
    for masks in ('{"a": 1}', '[{"size": [1, 1], "counts": 3}]', '"x"'):
        line = f'{{"video_id": "{video.video_id}", "expression_id": "4", "masks": {masks}}}\n'
        path.write_bytes(path.read_bytes() + line.encode())
        assert open_predictions(lines, annotations).read(video, video.expressions[4]).problem is not None
    path.write_bytes(path.read_bytes() + b"\xff\n[]\n{}\n" + b"[" * 5000 + b"\n")
    assert areas(open_predictions(lines, annotations).read(video, video.expressions[0])) == expected_areas()


def test_parts_are_one_set(tmp_path, annotations, video):
    other = [{"size": list(SIZE), "counts": counts} for counts in MaskSequence.encode(masks_of()[::-1]).runs()]
    write_json(tmp_path / "rank0.json", {video.video_id: {"0": rles()}})
    write_json(tmp_path / "rank1.json", {video.video_id: {"1": other, "0": rles()}})
    for source in (tmp_path, [tmp_path / "rank0.json", tmp_path / "rank1.json"]):
        opened = pickle.loads(pickle.dumps(open_predictions(source, annotations)))
        assert areas(opened.read(video, video.expressions[0])) == expected_areas()
        assert areas(opened.read(video, video.expressions[1])) == expected_areas()[::-1]
        assert opened.read(video, video.expressions[2]).problem.kind == "missing"
    write_json(tmp_path / "rank2.json", {video.video_id: {"1": rles()}})
    problem = open_predictions(tmp_path, annotations).read(video, video.expressions[1]).problem
    assert "2 parts have it, with masks that differ" in problem.reason


def test_of_parts_the_one_that_says_most_is_heard(lines, tmp_path, annotations, video):
    half = tmp_path / "half.json"
    write_json(half, {video.video_id: {"1": rles(), "3": rles(), "4": None}})
    opened = open_predictions([lines, half], annotations)
    kinds = [getattr(opened.read(video, e).problem, "kind", None) for e in video.expressions[:6]]
    assert kinds == [None, None, None, None, "malformed", "missing"]


def test_folders_may_be_called_by_the_last_part_of_the_id(tmp_path, annotations, video):
    last = video.video_id.rpartition("/")[2]
    folder = tmp_path / last / "0"
    folder.mkdir(parents=True)
    for name, mask in zip(video.frame_names, masks_of(), strict=True):
        Image.fromarray(mask * 100).save(folder / f"{name}.png")
    opened = pickle.loads(pickle.dumps(open_predictions(tmp_path, annotations)))
    assert areas(opened.read(video, video.expressions[0])) == expected_areas()
    (tmp_path / last / "99").mkdir()
    assert [(p.video_id, p.expression_id) for p in opened.extras(annotations)] == [(video.video_id, "99")]


def test_half_a_folder_is_no_prediction(tree, video):
    folder = tree / video.video_id / "0"
    for name in video.frame_names[6:]:
        (folder / f"{name}.png").unlink()
    path = folder / f"{video.frame_names[5]}.png"
    path.write_bytes(path.read_bytes()[:20])
    problem = read(tree, video).problem
    assert problem.kind == "incomplete"
    assert problem.reason.startswith("6 of 10 frames: a run that broke off? frame 00005.png is unreadable")
    for path in folder.iterdir():
        path.unlink()
    assert read(tree, video).problem.reason.startswith("0 of 10 frames: a run that broke off?")


def test_failures_that_were_written_as_zeros_are_failures(tree, annotations, video):
    failed = [{"anno": {"vid": video.video_id, "samples": [{"qid": "0"}]}, "err": "no [SEG]"}]
    write_json(tree / "failed_0.json", failed)
    found = open_predictions(tree, annotations).read(video, video.expressions[0])
    assert (found.binary, found.problem.kind, found.problem.reason) == (None, "failed", "no [SEG]")
    assert found.official.masks.areas.tolist() == expected_areas()  # the published evaluator does not know
    write_json(tree / "failed_0.json", {"anno": 3})
    with pytest.raises(UsageError, match="no list of failed expressions"):
        open_predictions(tree, annotations)


@pytest.mark.parametrize("name", ["{}.png", "{:03d}.png"])
def test_files_that_are_called_by_the_number_of_their_frame_are_read_and_told_of(tree, video, name):
    folder = tree / video.video_id / "0"
    for number, frame in enumerate(video.frame_names):
        (folder / f"{frame}.png").rename(folder / name.format(number))
    found = read(tree, video)
    assert areas(found) == expected_areas()
    assert found.notes == (Note.NUMBERED, Note.GREY)


def test_frames_with_names_in_steps_are_found_by_position_or_by_name(tmp_path, annotations):
    video = msgspec.structs.replace(next(iter(annotations)), frame_names=tuple(f"{5 * i:05d}" for i in range(FRAMES)))
    for step in (1, 5):
        folder = tmp_path / str(step)
        for number, mask in enumerate(masks_of()):
            save(folder, video, str(step * number), mask)
        assert areas(read(folder, video)) == expected_areas()
    (folder / video.video_id / "0" / "45.png").rename(folder / video.video_id / "0" / "46.png")
    assert "none of its frames is there" in read(folder, video).problem.reason


def test_jpegs_are_no_masks(tree, video):
    folder = tree / video.video_id / "0"
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(".jpg"))
    problem = read(tree, video).problem
    assert problem.kind == "unreadable"
    assert "expected 00000.png and so on" in problem.reason
    assert "Save them as PNG" in problem.reason


def test_a_map_of_scores_is_told_of(tree, video):
    grey = masks_of() * np.arange(60, dtype=np.uint8)
    for name, mask in zip(video.frame_names, grey, strict=True):
        save(tree, video, name, mask)
    assert Note.SEVERAL_GREYS in read(tree, video).notes
    assert read({video.video_id: {"0": masks_of()}}, video).notes == ()
    assert read({video.video_id: {"0": masks_of() * 255}}, video).notes == (Note.GREY,)


def test_a_folder_above_or_below_the_one_that_is_meant_is_refused_with_its_name(
    tree, annotations, video, tmp_path_factory
):
    above = tmp_path_factory.mktemp("run")
    (above / "log").mkdir()
    tree = tree.rename(above / "Annotations")
    with pytest.raises(UsageError, match=f"did you mean {tree}"):
        open_predictions(above, annotations)
    with pytest.raises(UsageError, match=f"did you mean {tree}"):
        open_predictions(tree / video.video_id.split("/")[0], annotations)
    other = list(annotations)[1].video_id
    (above / "rank1" / other / "0").mkdir(parents=True)  # parts, in folders of their own
    opened = open_predictions(above, annotations)
    assert areas(opened.read(video, video.expressions[0])) == expected_areas()
    assert opened.has_video(other)


def test_what_has_nothing_for_any_video_is_refused_with_the_runs_that_lie_in_it(tmp_path, annotations, video):
    for name in ("A", "B"):
        with PredictionWriter(tmp_path / "runs" / name, data_dir=annotations.layout.root) as writer:
            writer.write(video.video_id, "0", None)
    with pytest.raises(UsageError, match=r"nothing for any video .* did you mean \S+A or \S+B\?"):
        open_predictions(tmp_path / "runs", annotations)
    (tmp_path / "other" / "pictures").mkdir(parents=True)
    (tmp_path / "other.json").write_text('{"splits": {"train": []}}')
    for nothing in (tmp_path / "other", tmp_path / "other.json"):
        with pytest.raises(UsageError, match="nothing for any video of the split validation: expected a folder of PNG"):
            open_predictions(nothing, annotations)
    with PredictionWriter(tmp_path / "begun", data_dir=annotations.layout.root):
        pass
    (tmp_path / "empty").mkdir()
    for begun in (tmp_path / "begun", tmp_path / "empty"):  # runs that have not come far yet
        assert open_predictions(begun, annotations).read(video, video.expressions[0]).problem.kind == "missing"


def test_predictions_for_another_split_are_refused_with_its_name(tmp_path, annotations, tree):
    train = open_annotations(annotations.layout, "train")
    with pytest.raises(UsageError, match="nothing for the split train, and something for 1 videos of validation"):
        open_predictions(tree, train)
    with PredictionWriter(tmp_path / "out", data_dir=annotations.layout.root) as writer:
        writer.write(next(iter(annotations)).video_id, "0", None)
    with pytest.raises(UsageError, match="for the split validation of revos, not for train"):
        open_predictions(tmp_path / "out", train)


def test_a_dataset_is_no_set_of_predictions(annotations):
    with pytest.raises(UsageError, match="is a dataset, not predictions for it: the predictions come first"):
        open_predictions(annotations.layout.root)
    with pytest.raises(UsageError, match="JPEGImages is a dataset, not predictions"):
        open_predictions(annotations.layout.root / "JPEGImages", annotations)


def test_what_lies_beside_a_table_in_its_folder_is_told_of(tmp_path):
    write_miniature(tmp_path / "data", videos=4, frames=2, height=20, width=30)
    annotations = open_annotations(Layout.at(tmp_path / "data"), "validation")
    rows = [
        {"video_id": video.video_id, "expression_id": e.expression_id, "masks": list(annotations.masks(video).of(e))}
        for video in annotations
        for e in video.expressions
    ]
    folder = tmp_path / "work"
    folder.mkdir()
    datasets.Dataset.from_list(rows).to_parquet(folder / "part-0.parquet")
    assert not evaluate(folder, tmp_path / "data").remarks
    for name in ("notes.txt", "a.py", "b.py", "c.py", ".hidden"):
        (folder / name).touch()
    (said,) = evaluate(folder, tmp_path / "data").remarks
    assert said == (
        f"Of {folder} part-0.parquet was read as the predictions, and not a.py, b.py, c.py and 1 more: name the file "
        "that is meant."
    )
    assert not evaluate(folder / "part-0.parquet", tmp_path / "data").remarks
