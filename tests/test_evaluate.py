"""revoskit.scoring.evaluate: both protocols against a literal reading of them, and everything around the numbers."""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import literal
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mask_strategies import rle
from PIL import Image

import revoskit
from revoskit import atomic, cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, Layout
from revoskit.dataset.records import Video
from revoskit.errors import FolderInUseError, UsageError
from revoskit.inference.writer import PredictionWriter
from revoskit.masks.packed import pack
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring import reported
from revoskit.scoring import truth as truth_room
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.evaluator import Evaluator
from revoskit.scoring.prediction import ProblemKind
from revoskit.scoring.result import MEASURES

REPOSITORY = Path(__file__).parent.parent  # what is tested may be installed elsewhere, without its docs
PROTOCOLS = ("binary", "official")


# --- a dataset of given masks -----------------------------------------------------------------------------------------


def write_dataset(root: Path, tracks: np.ndarray, expressions: list[tuple[list[int], int]]) -> None:
    """One video, `v/0`, with tracks (N, T, h, w) and expressions (track numbers, type)."""
    _, frames, height, width = tracks.shape
    video = {
        "vid_id": 0,
        "height": height,
        "width": width,
        "frames": [f"{i:05d}" for i in range(frames)],
        "expressions": {
            str(n): {"exp": "x", "obj_id": ids, "anno_id": ids, "type_id": kind}
            for n, (ids, kind) in enumerate(expressions)
        },
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / EXPRESSIONS["validation"]).write_text(json.dumps({"videos": {"v/0": video}}))
    (root / "mask_dict.json").write_text(
        json.dumps({str(i): list(MaskSequence.encode(track)) for i, track in enumerate(tracks)})
    )
    named = sorted({i for ids, _ in expressions for i in ids})
    foreground = MaskSequence.encode(tracks[named].any(0))
    (root / "mask_dict_foreground.json").write_text(json.dumps({"v/0": {"masks_rle": list(foreground)}}))


def write_pngs(root: Path, expression: int, frames: Sequence[np.ndarray]) -> None:
    folder = root / "v/0" / str(expression)
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:05d}.png")


def literal_scores(tracks: np.ndarray, ids: list[int], grey: np.ndarray) -> dict[str, dict[str, float]]:
    union = foreground = tracks[ids].any(0)
    return {
        "binary": literal.mean([literal.binary_frame(*f) for f in zip(union, grey, foreground, strict=True)]),
        "official": literal.mean(
            [
                literal.official_frame([tracks[i][t] for i in ids], grey[t], foreground[t])
                for t in range(len(foreground))
            ]
        ),
    }


def check(result, number: int, want: dict[str, dict[str, float]]) -> None:
    for protocol in PROTOCOLS:
        found = getattr(result.expressions[number], protocol).percent()
        for name in MEASURES:
            assert found[name] == pytest.approx(100 * want[protocol][name], abs=1e-9), (protocol, name)


@st.composite
def cases(draw):
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    frames = draw(st.integers(1, 10))
    count = draw(st.integers(1, 4))
    shape = (height, width)
    blank, full = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    masks = st.one_of(
        st.sampled_from([blank, full]), hnp.arrays(np.uint8, shape, elements=st.integers(0, 1), fill=st.just(1))
    )
    tracks = np.array([[draw(masks) for _ in range(frames)] for _ in range(count)])
    values = draw(st.sampled_from([[0, 1], [0, 255], [0, 100], [0, 2, 255], [0, 1, 2, 3, 128]]))
    grey = hnp.arrays(np.uint8, (frames, *shape), elements=st.sampled_from(values))
    ids = draw(st.lists(st.integers(0, count - 1), max_size=5))  # a track may be named twice
    return tracks, ids, draw(grey)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_both_protocols_are_what_they_say(tmp_path_factory, case):
    tracks, ids, grey = case
    root = tmp_path_factory.mktemp("case")
    write_dataset(root / "data", tracks, [(ids, 0), (ids, 1)])
    write_pngs(root / "pngs", 0, grey)
    write_pngs(root / "pngs", 1, (grey > 0).astype(np.uint8))
    result = evaluate(root / "pngs", root / "data", protocol="both")
    check(result, 0, literal_scores(tracks, ids, grey))
    check(result, 1, literal_scores(tracks, ids, (grey > 0).astype(np.uint8)))
    rles = {"v/0": {"1": list(MaskSequence.encode(grey))}}
    check(evaluate(rles, root / "data", protocol="both"), 1, literal_scores(tracks, ids, (grey > 0).astype(np.uint8)))


def test_deep_overlaps_wrap_in_eight_bits(tmp_path):
    tracks = np.ones((40, 1, 3, 4), np.uint8)
    tracks[:, 0, 0, 0] = np.arange(40) < 7
    ids = list(range(40))
    grey = np.full((1, 3, 4), 7, np.uint8)
    write_dataset(tmp_path / "data", tracks, [(ids, 0)])
    write_pngs(tmp_path / "pngs", 0, grey)
    check(evaluate(tmp_path / "pngs", tmp_path / "data", protocol="both"), 0, literal_scores(tracks, ids, grey))


@pytest.mark.parametrize("shape", [(1, 7), (6, 1), (1, 1)])
def test_later_pngs_of_one_row_or_column_are_spread_officially(tmp_path, shape):
    rng = np.random.default_rng(5)
    tracks = (rng.random((2, 10, 6, 7)) < 0.5).astype(np.uint8)
    grey = (rng.random((10, 6, 7)) < 0.5).astype(np.uint8) * 255
    frames = [*grey[:3], rng.choice(np.array([0, 1, 200], np.uint8), shape), *grey[4:8], np.full(shape, 255, np.uint8)]
    frames.append(grey[9])  # of the frames that are read at a time, the second group begins with a spread one
    write_dataset(tmp_path / "data", tracks, [([0, 1], 0)])
    write_pngs(tmp_path / "pngs", 0, frames)
    result = evaluate(tmp_path / "pngs", tmp_path / "data", protocol="both")
    spread = np.stack([np.broadcast_to(frame, (6, 7)) for frame in frames])
    want = literal_scores(tracks, [0, 1], spread)["official"]
    assert result.expressions[0].official.percent() == pytest.approx({k: 100 * v for k, v in want.items()}, abs=1e-9)
    assert set(result.expressions[0].binary.percent().values()) == {0}
    assert f"frame 00003.png is {shape[0]}x{shape[1]}" in result.missing[0].reason


@pytest.mark.parametrize("shape", [(3, 7), (6, 2), (7, 6)])
def test_later_pngs_of_any_other_size_cost_the_expression_both_scores(tmp_path, shape):
    tracks = np.ones((1, 3, 6, 7), np.uint8)
    write_dataset(tmp_path / "data", tracks, [([0], 0)])
    write_pngs(tmp_path / "pngs", 0, [*tracks[0, :2], np.ones(shape, np.uint8)])
    scores = evaluate(tmp_path / "pngs", tmp_path / "data", protocol="both").expressions[0]
    assert set(scores.official.percent().values()) == set(scores.binary.percent().values()) == {0}


@pytest.mark.parametrize("value", [1, 3])
def test_true_masks_of_one_row_are_spread_over_the_first_png_officially(tmp_path, value):
    rng = np.random.default_rng(6)
    tracks = (rng.random((2, 4, 1, 7)) < 0.5).astype(np.uint8)
    tracks[1] &= 1 - tracks[0]  # where two overlap, a wrong pixel weighs 255
    grey = (rng.random((4, 5, 7)) < 0.2).astype(np.uint8) * np.uint8(value)
    write_dataset(tmp_path / "data", tracks, [([0, 1], 0)])
    write_pngs(tmp_path / "pngs", 0, grey)
    scores = evaluate(tmp_path / "pngs", tmp_path / "data", protocol="both").expressions[0]
    want = literal_scores(np.broadcast_to(tracks, (2, 4, 5, 7)), [0, 1], grey)["official"]
    assert scores.official.percent() == pytest.approx({k: 100 * v for k, v in want.items()}, abs=1e-9)
    assert scores.official.R > 0
    assert set(scores.binary.percent().values()) == {0}


def test_more_tracks_than_eight_bits_can_count_are_refused(tmp_path):
    write_dataset(tmp_path / "data", np.ones((1, 1, 1, 1), np.uint8), [([0] * 256, 0)])
    with pytest.raises(UsageError, match="over 255 tracks overlap, more than 8 bits can count"):
        evaluate({"v/0": {"0": np.ones((1, 1, 1))}}, tmp_path / "data", protocol="official")


def test_predictions_with_empty_runs_score_as_the_masks_that_they_are(tmp_path):
    tracks = np.zeros((1, 1, 4, 5), np.uint8)
    tracks[0, 0, :, 1:3] = 1
    uneven = rle([5, 0, 0, 4, 11], 4, 5)
    grey = np.concatenate([np.zeros(5), np.ones(4), np.zeros(11)]).astype(np.uint8).reshape(5, 4).T[None]
    write_dataset(tmp_path / "data", tracks, [([0], 0)])
    result = evaluate({"v/0": {"0": [uneven]}}, tmp_path / "data", protocol="both")
    check(result, 0, literal_scores(tracks, [0], grey))


def test_the_worked_example_of_the_documentation(tmp_path):
    """docs/protocol.md: a 10x10 frame, an object of 20 pixels, 20 predicted, 10 of them right, 40 of foreground."""
    tracks = np.zeros((2, 1, 10, 10), np.uint8)
    tracks[0, 0, 0:4, 0:5] = 1
    tracks[1, 0, 0:4, 5:10] = 1
    predicted = np.zeros((1, 10, 10), np.uint8)
    predicted[0, 2:6, 0:5] = 1
    write_dataset(tmp_path / "data", tracks, [([0], 0), ([1], 0)])
    for value in (1, 255):
        write_pngs(tmp_path / str(value), 0, predicted * value)
    rows = [evaluate(tmp_path / str(v), tmp_path / "data", protocol="both").expressions[0] for v in (1, 255)]
    page = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
    for protocol, row in (("binary", rows[0]), ("binary", rows[1]), ("official", rows[0]), ("official", rows[1])):
        saved = 1 if row is rows[0] else 255
        numbers = [f"{getattr(row, protocol).percent()[name]:.1f}" for name in ("J", "F", "A", "R")]
        assert f"| `{protocol}` | {saved} | {' | '.join(numbers)} |" in page
    assert rows[0].binary == rows[1].binary
    assert (rows[0].official.A, rows[1].official.A) == (0.8, 0.7)
    assert [round(row.official.R, 6) for row in rows] == [0.75, 0]


# --- a split ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ReVOS")
    write_miniature(root, videos=8, frames=5, height=20, width=30)
    return root


@pytest.fixture(scope="module")
def annotations(data):
    return open_annotations(Layout.at(data), "validation")


@pytest.fixture(scope="module")
def predicted(annotations) -> dict[str, dict[str, np.ndarray]]:
    """Truth moved by a few pixels; for what is absent, a small box in some frames."""
    rng = np.random.default_rng(3)
    found: dict[str, dict[str, np.ndarray]] = {}
    for video in annotations:
        for expression in video.expressions:
            pixels = np.roll(annotations.masks(video).of(expression).decode(), rng.integers(-4, 5, 2), (1, 2))
            if not expression.annotation_ids:
                pixels[2:4, 5:15, 10:16] = 1
            found.setdefault(video.video_id, {})[expression.expression_id] = pixels
    return found


@pytest.fixture(scope="module")
def tree(predicted, annotations, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("Annotations")
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            folder = root / video_id / expression_id
            folder.mkdir(parents=True)
            for name, mask in zip(annotations.video(video_id).frame_names, pixels, strict=True):
                Image.fromarray(mask * 255).save(folder / f"{name}.png")
    return root


def literal_rows(annotations, predicted, protocol: str, value: int) -> list[tuple[int, dict[str, float]]]:
    rows, known = [], {}  # a small long video hardly changes from frame to frame
    for video in annotations:
        masks = annotations.masks(video)
        foreground = masks.foreground().decode()
        for expression in video.expressions:
            grey = predicted[video.video_id][expression.expression_id] * np.uint8(value)
            tracks = [masks.track(i).decode() for i in expression.annotation_ids]
            frames = []
            for t in range(len(grey)):
                own = [track[t] for track in tracks]
                key = (*(array.tobytes() for array in (*own, grey[t], foreground[t])), grey[t].shape)
                if key not in known and protocol == "official":
                    known[key] = literal.official_frame(own, grey[t], foreground[t])
                elif key not in known:
                    union = np.any(own, axis=0) if own else np.zeros(grey[t].shape, bool)
                    known[key] = literal.binary_frame(union, grey[t], foreground[t])
                frames.append(known[key])
            rows.append((int(expression.type), literal.mean(frames)))
    return rows


def test_a_split_aggregates_as_published(data, tree, annotations, predicted):
    result = evaluate(tree, data, protocol="both")
    assert result.missing == ()
    for protocol in PROTOCOLS:
        rows = literal_rows(annotations, predicted, protocol, 255)
        for e, (_, scores) in zip(result.expressions, rows, strict=True):
            found = getattr(e, protocol).percent()
            assert found == pytest.approx({k: 100 * v for k, v in scores.items()}, abs=1e-9)
        want = literal.aggregate(rows, rounded=protocol == "official")
        for kind in ("referring", "reasoning", "overall"):
            assert result.rows[protocol][kind].measures == pytest.approx(want[kind], abs=1e-9)
    absent = [e for e in result.expressions if e.type == 2]
    pixels = [predicted[e.video_id][e.expression_id] for e in absent]
    empty = np.mean([(~masks.any((1, 2))).mean() for masks in pixels])
    assert result.nonexistent["empty_frames"] == pytest.approx(100 * empty)
    assert result.nonexistent["predicted_area"] == pytest.approx(100 * np.mean([masks.mean() for masks in pixels]))
    assert result.nonexistent["expressions"] == len(absent) == 5


def test_it_does_not_matter_who_works(data, tree, predicted):
    here = evaluate(tree, data, protocol="both")
    assert evaluate(tree, data, protocol="both", num_proc=2) == here
    in_memory = evaluate(predicted, data)
    assert [e.binary for e in in_memory.expressions] == [e.binary for e in here.expressions]


def test_the_files_hold_what_they_should(data, tree, tmp_path):
    result = evaluate(tree, data, protocol="both", output=tmp_path)
    document = json.loads((tmp_path / "scores.json").read_text())
    assert document == json.loads(result.to_json())
    assert list(document) == ["binary", "official", "missing", "scored", "remarks", "slices"]
    assert list(document["binary"]) == ["referring", "reasoning", "overall", "nonexistent"]
    assert list(document["official"]["referring"]) == [*MEASURES, "expressions"]
    assert document["binary"]["overall"]["J&F"] == result.rows["binary"]["overall"].measures["J&F"]
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.expressions)
    assert float(rows[0]["official_J&F"]) == result.expressions[0].official.percent()["J&F"]
    assert rows[0]["expression"] == result.expressions[0].expression
    assert {row["expression_type"] for row in rows} == {"referring", "reasoning", "nonexistent"}
    assert list(result.to_pandas().columns) == list(rows[0])
    assert {row["problem"] for row in rows} == {""}


def test_what_cannot_be_used_scores_zero_and_is_said(data, tree, predicted, annotations, tmp_path):
    video_id = next(iter(predicted))
    some = {v: dict(of_video) for v, of_video in predicted.items()}
    del some[video_id]["0"]
    some[video_id]["1"] = [{"size": [20, 30], "counts": "51"}] * 5
    some["EXTRA/1"] = {}
    result = evaluate(some, data, protocol="both")
    assert [(p.expression_id, p.kind) for p in result.missing] == [
        ("0", "missing"),
        ("1", "malformed"),
        (None, "extra"),
    ]
    for e in result.expressions[:2]:
        assert set(e.binary.percent().values()) == set(e.official.percent().values()) == {0}
    whole = evaluate(predicted, data)
    number = whole.rows["binary"]["referring"].expressions
    lost = sum(e.binary.J for e in whole.expressions[:2]) / number * 100
    assert result.rows["binary"]["referring"].expressions == number
    assert result.rows["binary"]["referring"].measures["J"] == pytest.approx(
        whole.rows["binary"]["referring"].measures["J"] - lost
    )
    text = result.describe()
    assert "2 of 35 expressions have no usable prediction and score 0 (1 missing, 1 malformed)" in text
    assert "EXTRA/1: the split validation has no such video" in text
    assert whole.describe() == ""


def test_a_partial_score_is_called_so_everywhere(data, predicted, tmp_path, capsys):
    some = {v: dict(of_video) for v, of_video in list(predicted.items())[:2]}
    del some[next(iter(some))]["0"]
    there, size = sum(map(len, some.values())), sum(map(len, predicted.values()))
    whole, part = evaluate(some, data), evaluate(some, data, only_predicted=True, output=tmp_path)
    assert len(part.expressions) == there
    assert [e.binary for e in part.expressions] == [e.binary for e in whole.expressions if e.problem is None]
    assert f"partial: {there} of {size}" in part.table()
    assert f"partial: {there} of {size}" in part.describe()
    assert json.loads((tmp_path / "scores.json").read_text())["partial"] == {"predicted": there, "expressions": size}
    with pytest.raises(UsageError, match="partial scores do not stand among the published"):
        part.against_published()
    alone, with_zeros = (f"{r.rows['binary']['overall'].measures['J&F']:.1f}" for r in (part, whole))
    assert f"J&F of the {there} that are there: {alone}; with the {size - there} missing as 0: {with_zeros}" in (
        whole.describe()
    )
    assert "partial" not in whole.table()
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == there
    assert whole.to_csv().count("missing: no masks are given for it") == size - there
    source = tmp_path / "some.json"
    source.write_text(json.dumps({v: {e: list(MaskSequence.encode(m)) for e, m in o.items()} for v, o in some.items()}))
    assert cli.main(["evaluate", str(source), str(data), "--only-predicted"]) == 0
    assert "partial" in capsys.readouterr().out
    assert cli.main(["evaluate", str(source), str(data), "--only-predicted", "--against-published"]) == 2


def test_what_is_odd_about_predictions_is_said_once(data, tree, predicted, annotations):
    assert evaluate(tree, data).describe() == ""
    assert "are saved with another grey value than 1, such as 255: A and R of `official`" in (
        evaluate(tree, data, protocol="official").describe()
    )
    scores = {v: {e: np.where(m, 200, 40).astype(np.uint8) for e, m in o.items()} for v, o in predicted.items()}
    assert "predictions have frames with several grey values" in evaluate(scores, data).describe()
    inverted = {v: {e: 1 - m for e, m in o.items()} for v, o in predicted.items()}
    for protocol in PROTOCOLS:
        assert "object and background exchanged?" in evaluate(inverted, data, protocol=protocol).describe()
    full = {video.video_id: {} for video in annotations}
    assert "exchanged" not in evaluate(full, data).describe()


def test_masks_that_rightly_cover_most_of_the_frame_are_not_odd(tmp_path):
    tracks = np.ones((1, 2, 6, 6), np.uint8)
    tracks[0, :, 0] = 0
    write_dataset(tmp_path / "data", tracks, [([0], 0)])
    assert evaluate({"v/0": {"0": tracks[0]}}, tmp_path / "data").describe() == ""


def test_dataset_and_predictions_in_the_wrong_order_are_recognised(data, tree, capsys):
    assert cli.main(["evaluate", str(data), str(tree)]) == 2
    assert "is a dataset, not predictions for it: the predictions come first" in capsys.readouterr().err


def test_several_parts_are_scored_as_one(data, predicted, tmp_path):
    names = []
    for number, (video_id, of_video) in enumerate(predicted.items()):
        names.append(tmp_path / f"part{number}.json")
        names[-1].write_text(json.dumps({video_id: {e: list(MaskSequence.encode(m)) for e, m in of_video.items()}}))
    assert evaluate(names, data) == evaluate(tmp_path, data) == evaluate(predicted, data)
    command = ["evaluate", str(names[0]), str(data), "--more", *map(str, names[1:]), "--json"]
    assert cli.main(command) == 0


def test_predictions_for_another_copy_of_the_expressions_are_told_of(own_miniature, edit_json, tmp_path):
    video = next(iter(open_annotations(Layout.at(own_miniature.root), "validation")))
    with PredictionWriter(tmp_path, data_dir=own_miniature.root) as writer:
        writer.write(video.video_id, "0", None)
    assert evaluate(tmp_path, own_miniature.root).remarks == ()
    expressions = own_miniature.root / EXPRESSIONS["validation"]
    edit_json(expressions, lambda found: found["videos"][video.video_id]["expressions"]["0"].update(exp="another"))
    (remark,) = evaluate(tmp_path, own_miniature.root).remarks
    assert f"predicted for another {expressions.name}" in remark


def test_a_failure_and_an_empty_prediction_are_two_things(data, annotations, tmp_path):
    video = next(iter(annotations))
    with PredictionWriter(tmp_path, data_dir=data) as writer:
        for expression in video.expressions[:2]:
            writer.write(video.video_id, expression.expression_id, None)
        writer.error(video.video_id, video.expressions[2].expression_id, RuntimeError("one\n\x1b[31mtwo"))
    result = evaluate(tmp_path, data)
    assert [e.problem for e in result.expressions[:2]] == [None, None]
    assert result.expressions[0].empty == 1
    assert (result.missing[0].kind, result.missing[0].reason) == ("failed", "RuntimeError: one ?[31mtwo")
    assert "failed: RuntimeError" in result.to_csv()


def test_a_split_without_some_type_has_no_such_number(tmp_path):
    tracks = np.ones((1, 1, 3, 3), np.uint8)
    write_dataset(tmp_path / "data", tracks, [([0], 0)])
    result = evaluate({"v/0": {"0": tracks[0]}}, tmp_path / "data")
    document = json.loads(result.to_json())
    assert document["binary"]["referring"]["J"] == 100
    assert document["binary"]["reasoning"]["J"] is None
    assert document["binary"]["overall"]["J"] is None
    assert "–" in result.table()
    assert "this prediction" in result.against_published()
    assert result.against_published().endswith(
        "This is of 1 expressions, and the published ones of 5,822: not comparable."
    )


# --- resuming ---------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_where_it_was(data, tree, tmp_path, monkeypatch):
    def stop(done, videos):
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        evaluate(tree, data, output=tmp_path, progress=stop)
    assert not (tmp_path / "scores.json").exists()
    seen = []
    result = evaluate(tree, data, output=tmp_path, resume=True, progress=lambda done, videos: seen.append(done))
    assert seen == [2, 3, 4, 5]
    assert result == evaluate(tree, data)


def test_predictions_that_changed_since_are_scored_again(data, tree, tmp_path):
    """As when their folder was away, or not yet filled, while the run that is resumed read it."""
    ours = Path(shutil.copytree(tree, tmp_path / "predictions"))
    whole = evaluate(ours, data, output=tmp_path / "scores")
    away = ours.rename(tmp_path / "away")
    ours.mkdir()
    without = evaluate(ours, data, output=tmp_path / "scores", resume=True)
    assert {problem.kind for problem in without.missing} == {ProblemKind.MISSING}
    ours.rmdir()
    away.rename(ours)
    seen: list[int] = []
    again = evaluate(
        ours, data, output=tmp_path / "scores", resume=True, progress=lambda done, videos: seen.append(done)
    )
    assert again == whole
    assert seen[0] == 0


def test_results_that_a_crash_has_cut_short_are_made_again(data, tree, tmp_path):
    evaluate(tree, data, output=tmp_path)
    for kept in (tmp_path / "videos").rglob("*.scores.json"):
        kept.write_bytes(kept.read_bytes()[:100])
    assert evaluate(tree, data, output=tmp_path, resume=True) == evaluate(tree, data)


def test_two_runs_do_not_write_into_one_folder(data, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    left = tmp_path / "videos" / "OVIS" / "a.scores.json.0123abcd.part"
    left.parent.mkdir(parents=True)
    left.touch()
    with atomic.sole_writer(tmp_path), pytest.raises(FolderInUseError, match="has been writing there since"):
        evaluate(tree, data, output=tmp_path)
    assert not (tmp_path / "scores.json").exists()
    evaluate(tree, data, output=tmp_path)
    assert not left.exists()


def test_resuming_another_run_is_refused(data, tree, predicted, tmp_path):
    evaluate(tree, data, output=tmp_path)
    with pytest.raises(UsageError, match="another run"):
        evaluate(tree, data, output=tmp_path, resume=True, protocol="official")
    with pytest.raises(UsageError, match="another run"):
        evaluate(tree, data, output=tmp_path, resume=True, extra=True)
    with pytest.raises(UsageError, match="output"):
        evaluate(tree, data, resume=True)


def test_a_new_run_does_not_take_old_results(data, tree, tmp_path):
    evaluate(tree, data, output=tmp_path)
    calls = []
    evaluate(tree, data, output=tmp_path, progress=lambda done, videos: calls.append(done))
    assert calls == [0, 1, 2, 3, 4, 5]


# --- a training loop --------------------------------------------------------------------------------------------------


def test_an_evaluator_of_several_ranks_equals_one_evaluation(data, predicted):
    ranks = [Evaluator(data, protocol="both") for _ in range(2)]
    pairs = [(v, e, masks) for v, of_video in predicted.items() for e, masks in of_video.items()]
    for n, (video_id, expression_id, masks) in enumerate(pairs):
        ranks[n % 2].add(video_id, expression_id, MaskSequence.encode(masks) if n % 3 else masks)
    ranks[1].add(*pairs[0])  # a sampler may pad: it counts once
    assert len(ranks[0].result().missing) == len(pairs) // 2
    gathered = [pickle.loads(pickle.dumps(rank)) for rank in ranks]
    assert gathered[0].merge(gathered[1]).result() == evaluate(predicted, data, protocol="both")


def test_a_sample_can_be_scored_by_itself(data, predicted):
    evaluator = Evaluator(data)
    video_id = next(iter(predicted))
    found = evaluator.add(video_id, "0", predicted[video_id]["0"])
    assert evaluator.result(added_only=True).expressions == (found,)
    assert len(evaluator) == 1


def test_a_training_loop_hears_at_once_what_does_not_fit(data, predicted):
    evaluator = Evaluator(data)
    video_id = next(iter(predicted))
    with pytest.raises(UsageError, match="expression '0': its shape is"):
        evaluator.add(video_id, "0", np.zeros((5, 3, 4), bool))
    with pytest.raises(UsageError, match="no expression '99'; it has 0, 1"):
        evaluator.add(video_id, "99", predicted[video_id]["0"])
    with pytest.raises(UsageError, match="merge"):
        evaluator.merge(Evaluator(data, split="train"))


# --- around it --------------------------------------------------------------------------------------------------------


def test_the_command_prints_writes_and_says_what_is_wrong(data, tree, tmp_path, capsys):
    arguments = ["evaluate", str(tree), "--data-dir", str(data), "--protocol", "both", "-o", str(tmp_path)]
    assert cli.main([*arguments, "--against-published"]) == 0
    out = capsys.readouterr().out
    assert "referring" in out
    assert "nonexistent: 68.0 % of frames left empty" in out
    assert f"» {tree.name}" in out
    assert "VISA-13B" in out
    (tmp_path / "empty").mkdir()
    assert cli.main(["evaluate", str(tmp_path / "empty"), "--data-dir", str(data), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["missing"]) == 35
    assert "35 of 35 expressions have no usable prediction" in captured.err
    assert cli.main(["evaluate", "nowhere", "--data-dir", str(data)]) == 2
    with pytest.raises(UsageError, match="no protocol"):
        evaluate(tree, data, protocol="davis")


def test_other_splits_do_not_stand_among_the_published_results(data, tree, capsys):
    arguments = ["evaluate", str(tree), "--data-dir", str(data), "--against-published"]
    assert cli.main([*arguments, "--split", "train"]) == 2
    assert "published results are of the validation split" in capsys.readouterr().err
    assert cli.main([*arguments, "--json"]) == 2
    assert "--json" in capsys.readouterr().err
    assert cli.main([*arguments, "--alignment", "accepted.json"]) == 2
    assert "frames as filed" in capsys.readouterr().err
    with pytest.raises(UsageError, match="of the validation split of ReVOS"):
        evaluate({}, data, split="train").against_published()


def test_published_numbers_agree_with_each_other_and_ascend():
    overall = [result.overall for result in reported.RESULTS]
    assert overall == sorted(overall)
    assert len({result.method for result in reported.RESULTS}) == len(overall)
    for result in reported.RESULTS:
        if result.referring is not None and result.reasoning is not None:
            assert (result.referring + result.reasoning) / 2 == pytest.approx(result.overall, abs=0.051)


def test_the_published_table_stands_in_the_documentation_too():
    page = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    for result in reported.RESULTS:
        numbers = " | ".join("–" if v is None else f"{v:.1f}" for v in result[1:4])
        masks = "" if result.grey is None else f"0/{result.grey} "
        frames = "" if result.frames is None else f"{result.frames} "
        assert f"| {result.method} | {numbers} | {frames}| {masks}| {result.source} |" in page
    text = reported.table("mine", None, None, math.inf)
    assert text.splitlines()[-1].startswith("» mine")


def test_importing_the_package_is_cheap_and_its_names_are_there():
    code = (
        "import sys, revoskit; assert 'numpy' not in sys.modules; from revoskit import evaluate, Evaluator; print('ok')"
    )
    root = Path(revoskit.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout == "ok\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        revoskit.nothing  # noqa: B018


# --- long videos ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 20_000, 10**9])
def test_scores_do_not_depend_on_the_parts_in_which_a_video_is_scored(data, tree, room, monkeypatch):
    whole = evaluate(tree, data, protocol="both")
    monkeypatch.setattr(truth_room, "FRAMES_AT_ONCE", 16)
    monkeypatch.setattr(truth_room, "TRUTH_BYTES", room)
    assert evaluate(tree, data, protocol="both") == whole


def test_true_masks_are_kept_as_long_as_there_is_room(monkeypatch):
    tracks = np.ones((2, 40, 30, 30), np.uint8)
    video = Video("v", 30, 30, tuple(map(str, range(40))), ())
    made = []
    monkeypatch.setattr(truth_room, "pack", lambda masks: made.append(masks) or pack(masks))
    monkeypatch.setattr(truth_room, "FRAMES_AT_ONCE", 16)
    for room, expected in [(10**9, 3), (3 * 2 * 32 * 32, 5), (0, 6)]:  # a part of sixteen frames takes two boxes
        monkeypatch.setattr(truth_room, "TRUTH_BYTES", room)
        truth = truth_room.Truth(video, InMemory(tracks))
        for _ in range(2):
            assert [part.of([0]).frames for _, _, part in truth.parts()] == [16, 16, 8]
        assert len(made) == expected
        made.clear()


class InMemory:
    """The masks of a video, from pixels."""

    def __init__(self, tracks: np.ndarray) -> None:
        self.tracks = tracks

    def union(self, annotation_ids) -> MaskSequence:
        return MaskSequence.encode(self.tracks[list(annotation_ids)].any(0))
