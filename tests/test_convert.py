"""revoskit.scoring.convert: from any form of predictions to any other, and nothing lost on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.inference.writer import PredictionWriter
from revoskit.miniature import write_miniature
from revoskit.scoring.convert import convert
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.predictions import open_predictions

NAMES = {"png": "tree", "json": "p.json", "parquet": "p.parquet", "lines": "lines"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("data") / "ReVOS", videos=5, frames=4, height=18, width=30).root


@pytest.fixture(scope="module")
def annotations(data):
    return open_annotations(Layout.at(data), "validation")


@pytest.fixture(scope="module")
def tree(annotations, tmp_path_factory) -> Path:
    """PNGs of grey 100, but for one expression that has none and one of which half is there."""
    root = tmp_path_factory.mktemp("tree")
    rng = np.random.default_rng(0)
    for video in annotations:
        for expression in video.expressions[1:]:
            folder = root / video.video_id / expression.expression_id
            folder.mkdir(parents=True)
            for name in video.frame_names:
                pixels = (rng.random((video.height, video.width)) < 0.2).astype(np.uint8) * 100
                Image.fromarray(pixels).save(folder / f"{name}.png")
    video = next(iter(annotations))
    (root / video.video_id / "1" / f"{video.frame_names[-1]}.png").unlink()
    return root


def scores(source, data) -> list:
    return [(e.binary, e.official) for e in evaluate(source, data, protocol="both").expressions]


@pytest.mark.parametrize("first", ["lines", "json", "parquet"])
def test_masks_and_their_grey_value_survive_every_form(data, annotations, tree, tmp_path, first):
    source = tree
    forms = [first, *(form for form in ("json", "parquet", "lines") if form != first), "png"]
    for number, form in enumerate(forms):
        output = tmp_path / str(number) / NAMES[form]
        done = convert(source, data, output=output, to=form)
        assert (done.converted, done.failed) == (11, 0)
        source = output
    before = {p.relative_to(tree): np.asarray(Image.open(p)) for p in tree.rglob("*.png")}
    after = {p.relative_to(source): np.asarray(Image.open(p)) for p in source.rglob("*.png")}
    half = {path for path in before if path not in after}
    assert len({path.parent for path in half}) == 1
    assert len(after) == len(before) - 3 == 44
    for path, pixels in after.items():
        np.testing.assert_array_equal(pixels, before[path])
    assert scores(source, data)[2:] == scores(tree, data)[2:]


def test_failures_texts_and_nulls_survive_every_form_that_can_hold_them(data, annotations, tmp_path):
    video = next(iter(annotations))
    with PredictionWriter(tmp_path / "start", data_dir=data) as writer:
        writer.write(video.video_id, "0", None, extra={"text": "nothing", "tokens": [1, 2]})
        writer.error(video.video_id, "1", RuntimeError("out of memory"))
    source = tmp_path / "start"
    for number, form in enumerate(["json", "parquet", "lines"]):
        output = tmp_path / str(number) / NAMES[form]
        done = convert(source, data, output=output, to=form)
        assert (done.converted, done.failed, len(done.left_out)) == (1, 1, 12)
        source = output
        opened = open_predictions(output, annotations)
        found = [opened.read(video, expression) for expression in video.expressions[:3]]
        assert found[0].extra == {"text": "nothing", "tokens": [1, 2]}
        assert list(found[0].rles) == [None] * 4
        assert (found[1].problem.kind, found[1].problem.reason) == ("failed", "RuntimeError: out of memory")
        assert found[2].problem.kind == "missing"
    done = convert(source, data, output=tmp_path / "tree", to="png")
    assert (done.converted, done.failed) == (1, 1)
    opened = open_predictions(tmp_path / "tree", annotations)
    assert opened.read(video, video.expressions[1]).problem.reason == "RuntimeError: out of memory"
    assert opened.read(video, video.expressions[0]).binary.areas.tolist() == [0] * 4


class Killed(BaseException):
    pass


@pytest.mark.parametrize("form", list(NAMES))
def test_a_stopped_conversion_goes_on(data, tree, tmp_path, form):
    output = tmp_path / NAMES[form]

    def stop(done, videos):
        if done == 1:
            raise Killed

    with pytest.raises(Killed):
        convert(tree, data, output=output, to=form, progress=stop)
    if form in ("json", "parquet"):
        assert not output.exists()
    assert convert(tree, data, output=output, to=form).converted == 11
    assert scores(output, data)[2:] == scores(tree, data)[2:]
    again = convert(tree, data, output=output, to=form)
    assert again.converted == 11
    assert not list(tmp_path.glob(".*.lines"))


def test_what_rles_cannot_hold_is_left_out_and_said(data, annotations, tmp_path):
    video = next(iter(annotations))
    scores = np.random.default_rng(0).integers(0, 256, (4, video.height, video.width)).astype(np.uint8)
    done = convert({video.video_id: {"0": scores}}, data, output=tmp_path / "p.json", to="json")
    assert done.converted == 0
    assert "several grey values" in done.left_out[0].reason
    assert "expression 0 (malformed)" in done.describe()
    assert json.loads((tmp_path / "p.json").read_text()) == {}


def test_what_is_there_is_not_mixed_with_something_else(data, tree, tmp_path):
    convert(tree, data, output=tmp_path / "tree", to="png")
    convert(tree, data, output=tmp_path / "lines", to="lines")
    for form in ("png", "lines"):
        with pytest.raises(UsageError, match=r"other predictions|another run"):
            convert({}, data, output=tmp_path / NAMES[form], to=form)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        convert(tree, data, output=tmp_path / "own", to="png")
    with pytest.raises(UsageError, match=r"not the name of a \.json file"):
        convert(tree, data, output=tmp_path / "own", to="json")
    with pytest.raises(UsageError, match="no form 'avi'"):
        convert(tree, data, output=tmp_path / "own", to="avi")


def test_the_command_converts_and_says_what_it_could_not(data, tree, tmp_path, capsys):
    command = ["convert", str(tree), str(data), "--to", "json", "-o", str(tmp_path / "p.json"), "--num-proc", "2"]
    assert cli.main(command) == 1
    printed = capsys.readouterr().out
    assert "11 predictions" in printed
    assert "3 expressions have none that could be converted" in printed
    assert "(incomplete): 3 of 4 frames: a run that broke off?" in printed
    assert cli.main(["convert", str(data), str(tree), "--to", "json", "-o", str(tmp_path / "p.json")]) == 2
