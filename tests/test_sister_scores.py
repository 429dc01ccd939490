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
