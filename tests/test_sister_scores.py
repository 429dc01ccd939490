"""Sister datasets are scored by their own protocol: MeViS as its public evaluator does it, without types."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import literal
import numpy as np
import pytest
from PIL import Image

from revoskit import cli
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.miniature import write_sister
from revoskit.scoring.compare import compare
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.evaluator import Evaluator


@pytest.fixture(scope="module")
def annotations(tmp_path_factory) -> Annotations:
    root = tmp_path_factory.mktemp("mevis")
    write_sister(root, "mevis", videos=6, frames=4, height=20, width=30)
    return open_annotations(Layout.at(root, "mevis"), "valid_u")


@pytest.fixture(scope="module")
def tree(annotations, tmp_path_factory) -> Path:
    """Truth moved by a few pixels, as PNGs of 0 and 255; one video has no predictions at all."""
    root = tmp_path_factory.mktemp("predictions")
    rng = np.random.default_rng(0)
    for video in annotations:
        for e in video.expressions[1:]:
            folder = root / video.video_id / e.expression_id
            folder.mkdir(parents=True)
            pixels = np.roll(annotations.masks(video).of(e).decode(), rng.integers(-4, 5, 2), (1, 2))
            for name, frame in zip(video.frame_names, pixels, strict=True):
                Image.fromarray(frame * 255).save(folder / f"{name}.png")
    return root


def mevis_scores(annotations: Annotations, tree: Path) -> dict[str, float]:
    """J, F and J&F as MeViS's evaluator takes them: of each expression the means over frames, 0 where there is none."""
    scores = []
    for video in annotations:
        for e in video.expressions:
            folder = tree / video.video_id / e.expression_id
            if not folder.is_dir():
                scores.append((0.0, 0.0))
                continue
            tracks = [annotations.masks(video).track(i).decode() for i in e.annotation_ids]
            truth = sum(tracks, np.zeros((len(video.frame_names), video.height, video.width), np.uint8))
            masks = [literal.read_grey(folder / f"{name}.png") for name in video.frame_names]
            pairs = list(zip(truth, masks, strict=True))
            scores.append(
                (np.mean([literal.region(*p) for p in pairs]), np.mean([literal.boundary_f(*p) for p in pairs]))
            )
    j, f = np.mean(scores, axis=0)
    return {"J": 100 * j, "F": 100 * f, "J&F": 100 * (j + f) / 2}


def test_mevis_is_scored_as_its_public_evaluator_scores_it(annotations, tree):
    result = evaluate(tree, annotations.layout.root, family="mevis", split="valid_u")
    want = mevis_scores(annotations, tree)
    assert list(result.rows["binary"]) == ["overall"]
    found = result.rows["binary"]["overall"].measures
    assert {name: found[name] for name in want} == pytest.approx(want, abs=1e-9)
    assert len(result.missing) == len(annotations.videos)


def test_the_table_has_no_types_and_no_measures_of_revos(annotations, tree, tmp_path, capsys):
    root = str(annotations.layout.root)
    arguments = ["evaluate", str(tree), root, "--family", "mevis", "--split", "valid_u", "-o", str(tmp_path)]
    assert cli.main([*arguments, "--slices", "--num-proc", "1"]) == 1
    printed = capsys.readouterr().out
    assert "referring" not in printed
    assert "nonexistent" not in printed
    assert printed.splitlines()[0].split() == ["binary", "J", "F", "J&F", "expressions"]
    document = json.loads((tmp_path / "scores.json").read_text())
    assert list(document["binary"]) == ["overall"]
    assert document["scored"]["family"] == "mevis"
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert {row["expression_type"] for row in csv.DictReader(file)} == {""}
    again = compare([tmp_path, evaluate(tree, root, family="mevis", split="valid_u")], resamples=5)
    assert list(again.methods[0].rows) == ["overall"]
    assert again.pairs[0].rows["overall"]["J&F"].difference == 0


def test_an_evaluator_takes_a_family_too(annotations):
    evaluator = Evaluator(annotations.layout.root, family="mevis", split="valid_u")
    for video in annotations:
        for e in video.expressions:
            evaluator.add(video.video_id, e.expression_id, annotations.masks(video).of(e))
    assert evaluator.result().rows["binary"]["overall"].measures["J&F"] == 100


def test_what_cannot_be_scored_is_said(annotations, tree):
    root = annotations.layout.root
    with pytest.raises(UsageError, match="keeps the masks of valid back: its own server"):
        evaluate(tree, root, family="mevis", split="valid")
    with pytest.raises(UsageError, match="official is that of ReVOS's own evaluator"):
        evaluate(tree, root, family="mevis", split="valid_u", protocol="both")


@pytest.mark.parametrize(
    ("family", "split"),
    [("mevis_v2", "valid_u"), ("lv_vis", "train"), ("fevos", "validation"), ("ref_sav", "validation")],
)
def test_every_other_sister_is_scored_as_the_mean_over_its_expressions(tmp_path, family, split):
    write_sister(tmp_path / "data", family, videos=6, frames=3, height=20, width=30)
    annotations = open_annotations(Layout.at(tmp_path / "data", family), split)
    predicted: dict[str, dict[str, np.ndarray]] = {}
    scores = []
    for video in annotations:
        for e in video.expressions:
            truth = annotations.masks(video).of(e).decode()
            moved = predicted.setdefault(video.video_id, {})[e.expression_id] = np.roll(truth, 2, 1)
            scores.append(np.mean([literal.region(*frame) for frame in zip(truth, moved, strict=True)]))
    result = evaluate(predicted, tmp_path / "data", family=family, split=split)
    assert result.rows["binary"]["overall"].measures["J"] == pytest.approx(100 * np.mean(scores))


# --- masks in PNGs ----------------------------------------------------------------------------------------------------


def drawn(root: Path, family: str, split: str, videos: int = 6) -> tuple[Annotations, dict[str, dict[str, np.ndarray]]]:
    """A miniature, and predictions for all its expressions: the truth moved by some pixels, and nothing for some."""
    write_sister(root, family, videos=videos, frames=30, height=20, width=30)
    annotations = open_annotations(Layout.at(root, family), split)
    rng = np.random.default_rng(1)
    predicted: dict[str, dict[str, np.ndarray]] = {}
    for video in annotations:
        for number, e in enumerate(video.expressions):
            moved = np.roll(annotations.masks(video).of(e).decode(), rng.integers(-4, 5, 2), (1, 2))
            moved[: 3 * number] = 0
            predicted.setdefault(video.video_id, {})[e.expression_id] = moved
    return annotations, predicted


def save(predicted: dict[str, dict[str, np.ndarray]], annotations: Annotations, root: Path) -> Path:
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            folder = root / video_id / expression_id
            folder.mkdir(parents=True)
            for name, frame in zip(annotations.video(video_id).frame_names, pixels, strict=True):
                Image.fromarray(frame * 255).save(folder / f"{name}.png")
    return root


def means(scores: list[tuple[float, float]]) -> dict[str, float]:
    j, f = np.mean(scores, axis=0)
    return {"J": 100 * j, "F": 100 * f, "J&F": 100 * (j + f) / 2}


def test_reason_vos_is_scored_at_the_frames_that_have_a_picture(tmp_path):
    annotations, predicted = drawn(tmp_path / "data", "reason_vos", "validation", videos=3)
    folders = sorted((tmp_path / "data/Annotations").iterdir())
    for number, folder in enumerate(folders):
        for file in sorted(folder.iterdir())[1 : 1 + number % 4]:
            file.unlink()
    scores = []
    for video_id, of_video in predicted.items():
        said = json.loads((tmp_path / "data/meta_expressions.json").read_bytes())["videos"][video_id]["expressions"]
        for number, (expression_id, pixels) in enumerate(of_video.items()):
            folder = tmp_path / "data/Annotations" / f"MOSE_{video_id}_{said[number]['obj_id']}"
            names = sorted(file.stem for file in folder.iterdir())
            frames = annotations.video(video_id).frame_names
            pairs = [(literal.read_grey(folder / f"{n}.png"), pixels[frames.index(n)]) for n in names]
            assert expression_id == str(said[number]["exp_id"])
            scores.append(
                (np.mean([literal.region(*p) for p in pairs]), np.mean([literal.boundary_f(*p) for p in pairs]))
            )
    for one in (save(predicted, annotations, tmp_path / "tree"), predicted):
        result = evaluate(one, tmp_path / "data", family="reason_vos", split="validation")
        assert not result.missing
        found = result.rows["binary"]["overall"].measures
        assert {name: found[name] for name in means(scores)} == pytest.approx(means(scores), abs=1e-9)


def test_long_rvos_is_scored_in_space_and_in_time(tmp_path):
    annotations, predicted = drawn(tmp_path / "data", "long_rvos", "valid")
    root = tmp_path / "data/valid"
    said = json.loads((root / "meta_expressions.json").read_bytes())["videos"]
    scores, times, keys = [], [], []
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            keys.append(expression_id)
            object_id = said[video_id]["expressions"][expression_id]["obj_id"]
            files = [root / "Annotations" / video_id / object_id / f"{n}.png" for n in said[video_id]["frames"]]
            truth = [literal.read_grey(f) if f.exists() else np.zeros_like(pixels[0]) for f in files]
            assert any(not f.exists() for f in files) or object_id != "3"
            pairs = list(zip(truth, pixels, strict=True))
            j = np.array([literal.region(*p) for p in pairs])
            scores.append((j.mean(), np.mean([literal.boundary_f(*p) for p in pairs])))
            there, shown = np.array([t.any() for t in truth]), pixels.any((1, 2))
            union = (there | shown).sum()
            times.append(((there & shown).sum() / union, j[there & shown].sum() / union))
    tree = save(predicted, annotations, tmp_path / "tree")
    result = evaluate(tree, tmp_path / "data", family="long_rvos", split="valid", extra=True)
    found = result.rows["binary"]["overall"].measures
    assert {name: found[name] for name in means(scores)} == pytest.approx(means(scores), abs=1e-9)
    document = json.loads(result.to_json())
    kinds = {e.expression_id: e.kind for video in annotations for e in video.expressions}
    assert set(document["slices"]["kind"]) == {"static", "dynamic", "static+dynamic"}
    assert list(kinds.values()) == ["static", "dynamic", "static+dynamic", "static"]
    static = [score for score, key in zip(scores, keys, strict=True) if kinds[key] == "static"]
    found = result.slices["kind"]["static"].rows["binary"]["overall"].measures
    assert {name: found[name] for name in means(static)} == pytest.approx(means(static), abs=1e-9)
    assert document["extra"]["tIoU"] == pytest.approx(100 * np.mean(times, 0)[0], abs=1e-9)
    assert document["extra"]["vIoU"] == pytest.approx(100 * np.mean(times, 0)[1], abs=1e-9)


def test_groundmore_is_scored_at_twenty_frames_and_for_the_time_of_the_action(tmp_path):
    annotations, predicted = drawn(tmp_path / "data", "groundmore", "test", videos=3)
    said = json.loads((tmp_path / "data/test_v2.json").read_bytes())["videos"]
    indices = np.linspace(0, 29, num=20, dtype=int)
    scores = []
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            question = said[video_id]["questions"][expression_id]
            begin, end = ((int(question[key][2:]) - 10) * 6 for key in ("action_start", "action_end"))
            objects = [int(number) for number in question["obj_id"].split(", ")]
            pairs = []
            for index in indices:
                values = np.asarray(
                    Image.open(tmp_path / "data/annotations" / video_id / "masks" / f"frame_{index:06d}.png")
                )
                pairs.append((np.isin(values, objects) & (begin <= index <= end - 1), pixels[index]))
            scores.append(
                (np.mean([literal.region(*p) for p in pairs]), np.mean([literal.boundary_f(*p) for p in pairs]))
            )
    whole = save(predicted, annotations, tmp_path / "whole")
    sampled = save(predicted, annotations, tmp_path / "sampled")
    for file in sampled.rglob("*.png"):
        if int(file.stem[-6:]) not in indices:
            file.unlink()
    few = {v: {e: pixels[indices] for e, pixels in of_video.items()} for v, of_video in predicted.items()}
    for one in (whole, sampled, predicted, few):
        result = evaluate(one, tmp_path / "data", family="groundmore", split="test")
        assert not result.missing
        found = result.rows["binary"]["overall"].measures
        assert {name: found[name] for name in means(scores)} == pytest.approx(means(scores), abs=1e-9)
    evaluator = Evaluator(tmp_path / "data", family="groundmore", split="test")
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            evaluator.add(video_id, expression_id, pixels)
    assert evaluator.result().rows["binary"]["overall"].measures["J"] == pytest.approx(means(scores)["J"], abs=1e-9)


@pytest.mark.parametrize(("family", "split"), [("ref_youtube_vos", "train"), ("ref_davis17", "valid")])
def test_expressions_of_one_object_in_a_picture_of_many_are_scored_one_by_one(tmp_path, family, split):
    _, predicted = drawn(tmp_path / "data", family, split)
    said = json.loads((tmp_path / f"data/meta_expressions/{split}/meta_expressions.json").read_bytes())["videos"]
    scores = []
    for video_id, of_video in predicted.items():
        for expression_id, pixels in of_video.items():
            number = int(said[video_id]["expressions"][expression_id]["obj_id"])
            folder = tmp_path / "data" / split / "Annotations" / video_id
            truth = [np.asarray(Image.open(folder / f"{n}.png")) == number for n in said[video_id]["frames"]]
            pairs = list(zip(truth, pixels, strict=True))
            scores.append(
                (np.mean([literal.region(*p) for p in pairs]), np.mean([literal.boundary_f(*p) for p in pairs]))
            )
    result = evaluate(predicted, tmp_path / "data", family=family, split=split)
    found = result.rows["binary"]["overall"].measures
    assert {name: found[name] for name in means(scores)} == pytest.approx(means(scores), abs=1e-9)


def test_scores_of_other_pictures_are_not_compared(tmp_path):
    annotations, predicted = drawn(tmp_path / "data", "ref_davis17", "valid")
    before = evaluate(predicted, tmp_path / "data", family="ref_davis17", split="valid")
    assert compare([before, before], names=["A", "B"], resamples=5)
    video = next(iter(annotations))
    file = tmp_path / "data/valid/Annotations" / video.video_id / f"{video.frame_names[0]}.png"
    Image.new("P", (video.width, video.height)).save(file)
    after = evaluate(predicted, tmp_path / "data", family="ref_davis17", split="valid")
    with pytest.raises(UsageError, match=r"they differ in data \(tracks\)"):
        compare([before, after], names=["A", "B"], resamples=5)


def test_a_run_does_not_go_on_with_other_pictures(tmp_path):
    annotations, predicted = drawn(tmp_path / "data", "long_rvos", "valid")
    tree = save(predicted, annotations, tmp_path / "tree")
    options = {"family": "long_rvos", "split": "valid", "output": tmp_path / "out"}
    evaluate(tree, tmp_path / "data", **options)
    evaluate(tree, tmp_path / "data", **options, resume=True)
    next((tmp_path / "data/valid/Annotations").rglob("*.png")).unlink()
    with pytest.raises(UsageError, match="is of another run"):
        evaluate(tree, tmp_path / "data", **options, resume=True)
