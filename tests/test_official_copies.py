"""`protocol="official"` on copies that deviate: what the published evaluator gives, which goes on at every fault."""

from __future__ import annotations

import json
import shutil
import warnings

import literal
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, TRACKS
from revoskit.errors import AnnotationError
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.prediction import ProblemKind

VALID = EXPRESSIONS["validation"]
MEASURES = ("J", "F", "A", "R")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("sound") / "ReVOS", videos=4, frames=3, height=10, width=14)


@pytest.fixture(scope="module")
def predictions(sound, tmp_path_factory):
    """The true masks, a pixel aside, in values of one grey and of another."""
    folder = tmp_path_factory.mktemp("predictions")
    for video_id, video in json.loads((sound.root / VALID).read_text())["videos"].items():
        for number, (expression_id, entry) in enumerate(video["expressions"].items()):
            for t, name in enumerate(video["frames"]):
                pixels = np.zeros((video["height"], video["width"]), np.uint8)
                for i in entry["anno_id"]:
                    pixels |= np.roll(sound.pixels[i][t], 1, axis=1).astype(np.uint8)
                path = folder / video_id / expression_id / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels * np.uint8(255 if number % 2 else 1)).save(path)
    return folder


def published(root, predictions):
    """By ids, the four means; all nothing where anything at all goes wrong."""
    tracks, foreground = (json.loads((root / name).read_text()) for name in (TRACKS, FOREGROUND))
    found = {}
    for video_id, video in json.loads((root / VALID).read_text())["videos"].items():
        for expression_id, entry in video["expressions"].items():
            frames = []
            try:
                for t, name in enumerate(video["frames"]):
                    grey = np.asarray(Image.open(predictions / video_id / expression_id / f"{name}.png"))
                    own = [tracks[str(i)][t] for i in entry["anno_id"]]
                    own = [coco.decode(mask) if mask else np.zeros(grey.shape, np.uint8) for mask in own]
                    whole = coco.decode(foreground[video_id]["masks_rle"][t])
                    assert {mask.shape for mask in [*own, whole]} == {grey.shape}
                    frames.append(literal.official_frame(own, grey, whole))
                found[video_id, expression_id] = literal.mean(frames)
            except (KeyError, IndexError, TypeError, AssertionError):
                found[video_id, expression_id] = dict.fromkeys(MEASURES, 0.0)
    return found


def first(root):
    return next(iter(json.loads((root / VALID).read_text())["videos"].items()))


def first_track(root):
    return str(next(e["anno_id"][0] for e in first(root)[1]["expressions"].values() if e["anno_id"]))


def track(change):
    def spoil(root):
        content, key = json.loads((root / TRACKS).read_text()), first_track(root)
        change(content, key)
        (root / TRACKS).write_text(json.dumps(content))

    return spoil


def file(name, change):
    def spoil(root):
        content = json.loads((root / name).read_text())
        change(content)
        (root / name).write_text(json.dumps(content))

    return spoil


def taller(mask):
    made = coco.encode(np.asfortranarray(np.pad(coco.decode(mask), [(0, 1), (0, 0)])))
    return {"size": list(made["size"]), "counts": made["counts"].decode()}


def stale(content):
    for entry in content.values():
        for mask in entry["masks_rle"]:
            pixels = np.zeros(mask["size"], np.uint8, order="F")
            pixels[2:6, 3:9] = 1
            mask["counts"] = coco.encode(pixels)["counts"].decode()


ALL_SCORED = {
    "sound": lambda root: None,
    "longer tracks": file(TRACKS, lambda d: [masks.extend([masks[0], None]) for masks in d.values()]),
    "other stated sizes": file(VALID, lambda d: [v.update(height=99, width=7) for v in d["videos"].values()]),
    "a stale foreground": file(FOREGROUND, stale),
    "a longer foreground": file(FOREGROUND, lambda d: [v["masks_rle"].append(None) for v in d.values()]),
    "another split that is broken": lambda root: (root / EXPRESSIONS["train"]).write_text("{"),
}
SOME_NOTHING = {
    "a shorter track": track(lambda d, key: d[key].pop()),
    "a track that is not there": track(lambda d, key: d.pop(key)),
    "a track that is null": track(lambda d, key: d.update({key: None})),
    "a track of another size": track(lambda d, key: d.update({key: [mask and taller(mask) for mask in d[key]]})),
    "a shorter foreground": file(FOREGROUND, lambda d: [v["masks_rle"].pop() for v in d.values()]),
    "no foreground of a video": file(FOREGROUND, lambda d: d.clear()),
}


@pytest.mark.parametrize("case", [*ALL_SCORED, *SOME_NOTHING])
def test_scores_are_those_of_the_published_evaluator(sound, predictions, tmp_path, case):
    root = tmp_path / "ReVOS"
    shutil.copytree(sound.root, root)
    (ALL_SCORED.get(case) or SOME_NOTHING[case])(root)
    want = published(root, predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = evaluate(predictions, root, protocol="official")
    got = {(e.video_id, e.expression_id): [getattr(e.official, name) for name in MEASURES] for e in result.expressions}
    assert got.keys() == want.keys()
    for key, values in want.items():
        assert got[key] == pytest.approx([values[name] for name in MEASURES], abs=1e-12)
    nothing = {key for key, values in want.items() if not any(values.values())}
    assert {(problem.video_id, problem.expression_id) for problem in result.missing} == nothing
    assert {problem.kind for problem in result.missing} <= {ProblemKind.UNSCORABLE}
    assert bool(nothing) == (case in SOME_NOTHING)


def test_in_the_other_protocol_faulty_masks_are_an_error(sound, predictions, tmp_path):
    shutil.copytree(sound.root, tmp_path / "ReVOS")
    SOME_NOTHING["a shorter track"](tmp_path / "ReVOS")
    for protocol in ("binary", "both"):
        with pytest.raises(AnnotationError, match="has 2 masks, expected one for each"):
            evaluate(predictions, tmp_path / "ReVOS", protocol=protocol)
