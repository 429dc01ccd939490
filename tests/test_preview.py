"""The config `preview`: a small picture for every expression, the first that the Hub's viewer shows."""

import io
import json
import re
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from PIL import Image
from pycocotools import mask as coco
from standin_hub import StandInHub
from test_publish import column_chunks, push

import revos
from revoskit.cli import main
from revoskit.dataset.layout import Layout
from revoskit.errors import FrameError, MissingFilesError
from revoskit.miniature import write_miniature
from revoskit.publishing import publish as publishing
from revoskit.publishing.shards import Content

MOST_WIDTH, MOST_BYTES = 512, 24_000


def run(data: Path, folder: Path, *, content=Content("none"), configs=("preview", "expressions"), **how) -> Path:  # noqa: B008
    layout = Layout.at(data, faults=how.pop("faults", "error"))
    plan = publishing.make_plan(layout, content=content, configs=configs)
    publishing.publish(layout, folder, plan, revos.Revos(data_dir=None).info, **how)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "ReVOS"
    write_miniature(root, frames=6, height=180, width=320)
    return root


@pytest.fixture(scope="module")
def published(data, tmp_path_factory) -> Path:
    return run(data, tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def previews(published, tmp_path_factory) -> datasets.DatasetDict:
    return load_dataset(str(published), "preview", cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def expressions(data, tmp_path_factory) -> datasets.DatasetDict:
    return load_dataset("revos", data_dir=str(data), cache_dir=str(tmp_path_factory.mktemp("cache")))


def panels(picture: Image.Image) -> list[np.ndarray]:
    """The three frames of a picture, as float arrays: they stand side by side, four pixels apart."""
    pixels = np.asarray(picture.convert("RGB"), float)
    width = (picture.width - 8) // 3
    return [pixels[:, place * (width + 4) :][:, :width] for place in range(3)]


def plain(frame: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(frame) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), float)


def test_there_is_a_row_for_every_expression_with_its_text_type_and_sizes(previews, expressions):
    assert {split: len(rows) for split, rows in previews.items()} == {split: len(r) for split, r in expressions.items()}
    for split, rows in expressions.items():
        for found, row in zip(previews[split], rows, strict=True):
            same = ["video_id", "expression_id", "expression", "expression_type", "height", "width"]
            assert [found[name] for name in same] == [row[name] for name in same]
            assert found["num_frames"] == len(row["frame_names"])
            assert found["num_objects"] == len(row["object_ids"])
            covered = 100 * coco.decode(row["masks"]).mean()
            assert found["covered_percent"] == pytest.approx(covered, rel=1e-6)
    assert previews["train"].features["expression_type"] == expressions["train"].features["expression_type"]


def test_a_picture_is_a_small_jpeg_whatever_the_shape_of_the_video(published, previews):
    shapes = set()
    for path in published.glob("preview/*.parquet"):
        for stored in pq.read_table(path)["picture"].to_pylist():
            assert len(stored["bytes"]) <= MOST_BYTES
            with Image.open(io.BytesIO(stored["bytes"])) as image:
                assert image.format == "JPEG"
                assert image.width <= MOST_WIDTH
                shapes.add(image.width // 3 > image.height)
    assert shapes == {True, False}  # upright videos too
    assert isinstance(previews["train"].features["picture"], datasets.Image)


def test_three_frames_in_which_the_object_is_seen_have_its_mask_drawn(previews, expressions):
    for found, row in zip(previews["validation"], expressions["validation"], strict=True):
        pixels = coco.decode(row["masks"])
        seen = np.flatnonzero(pixels.any((0, 1)))
        if not len(seen):
            continue
        chosen = [seen[0], seen[round((len(seen) - 1) / 2)], seen[-1]]
        shown = panels(found["picture"])
        size = shown[0].shape[1], shown[0].shape[0]
        for index, panel in zip(chosen, shown, strict=True):
            mask = np.asarray(Image.fromarray(pixels[..., index] * 255).resize(size, Image.Resampling.BOX)) / 255
            change = abs(panel - plain(row["frames"][index]["path"], size)).max(-1)
            inside = change[mask > 0.99]  # none where it has nearly left; and it may have the colour of its tint
            assert len(inside) < 50 or np.median(inside) > 8
            assert np.median(change[mask < 0.01]) < 6


def test_what_is_not_there_is_shown_as_frames_without_a_mask(previews, expressions):
    absent = [i for i, row in enumerate(expressions["validation"]) if not row["object_ids"]]
    assert absent
    for i in absent:
        row, found = expressions["validation"][i], previews["validation"][i]
        assert found["covered_percent"] == 0
        last = len(row["frames"]) - 1
        shown = panels(found["picture"])
        for index, panel in zip([0, round(last / 2), last], shown, strict=True):
            assert abs(panel - plain(row["frames"][index]["path"], panel.shape[1::-1])).mean() < 6


def test_pictures_of_noise_stay_within_the_bound(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=2, frames=3, height=400, width=300)
    rng = np.random.default_rng(0)
    for path in (tmp_path / "ReVOS").rglob("*.jpg"):
        with Image.open(path) as image:
            noise = rng.integers(0, 256, (image.height, image.width, 3), np.uint8)
        Image.fromarray(noise).save(path, quality=98)
    folder = run(tmp_path / "ReVOS", tmp_path / "out", configs=["preview"])
    stored = pq.read_table(next(folder.glob("preview/train-*")))["picture"].to_pylist()
    assert all(len(one["bytes"]) <= MOST_BYTES for one in stored)


@pytest.mark.parametrize(("height", "width"), [(40, 2000), (2000, 40), (9, 16), (1, 1)])
@pytest.mark.parametrize("frames", [1, 2])
def test_odd_shapes_and_very_short_videos_are_shown(tmp_path, height, width, frames):
    write_miniature(tmp_path / "ReVOS", videos=1, frames=frames, height=height, width=width)
    folder = run(tmp_path / "ReVOS", tmp_path / "out", configs=["preview"])
    rows = pq.read_table(next(folder.glob("preview/train-*"))).to_pylist()
    assert len(rows) == 8
    for row in rows:
        with Image.open(io.BytesIO(row["picture"]["bytes"])) as image:
            image.load()
            assert image.width <= MOST_WIDTH
            assert image.height <= MOST_WIDTH


def test_texts_come_back_as_they_are(data, tmp_path, edit_json):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    texts = ["ما هو الشيء الذي يتحرك؟ ‏\u202eabc", "👩‍👩‍👧‍👦 🏳️‍🌈", "x" * 20_000, "", "a\x00b\n\t\u2028"]

    def change(content: dict) -> None:
        for text, expression in zip(
            texts, content["videos"]["OVIS/train/00e92ab4"]["expressions"].values(), strict=False
        ):
            expression["exp"] = text

    edit_json(copy / "meta_expressions_valid_.json", change)
    table = pq.read_table(next(run(copy, tmp_path / "out").glob("preview/validation-*")))
    assert table["expression"].to_pylist()[: len(texts)] == texts


# --- what is asked for, and what is refused ---------------------------------------------------------------------------


def test_the_command_makes_a_preview_only_when_asked(data, tmp_path, capsys):
    options = ["publish", str(data), "--frames", "none", "--num-proc", "1", "--json", "-o"]
    assert main([*options, str(tmp_path / "with"), "--preview"]) == 0
    assert main([*options, str(tmp_path / "without")]) == 0
    capsys.readouterr()
    assert (tmp_path / "with" / "preview").is_dir()
    assert not (tmp_path / "without" / "preview").exists()


def test_what_is_published_beside_a_preview_is_the_same_without_it(data, published, tmp_path):
    without = run(data, tmp_path / "without", configs=["expressions"])
    for path in without.glob("expressions/*"):
        assert path.read_bytes() == (published / path.relative_to(without)).read_bytes()


def test_it_is_the_config_that_the_viewer_opens_and_the_card_names_the_others(published, tmp_path):
    text = (published / "README.md").read_text()
    configs = yaml.safe_load(text.split("---")[1])["configs"]
    assert [one["config_name"] for one in configs if one.get("default")] == ["preview"]
    assert {one["config_name"] for one in configs} == {"preview", "expressions"}
    rows = load_dataset(str(published), split="validation", cache_dir=str(tmp_path))
    assert "picture" in rows.column_names
    assert 'load_dataset("OWNER/NAME", "expressions"' in text


def test_the_card_says_that_it_holds_small_pictures_of_the_frames(published, data, tmp_path):
    text = " ".join((published / "README.md").read_text().split())
    assert "small pictures of those videos' frames: pass it on only as their own terms allow" in text
    assert "none of the videos' frames" not in text
    whole = run(data, tmp_path / "whole", content=Content("embed"), configs=["preview", "videos"])
    assert "holds frames of those videos" in (whole / "README.md").read_text()


def test_a_push_says_that_pictures_go_with_it_and_takes_none_along_unasked(data, tmp_path):
    with StandInHub() as hub:
        done = push(hub, data, tmp_path / "without", "--yes")
        assert done.returncode == 0, done.stderr
        assert "annotations only" in done.stderr
        done = push(hub, data, tmp_path / "with", "--preview", "--yes")
        assert done.returncode == 0, done.stderr
        assert "small PICTURES of these videos' frames" in done.stderr
        assert any(path.startswith("preview/") for path in hub.repositories["someone/revos"].files)


def test_a_frame_that_is_missing_is_named_before_anything_is_written(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    next((copy / "JPEGImages/OVIS").rglob("00003.jpg")).unlink()
    with pytest.raises(MissingFilesError, match=r"OVIS/train/00e92ab4/00003.jpg(.|\n)*without --preview"):
        run(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    folder = run(copy, tmp_path / "skipped", faults="skip")
    ids = pq.read_table(next(folder.glob("preview/validation-*")), columns=["video_id"])["video_id"].to_pylist()
    assert "OVIS/train/00e92ab4" not in ids
    assert len(set(ids)) == 3


def test_a_frame_that_is_broken_is_named(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    broken = next((copy / "JPEGImages/OVIS").rglob("00000.jpg"))
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(FrameError, match=re.escape(str(broken))):
        run(copy, tmp_path / "out")


def test_one_changed_expression_leaves_the_other_pictures_as_they_were(data, published, tmp_path, edit_json):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))

    def change(content: dict) -> None:
        content["videos"]["OVIS/train/00e92ab4"]["expressions"]["1"]["exp"] = "a text of another length than it had"

    edit_json(copy / "meta_expressions_valid_.json", change)
    after = run(copy, tmp_path / "after")
    (old,), (new,) = ([*folder.glob("preview/validation-*")] for folder in (published, after))
    kept = set(column_chunks(old))
    assert len([chunk for chunk in column_chunks(new) if chunk not in kept]) == 1


# --- the limits of the Hub's viewer -----------------------------------------------------------------------------------


def test_the_first_rows_fit_the_answer_of_the_viewer_uncut(previews):
    """It answers with 200,000 bytes of JSON at most, in which a picture is an address."""
    address = {"src": "https://datasets-server.huggingface.co/" + "x" * 400, "height": 1000, "width": 1000}
    for rows in previews.values():
        first = [
            {**row, "picture": address} for row in rows.remove_columns("picture").select(range(min(100, len(rows))))
        ]
        answer = [{"row_idx": i, "row": row, "truncated_cells": []} for i, row in enumerate(first)]
        assert len(json.dumps(answer).encode()) * 100 / len(first) < 200_000


def test_what_a_viewer_reads_at_once_is_far_below_its_limit(published):
    for path in published.glob("*/*.parquet"):
        file = pq.read_metadata(path)
        groups = [file.row_group(i).total_byte_size for i in range(file.num_row_groups)]
        assert max(groups) < 16_000_000 + 300 * MOST_BYTES  # of 300 MB
