"""Mapping files: what they may say, and what a dataset loaded with one holds."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

import revos
from revoskit import stats
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.remapping import Linear, apply_mapping, read_mapping, write_mapping
from revoskit.errors import AnnotationError, MissingFilesError
from revoskit.export import export
from revoskit.looking import pictures
from revoskit.looking.gallery import write_gallery
from revoskit.miniature import write_miniature
from revoskit.publishing import publish
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.evaluator import Evaluator

VIDEO = "LV-VIS/train/01020"
OTHER = "MOSE/train/a1b2c3d4"
FRAMES = 12


@pytest.fixture
def root(tmp_path):
    write_miniature(tmp_path / "ReVOS", frames=FRAMES, height=48, width=64)
    return tmp_path / "ReVOS"


def accepted(tmp_path, content) -> str:
    path = tmp_path / "accepted.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def load(root, tmp_path, alignment=None, config="videos", split="train", **options):
    options |= {"data_dir": str(root), "cache_dir": str(tmp_path / "cache")}
    rows = load_dataset(revos.NAME, config, alignment=alignment, split=split, **options)
    return [row for row in rows if row["video_id"] == VIDEO]


def test_without_a_mapping_file_nothing_changes(root, tmp_path):
    (row,) = load(root, tmp_path)
    assert row["frame_names"] == [f"{i:05d}" for i in range(FRAMES)]


def test_a_stride_gives_each_mask_the_frame_it_counts_to_and_leaves_out_masks_beyond(root, tmp_path):
    (filed,) = load(root, tmp_path)
    (row,) = load(root, tmp_path, accepted(tmp_path, {VIDEO: {"stride": 3, "offset": 1}}))
    assert row["frame_names"] == ["00001", "00004", "00007", "00010"]
    assert [frame["path"][-9:] for frame in row["frames"]] == [f"{name}.jpg" for name in row["frame_names"]]
    for track, before in zip(row["tracks"], filed["tracks"], strict=True):
        assert track["masks"] == before["masks"][:4]
    assert row["foreground"] == filed["foreground"][:4]


def test_names_give_each_mask_its_frame_and_null_leaves_one_out(root, tmp_path):
    names = [None, *(f"{i:05d}" for i in range(FRAMES - 1))]
    filed = load(root, tmp_path, config="expressions")
    rows = load(root, tmp_path, accepted(tmp_path, {VIDEO: names}), config="expressions")
    for row, before in zip(rows, filed, strict=True):
        assert row["frame_names"] == names[1:]
        assert row["masks"] == before["masks"][1:]


def test_videos_that_the_file_does_not_name_stay_as_filed(root, tmp_path):
    rows = load_dataset(
        revos.NAME,
        "videos",
        data_dir=str(root),
        cache_dir=str(tmp_path / "cache"),
        alignment=accepted(tmp_path, {VIDEO: {"stride": 2}}),
        split="train",
    )
    assert {row["video_id"]: len(row["frame_names"]) for row in rows}[OTHER] == FRAMES


def test_the_cache_follows_what_the_mapping_file_says(root, tmp_path):
    path = accepted(tmp_path, {VIDEO: {"stride": 2}})
    assert len(load(root, tmp_path, path)[0]["frame_names"]) == 6
    accepted(tmp_path, {VIDEO: {"stride": 4}})
    assert len(load(root, tmp_path, path)[0]["frame_names"]) == 3


def test_the_cache_follows_the_frames_that_a_stride_counts_among(root, tmp_path):
    path = accepted(tmp_path, {VIDEO: {"stride": 2}})
    load(root, tmp_path, path)
    folder = root / "JPEGImages" / VIDEO
    for number in range(FRAMES, 2 * FRAMES):
        shutil.copy(folder / "00000.jpg", folder / f"{number:05d}.jpg")
    os.utime(folder, (1, 1))
    assert len(load(root, tmp_path, path)[0]["frame_names"]) == FRAMES


def test_mapped_frames_that_are_not_on_disk_are_missing_frames(root, tmp_path):
    names = [f"{i + 100:05d}" for i in range(FRAMES)]
    with pytest.raises(MissingFilesError, match="00100"):
        load(root, tmp_path, accepted(tmp_path, {VIDEO: names}))
    with pytest.warns(UserWarning, match="has left 2 videos out of .*24 frame-missing: train") as told:
        assert not load(root, tmp_path, accepted(tmp_path, {VIDEO: names}), faults="skip")
    assert str(told[1].message) == "train_sub is left out: something is wrong with each of its videos"


def test_a_video_without_frames_on_disk_is_left_as_filed(root, tmp_path):
    for frame in (root / "JPEGImages" / VIDEO).iterdir():
        frame.unlink()
    filed = open_annotations(Layout.at(root), "train")
    aligned = open_annotations(Layout.at(root, alignment=accepted(tmp_path, {VIDEO: {"stride": 30}})), "train")
    assert aligned.video(VIDEO) == filed.video(VIDEO)


def test_a_video_that_the_dataset_does_not_have_is_warned_of(root, tmp_path):
    with pytest.warns(UserWarning, match="TAO/typo"):
        load(root, tmp_path, accepted(tmp_path, {"TAO/typo": {"stride": 30}}))


def test_a_mapping_found_in_another_number_of_frames_is_refused(root):
    video = open_annotations(Layout.at(root), "train").video(VIDEO)
    with pytest.raises(AnnotationError, match="counts among 1200 frames, but its folder holds 12"):
        apply_mapping(Linear(30, 0, 1200), video, Layout.at(root).split("train").folder_frames(VIDEO))


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        (["00000", "00001"], "names 2 frames, expected one for each of its 12 masks"),
        (Linear(1, 400), "leads outside of its 12 frames for every mask"),
    ],
)
def test_a_mapping_that_does_not_fit_the_video_is_refused(root, mapping, reason):
    video = open_annotations(Layout.at(root), "train").video(VIDEO)
    with pytest.raises(AnnotationError, match=reason):
        apply_mapping(mapping, video, Layout.at(root).split("train").folder_frames(VIDEO))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ({VIDEO: {"stride": 0}}, "stride"),
        ({VIDEO: {"stride": 1.5}}, "stride"),
        ({VIDEO: {"stride": 30, "ofset": 1}}, "ofset"),
        ({VIDEO: ["../../../etc/passwd"]}, "not a plain relative path"),
        ({VIDEO: ["a/b"]}, "holds a slash"),
        ({VIDEO: ["00000", "00000"]}, "two masks"),
        ({VIDEO: [None, None]}, "leaves no mask a frame"),
        ({"../up": {"stride": 30}}, "not a plain relative path"),
    ],
)
def test_what_is_no_mapping_file_is_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(AnnotationError, match=reason):
        read_mapping(accepted(tmp_path, content))


def test_a_mapping_file_that_is_not_there_is_said_before_anything_is_built(root, tmp_path):
    with pytest.raises(MissingFilesError, match=r"no mapping file .*nowhere\.json"):
        load(root, tmp_path, str(tmp_path / "nowhere.json"))


def test_what_is_written_reads_the_same(tmp_path):
    mappings = {"a/b": Linear(30, -2, 1200), "c": ["00000", None, "00005"], "d": Linear(2)}
    write_mapping(tmp_path / "accepted.json", mappings)
    assert read_mapping(tmp_path / "accepted.json") == mappings


def test_frames_are_counted_by_the_numbers_in_their_names(root):
    folder = root / "JPEGImages" / "a"
    folder.mkdir()
    for name in ("frame10.jpg", "frame9.jpg", "frame1.jpg", "frame2.txt"):
        (folder / name).touch()
    assert Layout.at(root).split("train").folder_frames("a") == ["frame1", "frame9", "frame10"]


# --- wherever annotations are opened ----------------------------------------------------------------------------------


@pytest.fixture
def mapped(root, tmp_path) -> Layout:
    """Every third frame, from the second: four of the twelve masks are kept."""
    return Layout.at(root, alignment=accepted(tmp_path, {VIDEO: {"stride": 3, "offset": 1}}))


KEPT = ("00001", "00004", "00007", "00010")


def test_the_masks_of_a_mapped_video_are_those_of_the_kept_frames_in_every_form(root, mapped):
    filed, aligned = (open_annotations(layout, "train") for layout in (Layout.at(root), mapped))
    video = aligned.video(VIDEO)
    masks, before = aligned.masks(video), filed.masks(filed.video(VIDEO))
    assert (masks.video, video.frame_names) == (video, KEPT)
    assert masks.foreground() == before.foreground()[:4]
    for expression in video.expressions:
        assert masks.of(expression) == masks.union(expression.annotation_ids) == before.of(expression)[:4]
    assert pickle.loads(pickle.dumps(aligned)) is aligned  # another process opens it with the same mappings


def test_another_mapping_file_is_read_anew(root, tmp_path, mapped):
    before = open_annotations(mapped, "train")
    accepted(tmp_path, {VIDEO: {"stride": 6}})
    assert open_annotations(mapped, "train").video(VIDEO).frame_names == ("00000", "00006")
    assert before.video(VIDEO).frame_names == KEPT


def test_statistics_count_the_frames_that_are_kept(root, mapped):
    frames = {layout: stats.measure(layout, ["train"])[0].frames for layout in (Layout.at(root), mapped)}
    assert frames[Layout.at(root)] - frames[mapped] == FRAMES - len(KEPT)


def test_a_picture_shows_the_frames_that_masks_were_mapped_to(mapped):
    scene = pictures.find_scene(mapped, VIDEO)
    assert [Path(frame.path).stem for frame in scene.frames] == list(KEPT)
    assert {len(layer.masks) for layer in scene.panels[0].layers} == {4}


def test_the_gallery_shows_the_frames_that_masks_were_mapped_to(mapped, tmp_path):
    write_gallery(mapped, "train", tmp_path / "page")
    written = (tmp_path / "page/data/videos" / f"{VIDEO}.js").read_text()
    said = json.loads(written[written.index("{") : written.rindex("}") + 1])
    assert tuple(said["frames"]) == KEPT
    assert {len(track["masks"]) for track in said["tracks"]} == {4}


def test_an_export_has_the_frames_that_masks_were_mapped_to(mapped, tmp_path):
    export(mapped, "mevis", tmp_path / "out", ["train"])
    back = open_annotations(Layout.at(tmp_path / "out", "mevis"), "train")
    assert back.video(VIDEO).frame_names == KEPT
    assert sorted(path.stem for path in (tmp_path / "out/train/JPEGImages" / VIDEO).iterdir()) == list(KEPT)


def test_a_publication_has_the_frames_that_masks_were_mapped_to(root, mapped, tmp_path):
    plan = publish.make_plan(mapped, configs=["videos"])
    assert plan != publish.make_plan(Layout.at(root), configs=["videos"])
    publish.publish(mapped, tmp_path / "out", plan, revos.Revos(data_dir=str(root)).info)
    rows = pq.read_table(tmp_path / "out/videos", columns=["video_id", "frame_names", "foreground"]).to_pylist()
    row = next(row for row in rows if row["video_id"] == VIDEO)
    assert (tuple(row["frame_names"]), len(row["foreground"])) == (KEPT, 4)


def test_scores_are_those_of_the_frames_that_masks_were_mapped_to(root, mapped):
    annotations = open_annotations(mapped, "train")
    video = annotations.video(VIDEO)
    perfect = {e.expression_id: list(annotations.masks(video).of(e)) for e in video.expressions}
    result = evaluate({VIDEO: perfect}, root, split="train", alignment=mapped.alignment)
    assert {e.binary.J for e in result.expressions if e.video_id == VIDEO} == {1.0}
    unmapped = evaluate({VIDEO: perfect}, root, split="train")
    assert {e.binary.J for e in unmapped.expressions if e.video_id == VIDEO} == {0.0}  # four masks for twelve frames
    evaluator = Evaluator(root, split="train", alignment=mapped.alignment)
    expression = video.expressions[0]
    assert evaluator.add(VIDEO, expression.expression_id, perfect[expression.expression_id]).binary.J == 1.0
