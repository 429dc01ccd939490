"""Exports, each read back by a reader that is not ours where there is one: `revoskit.export`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from revoskit import miniature
from revoskit.atomic import is_of_lock
from revoskit.cli import main
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, TRACKS, Layout
from revoskit.errors import AnnotationError, MissingFilesError, UsageError
from revoskit.export import JOURNAL, TARGETS, describe, export, job, webdataset
from revoskit.export.ytvos import palette_png
from revoskit.masks.rle import MaskSequence

FIRST = "LV-VIS/train/01020"
UPRIGHT = "UVO/all/-CiPki3XuVI"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return miniature.write_miniature(tmp_path_factory.mktemp("data") / "ReVOS", frames=5, height=60, width=100)


@pytest.fixture(scope="module")
def layout(small):
    return Layout.at(small.root)


@pytest.fixture(scope="module")
def exported(layout, tmp_path_factory):
    """A folder for each target, exported once."""
    folder = tmp_path_factory.mktemp("exported")
    reports = {to: export(layout, to, folder / to) for to in TARGETS}
    return folder, reports


def _tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != JOURNAL and not is_of_lock(path.name)
    }


def _union(small, ids):
    return np.any([small.pixels[i] for i in ids], axis=0)


# --- MeViS ------------------------------------------------------------------------------------------------------------


def test_mevis_is_read_as_its_own_loader_reads_it(small, exported):
    folder = exported[0] / "mevis" / "valid_u"
    videos = json.loads((folder / "meta_expressions.json").read_text())["videos"]
    tracks = json.loads((folder / "mask_dict.json").read_text())

    assert len(videos) == 4
    for video_id, video in videos.items():
        for name in video["frames"]:
            with Image.open(folder / "JPEGImages" / video_id / f"{name}.jpg") as image:
                assert image.size == (video["width"], video["height"])
        for expression in video["expressions"].values():
            for i, _ in enumerate(video["frames"]):
                masks = [tracks[str(anno_id)][i] for anno_id in expression["anno_id"]]
                drawn = sum((mask_api.decode(mask) for mask in masks if mask), np.zeros((1, 1), np.uint8)) > 0
                expected = _union(small, expression["anno_id"])[i] if masks else np.zeros((1, 1), bool)
                np.testing.assert_array_equal(np.broadcast_to(drawn, expected.shape), expected)


def test_mevis_comes_back_through_the_builder_of_the_family(layout, exported):
    back = Layout.at(exported[0] / "mevis", "mevis")

    assert back.splits() == ["train", "valid_u"]
    assert "family='mevis' reads train and valid_u there" in describe(exported[1]["mevis"], exported[0] / "mevis")
    for split, name in [("train", "train"), ("validation", "valid_u")]:
        ours, theirs = open_annotations(layout, split), open_annotations(back, name)
        assert list(ours.videos) == list(theirs.videos)
        for video in ours:
            assert theirs.video(video.video_id).frame_names == video.frame_names
            for i in video.annotation_ids:
                assert theirs.masks(theirs.video(video.video_id)).track(i) == ours.masks(video).track(i)


def test_mevis_has_frames_sorted_and_masks_in_their_order(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=3, height=30, width=40).root
    path = root / EXPRESSIONS["train"]
    path.write_text(path.read_text().replace('["00000", "00001", "00002"]', '["00002", "00000", "00001"]'))
    given = json.loads((root / TRACKS).read_text())["3003000"]

    export(Layout.at(root), "mevis", tmp_path / "out", ["train"])

    video = json.loads((tmp_path / "out/train/meta_expressions.json").read_text())["videos"][FIRST]
    track = json.loads((tmp_path / "out/train/mask_dict.json").read_text())["3003000"]
    assert video["frames"] == ["00000", "00001", "00002"]
    assert track == [given[1], given[2], given[0]]
    assert given[0] != given[1]


def test_mevis_has_a_track_that_two_videos_share_in_the_order_of_each(own_miniature, tmp_path, edit_json):
    other = "MOSE/train/a1b2c3d4"

    def share(content):  # both videos are of one size
        content["videos"][other]["expressions"]["0"]["anno_id"] = [3003000]
        content["videos"][other]["frames"].reverse()

    edit_json(own_miniature.root / EXPRESSIONS["train"], share)
    layout = Layout.at(own_miniature.root)
    export(layout, "mevis", tmp_path / "out", ["train"])

    ours, theirs = open_annotations(layout, "train"), open_annotations(Layout.at(tmp_path / "out", "mevis"), "train")
    for video_id in (FIRST, other):
        by_frame = []
        for annotations in (ours, theirs):
            video = annotations.video(video_id)
            expression = video.expressions[0]
            masks = annotations.masks(video).track(expression.annotation_ids[0])
            by_frame.append(dict(zip(video.frame_names, masks, strict=True)))
        assert by_frame[0] == by_frame[1], video_id


# --- Ref-YouTube-VOS --------------------------------------------------------------------------------------------------


def test_pictures_number_the_objects_with_later_ones_on_top(small, exported):
    folder = exported[0] / "ytvos" / "train"
    objects = json.loads((folder / "meta.json").read_text())["videos"][UPRIGHT]["objects"]
    ids = [objects[str(number)]["annotation_id"] for number in (1, 2, 3)]

    assert ids == sorted(ids)
    for i, name in enumerate(["00000", "00005", "00010", "00015", "00020"]):
        with Image.open(folder / "Annotations" / UPRIGHT / f"{name}.png") as image:
            assert image.mode == "P"
            numbers = np.asarray(image)
        expected = np.zeros_like(numbers)
        for number, annotation_id in enumerate(ids, 1):
            expected[small.pixels[annotation_id][i]] = number
        np.testing.assert_array_equal(numbers, expected)


def test_pictures_show_objects_in_the_usual_colours(exported):
    picture = min((exported[0] / "ytvos/train/Annotations").rglob("*.png"))
    with Image.open(picture) as image:
        palette = np.array(image.getpalette()).reshape(-1, 3)

    assert palette[:5].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]


def test_expressions_of_one_object_give_its_number(small, exported):
    folder = exported[0] / "ytvos"
    videos = json.loads((folder / "meta_expressions/train/meta_expressions.json").read_text())["videos"]
    objects = json.loads((folder / "train/meta.json").read_text())["videos"]

    assert videos[FIRST]["expressions"]["1"]["obj_id"] == "2"
    for video_id, video in videos.items():
        for expression in video["expressions"].values():
            assert objects[video_id]["objects"][expression["obj_id"]]["category"] == "others"


def test_what_the_pictures_cannot_say_is_left_out_counted_and_kept_apart(layout, exported):
    folder, reports = exported
    counts = reports["ytvos"].splits["train"]
    kept, apart = (
        json.loads((folder / "ytvos/meta_expressions/train" / name).read_text())["videos"]
        for name in ("meta_expressions.json", "meta_expressions_left_out.json")
    )

    assert apart[FIRST]["expressions"]["2"]["obj_id"] == ["1", "2", "3"]
    assert apart[FIRST]["expressions"]["6"]["obj_id"] == []
    assert counts.left_out == sum(len(video["expressions"]) for video in apart.values()) == 9
    for video in open_annotations(layout, "train"):
        ids = {**kept[video.video_id]["expressions"], **apart[video.video_id]["expressions"]}
        assert set(ids) == {expression.expression_id for expression in video.expressions}
    assert "9 of the expressions mean several objects, none, or one that" in describe(reports["ytvos"], folder)
    assert "tracks have no pixel" not in describe(reports["ytvos"], folder)


def test_pixels_lost_to_later_objects_are_counted(small, layout, exported):
    counts = exported[1]["ytvos"].splits["train"]
    layers = [
        np.sum([small.pixels[i] for i in video.annotation_ids], axis=0) for video in open_annotations(layout, "train")
    ]

    assert counts.object_pixels == sum(int(layer.sum()) for layer in layers)
    assert counts.covered_pixels == sum(int((layer - 1)[layer > 1].sum()) for layer in layers) > 0
    assert counts.covered_frames == sum(int((layer > 1).any((1, 2)).sum()) for layer in layers)


def test_objects_list_the_frames_they_show_in(small, exported):
    objects = json.loads((exported[0] / "ytvos/train/meta.json").read_text())["videos"][FIRST]["objects"]

    shown = small.pixels[3003002].any((1, 2))
    assert objects["3"]["frames"] == [f"{i:05d}" for i in np.flatnonzero(shown)]
    assert not shown.all()


def test_an_object_is_listed_for_the_frames_in_which_the_pictures_have_pixels_of_it(own_miniature, tmp_path, edit_json):
    ball, box, triangle = (str(3003000 + i) for i in range(3))

    def cover(tracks):
        tracks[triangle] = list(tracks[ball])  # all of the first object, and of the second what it shows in one frame
        tracks[triangle][1] = tracks[box][1]
        tracks[ball][1] = None

    edit_json(own_miniature.root / TRACKS, cover)
    report = export(Layout.at(own_miniature.root), "ytvos", tmp_path / "out", ["train_sub"])

    objects = json.loads((tmp_path / "out/train_sub/meta.json").read_text())["videos"][FIRST]["objects"]
    shown = {"2": [], "3": []}
    for i in range(4):
        for number in np.unique(np.asarray(Image.open(tmp_path / f"out/train_sub/Annotations/{FIRST}/{i:05d}.png"))):
            if number:
                shown[str(number)].append(f"{i:05d}")
    assert {number: entry["frames"] for number, entry in objects.items()} == shown
    assert "00001" not in shown["2"]
    assert objects["2"]["annotation_id"] == int(box)
    kept, apart = (
        json.loads((tmp_path / f"out/meta_expressions/train_sub/{name}.json").read_text())["videos"][FIRST]
        for name in ("meta_expressions", "meta_expressions_left_out")
    )
    assert all(expression["obj_id"] in objects for expression in kept["expressions"].values())
    assert [apart["expressions"][id]["obj_id"] for id in ("0", "3")] == [["1"], ["1"]]
    assert report.splits["train_sub"].left_out == len(apart["expressions"]) == 5
    assert report.splits["train_sub"].tracks_left_out == 1
    said = describe(report, tmp_path)
    assert "5 of the expressions mean several objects, none, or one that no pixel is left of" in said
    assert "1 of the tracks have no pixel in what is written, and are left out" in said


def test_long_videos_are_drawn_in_parts(tmp_path):
    made = miniature.write_miniature(tmp_path / "r", videos=1, frames=40, height=24, width=32)
    export(Layout.at(made.root), "ytvos", tmp_path / "out", ["train"])

    for i in (0, 31, 32, 39):
        numbers = np.asarray(Image.open(tmp_path / f"out/train/Annotations/{FIRST}/{i:05d}.png"))
        np.testing.assert_array_equal(numbers != 0, _union(made, [3003000, 3003001, 3003002])[i])


def test_more_objects_than_a_palette_holds_are_refused(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=1, height=24, width=32).root
    path = root / EXPRESSIONS["train"]
    document = json.loads(path.read_text())
    document["videos"][FIRST]["expressions"]["0"]["anno_id"] = list(range(256))
    path.write_text(json.dumps(document))

    with pytest.raises(UsageError, match=r"of train has 25\d tracks: an 8-bit palette has room for 255"):
        export(Layout.at(root), "ytvos", tmp_path / "out", ["validation", "train"])
    assert not (tmp_path / "out").exists()


# --- WebDataset -------------------------------------------------------------------------------------------------------


def test_shards_are_read_by_webdataset(small, layout, exported):
    wds = pytest.importorskip("webdataset")
    annotations = open_annotations(layout, "validation")

    samples = list(
        wds.WebDataset(str(exported[0] / "webdataset/revos-validation-000000.tar"), shardshuffle=False).decode("pil")
    )

    assert [sample["json"]["video_id"] for sample in samples] == list(annotations.videos)
    for sample in samples:
        known = sample["json"]
        video = annotations.video(known["video_id"])
        frames = annotations.files.frames(video)
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(np.asarray(sample[f"{i:05d}.jpg"]), np.asarray(frame.image()))
        assert f"{len(frames):05d}.jpg" not in sample
        for track in known["tracks"]:
            masks = [mask and mask_api.decode(mask) for mask in track["masks"]]
            expected = small.pixels[track["annotation_id"]]
            for mask, pixels in zip(masks, expected, strict=True):
                assert not pixels.any() if mask is None else (mask == pixels).all()
        assert [e["expression"] for e in known["expressions"]] == [e.text for e in video.expressions]
        assert {e["type"] for e in known["expressions"]} == {"referring", "reasoning", "nonexistent"}


def test_shards_are_the_same_whoever_writes_them(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "SHARD_BYTES", 1)
    export(layout, "webdataset", tmp_path / "one", ["train"])
    export(layout, "webdataset", tmp_path / "two", ["train"], num_proc=2)

    assert len(_tree(tmp_path / "one")) == 3
    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


# --- YouTube-VIS ------------------------------------------------------------------------------------------------------


def test_instances_are_read_by_coco(small, layout, exported, capsys):
    coco = COCO(str(exported[0] / "coco/valid/instances.json"))
    coco.imgs = {video["id"]: video for video in coco.dataset["videos"]}  # where annToMask looks for a size
    annotations = open_annotations(layout, "validation")

    assert coco.getCatIds(catNms=["object"]) == [1]
    for video, entry in zip(annotations, coco.dataset["videos"], strict=True):
        tracks = coco.loadAnns(coco.getAnnIds(imgIds=[entry["id"]]))
        assert [track["id"] for track in tracks] == list(video.annotation_ids)
        assert entry["length"] == len(entry["file_names"]) == len(video.frame_names)
        assert all((exported[0] / "coco/valid/JPEGImages" / name).is_file() for name in entry["file_names"])
        for track in tracks:
            for i, rle in enumerate(track["segmentations"]):
                expected = small.pixels[track["id"]][i]
                if rle is None:
                    assert not expected.any()
                    assert track["bboxes"][i] is track["areas"][i] is None
                    continue
                np.testing.assert_array_equal(coco.annToMask({"image_id": entry["id"], "segmentation": rle}), expected)
                y, x = np.nonzero(expected)
                width, height = x.max() - x.min() + 1, y.max() - y.min() + 1
                assert track["bboxes"][i] == [x.min(), y.min(), width, height]
                assert track["areas"][i] == expected.sum()


def test_instances_keep_every_expression(layout, exported):
    document = json.loads((exported[0] / "coco/train/instances.json").read_text())
    videos = {entry["id"]: entry["file_names"][0].rsplit("/", 1)[0] for entry in document["videos"]}

    said = {
        (videos[e["video_id"]], e["expression_id"], e["expression"], tuple(e["object_ids"]))
        for e in document["expressions"]
    }
    assert said == {
        (video.video_id, e.expression_id, e.text, tuple(e.object_ids))
        for video in open_annotations(layout, "train")
        for e in video.expressions
    }


def test_instances_are_read_by_trackeval(exported, tmp_path, capsys):
    datasets = pytest.importorskip("trackeval.datasets")
    instances = exported[0] / "coco/valid/instances.json"
    document = json.loads(instances.read_text())
    results = []  # the truth, in the compressed form that predictions have
    for track in document["annotations"]:
        rles = [rle and mask_api.frPyObjects(rle, *rle["size"]) for rle in track["segmentations"]]
        rles = [rle and {**rle, "counts": rle["counts"].decode()} for rle in rles]
        results.append({"video_id": track["video_id"], "category_id": 1, "segmentations": rles, "score": 1.0})
    truth = tmp_path / "truth/youtube_vis_valid"
    found = tmp_path / "found/youtube_vis_valid/itself/data"
    truth.mkdir(parents=True)
    found.mkdir(parents=True)
    (truth / "instances.json").write_bytes(instances.read_bytes())
    (found / "results.json").write_text(json.dumps(results))
    folders = {"GT_FOLDER": f"{tmp_path}/truth/", "TRACKERS_FOLDER": f"{tmp_path}/found/", "SPLIT_TO_EVAL": "valid"}

    read = datasets.YouTubeVIS({**folders, "PRINT_CONFIG": False})
    raw = [read.get_raw_seq_data("itself", sequence) for sequence in read.seq_list]

    assert read.class_list == ["object"]
    assert [sequence["num_timesteps"] for sequence in raw] == [5, 5, 5]
    for sequence in raw:
        (ids,) = sequence["classes_to_gt_track_ids"].values()
        assert len(ids) == 3
        assert all(np.diag(frame).min() > 0.999 for frame in sequence["similarity_scores"] if frame.size)


def test_a_track_that_two_videos_share_is_an_annotation_of_each(own_miniature, tmp_path, edit_json):
    other = "MOSE/train/a1b2c3d4"

    def share(content):  # both videos are of one size
        content["videos"][other]["expressions"]["0"]["anno_id"] = [3003000]

    edit_json(own_miniature.root / EXPRESSIONS["train"], share)
    export(Layout.at(own_miniature.root), "coco", tmp_path / "out", ["train"])

    document = json.loads((tmp_path / "out/train/instances.json").read_text())
    numbers = {entry["file_names"][0].rsplit("/", 1)[0]: entry["id"] for entry in document["videos"]}
    by_id = {track["id"]: track for track in document["annotations"]}
    assert len(by_id) == len(document["annotations"])
    shared = [track for track in document["annotations"] if track["annotation_id"] == 3003000]
    assert [track["video_id"] for track in shared] == [numbers[FIRST], numbers[other]]
    assert shared[0]["id"] == 3003000
    for expression in document["expressions"]:  # each means the annotations of its own video
        assert {by_id[i]["video_id"] for i in expression["annotation_ids"]} <= {expression["video_id"]}


def test_a_track_with_the_number_zero_gets_another_since_coco_reads_zero_as_none(own_miniature, tmp_path, edit_json):
    def rename(content):
        content["videos"][FIRST]["expressions"]["0"]["anno_id"] = [0]

    edit_json(own_miniature.root / EXPRESSIONS["train_sub"], rename)
    edit_json(own_miniature.root / TRACKS, lambda tracks: tracks.update({"0": tracks["3003000"]}))
    export(Layout.at(own_miniature.root), "coco", tmp_path / "out", ["train_sub"])

    document = json.loads((tmp_path / "out/train_sub/instances.json").read_text())
    assert {track["annotation_id"]: track["id"] for track in document["annotations"]} == {
        0: 3003003,
        3003000: 3003000,
        3003001: 3003001,
        3003002: 3003002,
    }
    assert document["expressions"][0]["annotation_ids"] == [3003003]


@pytest.mark.parametrize("blank", [False, True])
def test_a_track_without_a_mask_is_left_out_and_counted_since_nothing_can_match_it(
    own_miniature, tmp_path, edit_json, blank
):
    empty = {"size": [36, 64], "counts": MaskSequence.empty(1, 36, 64)[0]["counts"]} if blank else None
    edit_json(own_miniature.root / TRACKS, lambda tracks: tracks.update({"3003001": [empty] * 4}))
    report = export(Layout.at(own_miniature.root), "coco", tmp_path / "out", ["train_sub"])

    document = json.loads((tmp_path / "out/train_sub/instances.json").read_text())
    assert [track["id"] for track in document["annotations"]] == [3003000, 3003002]
    said = {expression["expression_id"]: expression["annotation_ids"] for expression in document["expressions"]}
    assert (said["1"], said["2"]) == ([], [3003000, 3003002])
    assert report.splits["train_sub"].tracks_left_out == 1
    assert "1 of the tracks have no pixel in what is written, and are left out" in describe(report, tmp_path)


# --- What all have in common ------------------------------------------------------------------------------------------


def test_frames_are_hard_links_to_the_datasets_own(layout, exported):
    video = next(iter(open_annotations(layout, "train")))
    source = layout.split("train").frames(video)[0].path

    for to in ("mevis", "ytvos", "coco"):
        target = exported[0] / to / "train/JPEGImages" / video.video_id / "00000.jpg"
        assert os.path.samefile(source, target)
        assert not target.is_symlink()
    assert exported[1]["coco"].splits["train"].linked == 15


def test_frames_are_copied_where_there_can_be_no_links(layout, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(job.os, "link", refuse)
    report = export(layout, "mevis", tmp_path / "out", ["train_sub"])

    video = next(iter(open_annotations(layout, "train_sub")))
    source = Path(layout.split("train").frames(video)[0].path)
    target = tmp_path / "out/train_sub/JPEGImages" / video.video_id / "00000.jpg"
    assert report.splits["train_sub"].copied == 5
    assert target.read_bytes() == source.read_bytes()
    assert not os.path.samefile(source, target)


@pytest.mark.parametrize("frames", ["copy", "symlink"])
def test_frames_are_copied_or_linked_symbolically_if_asked(layout, tmp_path, frames):
    report = export(layout, "mevis", tmp_path / "out", ["train_sub"], frames=frames)

    target = min((tmp_path / "out").rglob("*.jpg"))
    assert target.is_symlink() == (frames == "symlink")
    assert target.stat().st_size > 0
    assert report.splits["train_sub"].linked == 0


def test_a_frame_that_is_a_link_is_followed(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=1, height=24, width=32).root
    frame = root / "JPEGImages" / FIRST / "00000.jpg"
    frame.rename(tmp_path / "elsewhere.jpg")
    frame.symlink_to(tmp_path / "elsewhere.jpg")

    export(Layout.at(root), "mevis", tmp_path / "out", ["train"])

    target = tmp_path / "out/train/JPEGImages" / FIRST / "00000.jpg"
    assert not target.is_symlink()
    assert os.path.samefile(target, tmp_path / "elsewhere.jpg")


@pytest.mark.parametrize("to", TARGETS)
def test_two_processes_write_what_one_writes(layout, exported, tmp_path, to):
    export(layout, to, tmp_path / "out", num_proc=2)

    assert _tree(tmp_path / "out") == _tree(exported[0] / to)


@pytest.mark.parametrize("to", TARGETS)
def test_an_interrupted_run_goes_on_where_it_was(layout, exported, tmp_path, to):
    def interrupt(steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(layout, to, tmp_path / "out", progress=interrupt)
    begun = _tree(tmp_path / "out")
    whole = _tree(exported[0] / to)
    assert set(begun) < set(whole)
    assert all(whole[name] == content for name, content in begun.items())

    report = export(layout, to, tmp_path / "out")

    assert _tree(tmp_path / "out") == whole
    assert report.splits["train"].kept > 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=12, frames=12, height=180, width=320).root
    command = [sys.executable, "-m", "revoskit.cli", "export", "--to", "ytvos", "--data-dir", str(root), "-o"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen([*command, str(tmp_path / "out")], env=environment, stderr=subprocess.DEVNULL)
    while running.poll() is None and not any(tmp_path.glob("out/train/Annotations/MOSE/train/*/*.png")):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    export(Layout.at(root), "ytvos", tmp_path / "out")

    export(Layout.at(root), "ytvos", tmp_path / "straight")
    assert _tree(tmp_path / "out") == _tree(tmp_path / "straight")


def test_shards_are_written_anew_where_frames_have_changed_since(own_miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "SHARD_BYTES", 1)
    own, folder = Layout.at(own_miniature.root), tmp_path / "shards"
    export(own, "webdataset", folder, frames="copy")
    (folder / "revos-train-000001.tar").write_bytes(b"spoiled")
    frame = next((own.root / "JPEGImages").rglob("00000.jpg"))
    Image.new("RGB", (64, 36)).save(frame, quality=20)
    export(own, "webdataset", folder)
    export(own, "webdataset", tmp_path / "anew")
    assert _tree(folder) == _tree(tmp_path / "anew")


def test_what_a_killed_run_left_half_written_goes_with_the_next(layout, tmp_path):
    export(layout, "coco", tmp_path / "out", ["validation"])
    left = tmp_path / "out" / "valid" / "instances.json.0123abcd.part"
    left.write_bytes(b"half")
    export(layout, "coco", tmp_path / "out", ["validation"])
    assert not left.exists()


def test_a_run_again_changes_nothing(layout, tmp_path):
    first = export(layout, "coco", tmp_path / "out", ["train_sub"])
    again = export(layout, "coco", tmp_path / "out", ["train_sub"])

    assert (first.splits["train_sub"].linked, again.splits["train_sub"].linked) == (5, 0)
    assert again.splits["train_sub"].kept == 5


def test_frames_of_an_earlier_run_are_kept_only_where_they_are_these_and_placed_this_way(own_miniature, tmp_path):
    root, out = own_miniature.root, tmp_path / "out"
    name = f"JPEGImages/{FIRST}/00000.jpg"

    def run(how, layout):
        counts = export(layout, "coco", out, ["train"], frames=how).splits["train"]
        return counts.linked, counts.copied, counts.symlinked, counts.kept

    assert run("copy", Layout.at(root)) == (0, 12, 0, 0)
    assert run("copy", Layout.at(root)) == (0, 0, 0, 12)
    changed = bytearray((root / name).read_bytes())
    changed[-10] ^= 1
    (root / name).write_bytes(changed)
    assert run("copy", Layout.at(root)) == (0, 1, 0, 11)
    assert (out / "train" / name).read_bytes() == changed
    assert run("symlink", Layout.at(root)) == (0, 0, 12, 0)
    moved = root.rename(root.with_name("moved"))
    assert run("symlink", Layout.at(moved)) == (0, 0, 12, 0)
    assert (out / "train" / name).read_bytes() == changed
    assert run("link", Layout.at(moved)) == (12, 0, 0, 0)
    assert run("copy", Layout.at(moved)) == (0, 12, 0, 0)
    assert (out / "train" / name).stat().st_nlink == 1


@pytest.mark.parametrize("to", TARGETS)
def test_a_frame_that_is_listed_twice_is_refused_since_one_of_its_masks_would_be_lost(
    own_miniature, tmp_path, edit_json, to
):
    edit_json(own_miniature.root / EXPRESSIONS["train"], lambda content: twice(content["videos"][FIRST]["frames"]))
    with pytest.raises(AnnotationError, match=rf"{FIRST}' lists frame '00000' more than once"):
        export(Layout.at(own_miniature.root), to, tmp_path / "out", ["train"])
    assert not (tmp_path / "out").exists()


def twice(frames):
    frames[1] = frames[0]


def test_a_file_is_no_folder_to_export_to(layout, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file: name a folder"):
        export(layout, "coco", tmp_path / "file")


def test_splits_can_be_exported_one_after_the_other(layout, tmp_path):
    export(layout, "mevis", tmp_path / "out", ["train"])
    report = export(layout, "mevis", tmp_path / "out", ["validation"])

    assert set(report.splits) == {"train", "validation"}
    assert Layout.at(tmp_path / "out", "mevis").splits() == ["train", "valid_u"]


def test_a_folder_of_something_else_is_left_alone(layout, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"already holds 'thesis\.tex'"):
        export(layout, "mevis", tmp_path)
    with pytest.raises(UsageError, match="already holds"):
        export(layout, "mevis", layout.root)

    (tmp_path / "thesis.tex").rename(tmp_path / JOURNAL)
    with pytest.raises(UsageError, match="is not the journal of an export"):
        export(layout, "mevis", tmp_path)


def test_an_export_of_other_data_or_to_another_target_is_left_alone(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=1, height=24, width=32).root
    export(Layout.at(root), "mevis", tmp_path / "out")

    with pytest.raises(UsageError, match="holds an export to mevis: name another folder for coco"):
        export(Layout.at(root), "coco", tmp_path / "out")
    os.utime(root / TRACKS, ns=(0, 0))
    with pytest.raises(UsageError, match="exported from other annotation files"):
        export(Layout.at(root), "mevis", tmp_path / "out")


def test_nothing_is_written_when_frames_are_missing(tmp_path):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=2, height=24, width=32).root
    (root / "JPEGImages" / FIRST / "00001.jpg").unlink()

    with pytest.raises(MissingFilesError, match=rf"(?s)train: 1 frames are not under .*: {FIRST}/00001\.jpg.*Unpack"):
        export(Layout.at(root), "mevis", tmp_path / "out", ["train"])
    assert not (tmp_path / "out").exists()


def test_a_split_without_masks_cannot_be_exported(tmp_path):
    root = miniature.write_sister(tmp_path / "m", "mevis_v2", frames=1, height=24, width=32).root

    with pytest.raises(UsageError, match="valid keeps its masks back"):
        export(Layout.at(root, "mevis_v2"), "coco", tmp_path / "out")
    report = export(Layout.at(root, "mevis_v2"), "coco", tmp_path / "out", ["train", "valid_u"])
    assert report.splits["valid_u"].tracks == 6


def test_a_split_that_is_not_here_is_said(tmp_path, capsys):
    root = miniature.write_miniature(tmp_path / "r", videos=1, frames=1, height=24, width=32).root
    (root / EXPRESSIONS["train_sub"]).unlink()

    with pytest.raises(MissingFilesError, match=r"train_sub_\.json is not there\. .* are: train, validation"):
        export(Layout.at(root), "coco", tmp_path / "out", ["train_sub"])
    assert main(["stats", "--data-dir", str(root), "--split", "train_sub"]) == 2
    assert "is not there" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "said"), [({"to": "davis"}, "no target 'davis'"), ({"frames": "move"}, "'move'")])
def test_options_that_cannot_be_meant_are_refused(layout, tmp_path, option, said):
    with pytest.raises(UsageError, match=said):
        export(layout, **{"to": "mevis", "folder": tmp_path / "out", **option})


@pytest.mark.parametrize("to", TARGETS)
def test_a_number_of_processes_that_cannot_be_meant_is_refused_before_anything_is_written(layout, tmp_path, to):
    with pytest.raises(UsageError, match="num_proc"):
        export(layout, to, tmp_path / "out", num_proc=0)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_did(layout, tmp_path, capsys):
    arguments = ["export", "--to", "ytvos", "--data-dir", str(layout.root), "-o", str(tmp_path / "out")]

    assert main([*arguments, "--split", "train_sub"]) == 0
    said = capsys.readouterr().out
    assert "train_sub: 1 videos, 5 frames (5 linked), 8 expressions, 3 tracks in train_sub" in said
    assert "lie under a later object and are lost" in said

    assert main([*arguments, "--split", "train_sub", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train_sub"]["kept"] == 5


def test_the_command_cannot_export_into_the_dataset(layout, capsys):
    assert main(["export", "--to", "mevis", "--data-dir", str(layout.root), "-o", str(layout.root)]) == 2
    assert "name a folder that does not exist or is empty" in capsys.readouterr().err


@given(arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))))
def test_runs_are_what_other_readers_make_masks_from(pixels):
    masks = MaskSequence.encode(pixels)
    height, width = pixels.shape[1:]

    for runs, expected in zip(masks.runs(), pixels, strict=True):
        rle = mask_api.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        np.testing.assert_array_equal(mask_api.decode(rle), expected)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_palette_picture_keeps_every_number(numbers):
    with Image.open(io.BytesIO(palette_png(numbers))) as image:
        np.testing.assert_array_equal(np.asarray(image), numbers)


def test_runs_and_boxes_of_masks_are_those_of_their_pixels():
    pixels = np.zeros((4, 5, 7), bool)
    pixels[1, 2:4, 3:5] = True
    pixels[2] = True
    masks = MaskSequence.encode(pixels)
    masks = MaskSequence.parse([*list(masks), None], 5, 7)

    assert masks.runs() == [[35], [17, 2, 3, 2, 11], [0, 35], [35], None]
    assert masks.boxes().tolist() == [[0, 0, 0, 0], [3, 2, 2, 2], [0, 0, 7, 5], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert MaskSequence.parse([None], 5, 7).runs() == [None]
    assert MaskSequence.empty(0, 5, 7).runs() == []


def test_symbolic_links_that_the_system_refuses_name_the_way_that_works(own_miniature, tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError(22, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refused)
    with pytest.raises(UsageError, match=r"privilege.*leave out --frames symlink"):
        export(Layout.at(own_miniature.root), "coco", tmp_path / "out", frames="symlink")


def test_a_frame_that_goes_while_it_is_exported_is_named(own_miniature, tmp_path):
    annotations = open_annotations(Layout.at(own_miniature.root), "train")
    video = next(iter(annotations))
    (own_miniature.root / "JPEGImages" / video.video_id / f"{video.frame_names[2]}.jpg").unlink()
    with pytest.raises(
        MissingFilesError, match=rf"frame '{video.frame_names[2]}' of video '{video.video_id}' was removed"
    ):
        job.frames_of(job.Job(annotations, tmp_path, "link", 1), video)
