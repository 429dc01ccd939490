"""Everything works on a video of 300 frames: more than a byte counts, as TAO's videos have. Each command is tried."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

import revos  # noqa: F401, makes the name known
from revoskit import Clips, Evaluator, compare, evaluate, predict
from revoskit.cli import main
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.video_masks import VideoMasks
from revoskit.miniature import LONG, LONG_FRAMES, write_miniature


@pytest.fixture(scope="module")
def data(tmp_path_factory, really_long_video) -> Path:
    return write_miniature(tmp_path_factory.mktemp("long") / "ReVOS", videos=7, frames=2, height=120, width=160).root


@pytest.fixture(scope="module")
def masks(data) -> VideoMasks:
    annotations = open_annotations(Layout.at(data), "validation")
    return annotations.masks(annotations.video(LONG))


@pytest.fixture(scope="module")
def predictions(data, masks, tmp_path_factory) -> dict[str, Path]:
    """The truth of the long video, as RLEs and as PNGs."""
    folder = tmp_path_factory.mktemp("predictions")
    found = {e.expression_id: masks.of(e) for e in masks.video.expressions}
    (folder / "rles.json").write_text(json.dumps({LONG: {key: list(found[key]) for key in found}}))
    for key, sequence in found.items():
        (folder / "pngs" / LONG / key).mkdir(parents=True)
        for name, pixels in zip(masks.video.frame_names, sequence.decode(), strict=True):
            Image.fromarray(pixels).save(folder / "pngs" / LONG / key / f"{name}.png")
    return {"rles": folder / "rles.json", "pngs": folder / "pngs"}


def command(*words: str | Path) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("options", [[], ["--frames"]], ids=str)
def test_nothing_is_found_wrong_with_it(data, capsys, options):
    assert command("check", data, "--split", "validation", *options, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["findings"]) == (LONG_FRAMES + 3 * 2, [])


def test_its_masks_are_not_found_to_lie_on_other_frames(data, capsys):
    status = command("check", data, "--split", "validation", "--alignment", "--json")
    assert status in (0, 2), "nothing was found, or so small a picture says too little"
    found = {one["video_id"]: one for one in json.loads(capsys.readouterr().out)}
    assert found[LONG]["folder_frames"] == LONG_FRAMES
    assert found[LONG]["verdict"] in ("aligned", "undecided")


@pytest.mark.parametrize("kind", ["rles", "pngs"])
def test_its_truth_scores_everything(data, predictions, kind):
    result = evaluate(predictions[kind], data, protocol="both")
    scores = [e for e in result.expressions if e.video_id == LONG]
    assert len(scores) == 7
    for one in scores:
        assert one.problem is None
        assert set(one.binary.percent().values()) == {100}
        # Where two overlap, the published evaluator counts 2 and finds 1.
        assert one.official.J == one.official.F == 1


def test_it_is_scored_in_a_training_loop(data, masks):
    evaluator = Evaluator(data)
    for expression in masks.video.expressions[:2]:
        assert evaluator.add(LONG, expression.expression_id, masks.of(expression).decode()).binary.J == 1


def test_it_is_predicted_converted_and_compared(data, tmp_path):
    made, tree = tmp_path / "made", tmp_path / "tree"
    report = predict(lambda frames, text, row: frames.array()[..., 0] < 100, data, output=made)
    assert report.mine.predicted == report.mine.expressions == 28
    assert command("convert", made, data, "--to", "png", "-o", tree, "--num-proc", 1) == 0
    assert len(list((tree / LONG / "0").glob("*.png"))) == LONG_FRAMES
    assert compare([made, tree], data, resamples=5).pairs[0].rows["overall"]["J&F"].difference == 0


@pytest.mark.parametrize("name", ["all.png", "all.gif"])
def test_it_is_drawn(data, predictions, tmp_path, name):
    picture = tmp_path / name
    assert command("show", "--data-dir", data, "--predictions", predictions["rles"], "-o", picture, LONG, "0") == 0
    with Image.open(picture) as image:
        assert getattr(image, "n_frames", 1) == (LONG_FRAMES if name.endswith("gif") else 1)


def test_it_has_a_page(data, predictions, tmp_path):
    page = ["--split", "validation", "--predictions", predictions["pngs"], "--num-proc", 1, "-o", tmp_path]
    assert command("gallery", "--data-dir", data, *page) == 0
    script = (tmp_path / "data" / "videos" / f"{LONG}.js").read_text()
    compared = json.loads(script[script.index("(") + 1 : script.rindex(")")])["expressions"][0]["methods"][0]
    assert compared["J"] == compared["F"] == [1] * LONG_FRAMES


def test_it_is_published_with_its_frames(data, masks, tmp_path):
    assert command("publish", "--data-dir", data, "-o", tmp_path / "out", "--max-side", 20, "--preview") == 0
    rows = load_dataset(str(tmp_path / "out"), "videos", split="validation", cache_dir=str(tmp_path / "cache"))
    row = next(row for row in rows if row["video_id"] == LONG)
    assert len(row["frames"]) == len(row["foreground"]) == len(row["tracks"][0]["masks"]) == LONG_FRAMES
    assert max(row["height"], row["width"]) == 20


@pytest.mark.parametrize("to", ["mevis", "ytvos", "webdataset", "coco"])
def test_it_is_exported(data, tmp_path, to):
    words = ["export", "--data-dir", data, "--split", "validation", "--to", to, "-o", tmp_path]
    assert command(*words) == 0
    pictures = [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".tar")]
    assert len(pictures) == (1 if to == "webdataset" else LONG_FRAMES + 3 * 2)


@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_it_is_loaded_and_cut_into_clips(data, masks, tmp_path, config):
    options = {"data_dir": str(data), "split": "validation", "cache_dir": str(tmp_path)}
    rows = load_dataset("revos", config, **options)
    index = next(i for i, row in enumerate(rows) if row["video_id"] == LONG)
    row = rows[index]
    assert (
        next(row for row in load_dataset("revos", config, streaming=True, **options) if row["video_id"] == LONG) == row
    )
    for sampling in ("uniform", "random", "contiguous", "visible", "context", "all"):
        clip = rows.with_transform(Clips(num_frames=4, sampling=sampling, size=8))[index]
        chosen = clip["frame_indices"]
        assert len(chosen) == (LONG_FRAMES if sampling == "all" else 4)
        if config == "expressions":
            expected = masks.of(masks.video.expressions[0]).take(chosen).decode()
            assert (clip["masks"].any((1, 2)) <= expected.any((1, 2))).all()
            assert np.any(clip["masks"])
