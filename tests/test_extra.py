"""revoskit.scoring.extra: the measures of other benchmarks, against their definitions."""

from __future__ import annotations

import json

import literal
import numpy as np
import pytest
from hypothesis import given, settings
from mask_strategies import rectangle, sequences

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.masks.packed import pack
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.evaluator import Evaluator
from revoskit.scoring.extra import NAMES, adaptive_tolerance, extra, frames_of


def check(truth: np.ndarray, prediction: np.ndarray) -> None:
    found, want = extra([frames_of(pack(truth), pack(prediction))]).percent(), literal.extra(truth, prediction)
    assert list(found) == list(want) == list(NAMES)
    assert found == pytest.approx(want, abs=1e-9)


@settings(max_examples=40)
@given(sequences(2))
def test_all_of_them_equal_their_definitions(masks):
    check(*masks)


@pytest.mark.parametrize("shape", [(250, 320), (97, 311)])
def test_boundaries_may_lie_apart_by_less_where_the_object_is_small(shape):
    rng = np.random.default_rng(2)
    truth, prediction = np.zeros((2, 11, *shape), np.uint8)
    for t, side in enumerate([0, 1, 5, 9, 11, 15, 25, 40, 60, 12, 8]):
        truth[t, 20 : 20 + side, 30 : 30 + side] = 1
        y, x = rng.integers(18, 24), rng.integers(28, 34)
        prediction[t, y : y + side, x : x + side] = 1
    usual = 0.008 * np.hypot(*shape)
    radii = adaptive_tolerance(pack(truth))
    assert radii[[0, 1, 5, 8]].tolist() == pytest.approx([usual, 1, min(2, usual), usual])
    assert len(set(radii.tolist())) >= 3
    check(truth, prediction)


def test_gone_and_returned_by_hand():
    box = rectangle((10, 10), 2, 2, 6, 6)
    empty = np.zeros_like(box)
    truth = np.stack([empty, box, empty, empty, box, empty, box])
    prediction = np.stack([empty, box, box, empty, box, empty, empty])
    found = extra([frames_of(pack(truth), pack(prediction))]).percent()
    # Gone in frames 2, 3 and 5, of which the last two are right; back in frames 4 and 6, of which the first one is.
    assert (found["J&Fdot_gone"], found["J&Fdot_returned"]) == pytest.approx((200 / 3, 50))
    assert (found["tIoU"], found["vIoU"]) == pytest.approx((100 * 2 / 4, 100 * 2 / 4))
    assert (found["J_first"], found["J_middle"], found["J_last"]) == pytest.approx((200 / 3, 100, 50))


def test_an_absent_object_is_answered_by_nothing_at_all():
    empty, box = np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
    box[1, 2:4, 2:4] = 1
    answers = [extra([frames_of(pack(truth), pack(p))]).percent() for truth in (empty, box) for p in (empty, box)]
    assert [one["N_acc"] for one in answers] == [100, 0, None, None]
    assert [one["T_acc"] for one in answers] == [None, None, 0, 100]


def test_without_a_prediction_all_that_says_something_is_zero():
    box = np.zeros((6, 8, 8), np.uint8)
    box[[0, 3], 2:4, 2:4] = 1
    found = extra([frames_of(pack(box), None)], usable=False).percent()
    assert {value for name, value in found.items() if name != "N_acc"} == {0.0}
    assert found["N_acc"] is None
    assert extra([frames_of(pack(box * 0), None)], usable=False).percent()["N_acc"] == 0


def test_evaluate_gives_them_when_they_are_asked_for(tmp_path):
    write_miniature(tmp_path / "data", videos=4, frames=5, height=20, width=30)
    annotations = open_annotations(Layout.at(tmp_path / "data"), "validation")
    rng = np.random.default_rng(1)
    predicted, wanted = {}, []
    evaluator = Evaluator(tmp_path / "data", extra=True)
    for video in annotations:
        for e in video.expressions:
            truth = annotations.masks(video).of(e).decode()
            moved = np.roll(truth, rng.integers(-2, 3, 2), (1, 2))
            predicted.setdefault(video.video_id, {})[e.expression_id] = moved
            evaluator.add(video.video_id, e.expression_id, moved)
            wanted.append(literal.extra(truth, moved))
    lost = predicted[next(iter(predicted))].pop("0")
    assert lost is not None
    wanted[0] = {name: None if value is None else 0.0 for name, value in wanted[0].items()}
    result = evaluate(predicted, tmp_path / "data", extra=True, output=tmp_path / "scores")
    for e, want in zip(result.expressions, wanted, strict=True):
        assert e.extra.percent() == pytest.approx(want, abs=1e-9)
    document = json.loads((tmp_path / "scores" / "scores.json").read_text())
    for name in NAMES:
        known = [want[name] for want in wanted if want[name] is not None]
        assert document["extra"][name] == (pytest.approx(np.mean(known)) if known else None)
    assert list(document["extra"]["referring"]) == list(NAMES)
    header = (tmp_path / "scores" / "scores.csv").read_text(encoding="utf-8").splitlines()[0]
    assert ",extra_tIoU,extra_vIoU,extra_Fdot,extra_J&Fdot," in header
    assert "not the benchmark's" in result.table()
    assert evaluator.result().expressions[1:] == result.expressions[1:]
    assert "extra" not in json.loads(evaluate(predicted, tmp_path / "data").to_json())
