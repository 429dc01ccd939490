"""Overlays, contact sheets and animations."""

from __future__ import annotations

import gc
import json
import sys
import warnings
import weakref
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import AnnotationError, MissingFilesError, UsageError
from revoskit.frames import FrameFile
from revoskit.looking import pictures
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate

VIDEO = "LV-VIS/train/01020"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("pictures") / "ReVOS", videos=5)


@pytest.fixture(scope="module")
def layout(written):
    return Layout.at(written.root)


def predictions_of(layout: Layout, path) -> str:
    """The truth of the first video's first expression, as a method's prediction."""
    annotations = open_annotations(layout, "train")
    video = annotations.video(VIDEO)
    path.write_text(json.dumps({VIDEO: {"0": list(annotations.masks(video).of(video.expressions[0]))}}))
    return str(path)


# --- overlays ---------------------------------------------------------------------------------------------------------


def test_a_mask_is_tinted_and_outlined_and_all_else_stays():
    image = Image.new("RGB", (20, 10), (100, 100, 100))
    mask = np.zeros((10, 20), np.uint8)
    mask[2:9, 4:15] = 255
    found = np.asarray(pictures.overlay(image, [mask], colors=[(200, 0, 100)], opacity=0.5, outline=1))
    assert (found[mask == 0] == 100).all()
    assert found[5, 9].tolist() == [150, 50, 100]
    assert found[2, 4].tolist() == found[8, 14].tolist() == found[5, 4].tolist() == [200, 0, 100]
    assert found[3, 5].tolist() == [150, 50, 100]


def test_opacity_0_without_an_outline_changes_nothing_and_opacity_1_covers():
    image = Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    everywhere = np.ones((10, 10), bool)
    assert pictures.overlay(image, [everywhere], opacity=0, outline=0) == image
    covered = np.asarray(pictures.overlay(image, [everywhere], opacity=1, outline=0))
    assert (covered == pictures.PALETTE[0]).all()


def test_later_masks_lie_on_top_and_colours_start_over():
    masks = [np.ones((4, 4), bool)] * 3
    found = np.asarray(pictures.overlay(Image.new("RGB", (4, 4)), masks, colors=[(1, 1, 1), (2, 2, 2)], opacity=1))
    assert (found == 1).all()


def test_an_outline_follows_the_border_of_the_picture():
    found = np.asarray(
        pictures.overlay(Image.new("RGB", (9, 9)), [np.ones((9, 9))], colors=[(9, 9, 9)], opacity=0, outline=2)
    )
    assert (found[2:7, 2:7] == 0).all()
    assert (found == 9).all(2).sum() == 81 - 25


# --- contact sheets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [(10, 4, [0, 3, 6, 9]), (3, 6, [0, 1, 2]), (9, 1, [4]), (1, 1, [0]), (1000, 2, [0, 999])],
)
def test_frames_are_evenly_spaced_with_both_ends(count, wanted, expected):
    assert pictures.evenly_spaced(count, wanted) == expected


def test_a_sheet_shows_the_frames_with_the_masks_of_the_expression(written, layout):
    subject = pictures.find_scene(layout, VIDEO, "0")
    sheet = pictures.contact_sheet(subject, frames=4, style=pictures.Style(opacity=1, outline=0))
    color = pictures.PALETTE[0]
    track = open_annotations(layout, "train").video(VIDEO).expressions[0].annotation_ids[0]
    width, height = pictures._fitting(pictures.Style(), subject.video, 4).panel_size(subject.video)
    assert (width, height) == (320, 180)
    expected = sum(written.pixels[track][i].sum() for i in pictures.evenly_spaced(12, 4))
    legend = 13 * 13
    found = (np.asarray(sheet) == color).all(2).sum()
    assert expected < found <= expected + legend


def test_objects_keep_their_colour_from_expression_to_expression(layout):
    every = pictures.find_scene(layout, VIDEO).panels[0].layers
    last = pictures.find_scene(layout, VIDEO, "4").panels[0].layers
    assert [layer.color for layer in every] == pictures.PALETTE[:3]
    assert [layer.color for layer in last] == pictures.PALETTE[2:3]


def test_a_prediction_stands_beside_the_ground_truth(layout, tmp_path):
    predictions = predictions_of(layout, tmp_path / "predictions.json")
    alone = pictures.find_scene(layout, VIDEO, "0")
    beside = pictures.find_scene(layout, VIDEO, "0", [predictions])
    assert [panel.title for panel in beside.panels] == ["ground truth", "prediction"]
    assert beside.panels[1].layers[0].name == "prediction · J&F 100.0"
    style = pictures.Style(panel_width=160)
    one, two = (pictures.contact_sheet(subject, frames=1, style=style) for subject in (alone, beside))
    assert two.width == one.width + 160 + 4
    truth, prediction = (panel.layers[0].masks for panel in beside.panels)
    assert prediction == truth.filled()


def test_two_methods_stand_side_by_side_with_what_each_scores_and_who_is_ahead(layout, tmp_path):
    right = predictions_of(layout, tmp_path / "right.json")
    annotations = open_annotations(layout, "train")
    video = annotations.video(VIDEO)
    truth = annotations.masks(video).of(video.expressions[0]).decode()
    truth[6:] = 0
    (tmp_path / "half.json").write_text(json.dumps({VIDEO: {"0": list(MaskSequence.encode(truth))}}))
    subject = pictures.find_scene(layout, VIDEO, "0", [right, str(tmp_path / "half.json")])
    score = 100 * evaluate(str(tmp_path / "half.json"), layout.root, split="train").expressions[0].binary.J
    assert 0 < score < 100
    assert [panel.title for panel in subject.panels] == ["ground truth", "right", "half"]
    half = float(subject.panels[2].layers[0].name.rpartition(" ")[2])
    assert half == pytest.approx(score, abs=0.06)  # frames are all right or empty: F is J
    assert f" · right ahead by {100 - half:.1f} · " in subject.caption
    named = pictures.find_scene(layout, VIDEO, "0", [right, str(tmp_path / "half.json")], ["A", "B"])
    assert [panel.title for panel in named.panels[1:]] == ["A", "B"]
    colors = [panel.layers[0].color for panel in subject.panels]
    assert len(set(colors)) == 3
    with pytest.raises(UsageError, match="name each"):
        pictures.find_scene(layout, VIDEO, "0", [right], ["A", "B"])


def test_an_animation_carries_the_whole_expression_in_as_many_lines_as_it_takes(layout, tmp_path):
    subject = pictures.find_scene(layout, VIDEO, "0")
    long = pictures.Scene(subject.video, "word " * 40, subject.caption, subject.frames, subject.panels)
    heights = []
    for scene in (subject, long):
        pictures.save(scene, tmp_path / "moving.gif")
        with Image.open(tmp_path / "moving.gif") as file:
            heights.append(file.height)
    assert heights[1] > heights[0] + 40


def test_an_expression_without_objects_and_one_without_words_have_their_sheets(layout):
    video = open_annotations(layout, "train").video(VIDEO)
    subject = pictures.find_scene(layout, VIDEO, "6")
    assert subject.panels[0].layers == ()
    assert pictures.contact_sheet(subject).height > 100
    wordless = pictures.Scene(video, "", "", subject.frames, subject.panels)
    endless = pictures.Scene(video, "word" * 3000, " many words" * 300, subject.frames, subject.panels)
    for other in (wordless, endless):
        assert pictures.contact_sheet(other, frames=2).width == pictures.contact_sheet(subject, frames=2).width


def test_a_frame_that_is_not_on_disk_leaves_its_masks_to_be_seen(tmp_path):
    write_miniature(tmp_path, videos=1, frames=3)
    (tmp_path / "JPEGImages" / VIDEO / "00001.jpg").unlink()
    subject = pictures.find_scene(Layout.at(tmp_path), VIDEO, "0")
    assert subject.missing_frames == ["00001"]
    pixels = np.asarray(pictures.contact_sheet(subject, style=pictures.Style(opacity=1, outline=0)))
    assert (pixels == pictures.ABSENT).all(2).sum() > 10_000
    assert (pixels == pictures.PALETTE[0]).all(2).sum() > 3 * 1000


def test_what_cannot_be_found_is_said_with_what_there_is(layout, tmp_path):
    with pytest.raises(AnnotationError, match=r"Did you mean 'LV-VIS/train/01020'\?"):
        pictures.find_scene(layout, "LV-VIS/train/1020")
    with pytest.raises(AnnotationError, match=r"no expression '9'(.|\n)*which of these would roll"):
        pictures.find_scene(layout, VIDEO, "9")
    with pytest.raises(UsageError, match="name the expression"):
        pictures.find_scene(layout, VIDEO, None, ["p.json"])
    with pytest.raises(UsageError, match=r"no usable prediction for expression '1'(.|\n)*missing"):
        pictures.find_scene(layout, VIDEO, "1", [predictions_of(layout, tmp_path / "p.json")])
    with pytest.raises(MissingFilesError):
        pictures.find_scene(Layout.at(tmp_path), VIDEO)


@pytest.mark.parametrize("style", [{"opacity": 1.5}, {"opacity": float("nan")}, {"outline": -1}])
def test_a_style_that_cannot_be_meant_is_refused(style):
    with pytest.raises(UsageError):
        pictures.Style(**style)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "duration"), [(10, 100), (6, 170), (50, 20)])
def test_a_gif_has_every_frame_at_its_pace(layout, tmp_path, fps, duration):
    counted = []
    path = tmp_path / "out.gif"
    pictures.save(pictures.find_scene(layout, VIDEO, "0"), path, fps=fps, progress=counted.append)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (12, duration, 0)
        assert gif.width == 320
    assert sum(counted) == 12
    assert list(tmp_path.iterdir()) == [path]


def test_an_mp4_plays_back_with_every_frame(layout, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "out.mp4"
    pictures.save(pictures.find_scene(layout, "UVO/all/-CiPki3XuVI", "0"), path, fps=8)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert (stream.codec_context.name, float(stream.average_rate), len(frames)) == ("h264", 8, 12)
    assert frames[0].shape[1] == 180
    assert np.abs(frames[0].astype(int) - frames[11]).max() > 100


def test_an_mp4_without_pyav_says_what_to_install(layout, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"revos-dataset\[video\]"):
        pictures.save(pictures.find_scene(layout, VIDEO, "0"), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [pictures._write_gif, pictures._write_mp4])
def test_no_more_than_a_few_frames_of_an_animation_are_in_memory_at_a_time(tmp_path, monkeypatch, write):
    if write is pictures._write_mp4:
        pytest.importorskip("av")
    made, most = [], []
    init = Image.Image.__init__

    def counted(image: Image.Image) -> None:
        init(image)
        made.append(weakref.ref(image))

    monkeypatch.setattr(Image.Image, "__init__", counted)

    def drawn():
        for shade in range(30):
            yield Image.new("RGB", (32, 32), (shade, 0, 0))
            if shade % 10 == 9:  # a look at all of memory takes long
                gc.collect()
                most.append(sum(image() is not None for image in made))

    write(tmp_path / "out", drawn(), 10)
    assert len(most) == 3
    assert max(most) < 8


def test_the_frames_of_a_gif_are_those_of_the_animation(layout, tmp_path):
    subject = pictures.find_scene(layout, VIDEO, "0")
    pictures.save(subject, tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as gif:
        for index in (0, 5, 11):
            gif.seek(index)
            drawn = np.asarray(pictures._animation_frame(subject, index, pictures.Style()), int)
            assert np.abs(np.asarray(gif.convert("RGB"), int) - drawn).mean() < 6


@pytest.mark.parametrize(("name", "most"), [("out.jpg", 65_500), ("out.webp", 16_383), ("out.gif", 65_535)])
def test_a_picture_is_as_large_as_its_kind_of_file_can_be_and_no_larger(layout, tmp_path, name, most):
    subject = pictures.find_scene(layout, VIDEO, "0")
    video = msgspec.structs.replace(subject.video, width=most, height=1, frame_names=subject.video.frame_names[:1])
    frame = tmp_path / "frame.jpg"
    Image.new("RGB", (most - 100, 1)).save(frame)
    one = replace(subject, video=video, frames=(FrameFile(str(frame)),), panels=(pictures.Panel("", ()),))
    around = 0 if name.endswith("gif") else 2 * pictures.MARGIN
    path = tmp_path / name
    with pytest.raises(UsageError, match=rf"would have {most + 1:,} x .* at most {most:,} a side"):
        pictures.save(one, path, style=pictures.Style(panel_width=most + 1 - around))
    assert not path.exists()
    pictures.save(one, path, style=pictures.Style(panel_width=most - around))
    with Image.open(path) as picture:
        assert picture.width == most


def test_a_sheet_with_more_pixels_than_can_be_opened_is_refused_before_anything_is_drawn(layout, monkeypatch):
    subject = pictures.find_scene(layout, VIDEO, "0")
    style = pictures.Style(panel_width=100)
    size = pictures.contact_sheet(subject, frames=4, style=style).size
    monkeypatch.setattr(pictures, "MOST_PIXELS", size[0] * size[1])
    assert pictures.contact_sheet(subject, frames=4, style=style).size == size
    monkeypatch.setattr(pictures, "MOST_PIXELS", size[0] * size[1] - 1)
    monkeypatch.setattr(pictures, "_tile", None)
    with pytest.raises(UsageError, match=rf"would have {size[0]:,} x {size[1]:,} pixels.*--frames"):
        pictures.contact_sheet(subject, frames=4, style=style)
    with pytest.raises(UsageError, match="text or legend is too long"):
        pictures.contact_sheet(replace(subject, heading="word " * 5_000), frames=4, style=style)


def test_a_sheet_of_all_frames_of_the_longest_videos_can_be_made(layout):
    subject = pictures.find_scene(layout, VIDEO, "0")
    for width, height in [(1920, 1080), (1080, 1920), (320, 240), (4096, 300)]:
        video = msgspec.structs.replace(
            subject.video, width=width, height=height, frame_names=tuple(map(str, range(1500)))
        )
        laid_out = pictures._laid_out(replace(subject, video=video, panels=subject.panels * 2), 1500, None)
        assert len(laid_out.chosen) == 1500
        for kind in (".png", ".jpg", ".webp"):
            pictures._require_size(laid_out.size, "", kind)


def test_what_breaks_off_leaves_what_was_there(layout, tmp_path):
    path = tmp_path / "out.gif"
    path.write_bytes(b"before")

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pictures.save(pictures.find_scene(layout, VIDEO, "0"), path, progress=stop)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("out.gif", b"before")]


# --- the command ------------------------------------------------------------------------------------------------------


def test_show_writes_and_names_its_picture(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", "--data-dir", str(layout.root), VIDEO, "2", "--frames", "3"]) == 0
    assert capsys.readouterr().out == "LV-VIS_train_01020_2.png\n"
    with Image.open("LV-VIS_train_01020_2.png") as sheet:
        assert sheet.width > 900


@pytest.mark.parametrize(
    "wrong",
    [
        ["-o", "out.bmp"],
        ["--frames", "0"],
        ["--fps", "0", "-o", "out.gif"],
        ["--fps", "0.001", "-o", "out.gif"],
        ["--fps", "60", "-o", "out.gif"],
        ["--opacity", "2"],
    ],
)
def test_show_refuses_what_cannot_be_meant(layout, tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", "--data-dir", str(layout.root), VIDEO, "2", *wrong]) == 2
    assert capsys.readouterr().err.startswith("revoskit show: ")
    assert list(tmp_path.iterdir()) == []


def test_gallery_writes_its_page(layout, tmp_path, capsys):
    page = tmp_path / "page"
    assert cli.main(["gallery", "--data-dir", str(layout.root), "-o", str(page), "--num-proc", "1"]) == 0
    assert capsys.readouterr().out == f"2 videos, 14 expressions: {page / 'index.html'}\n"


def test_frames_of_another_size_are_warned_of_once_a_video(own_miniature, tmp_path):
    video = next(iter(open_annotations(Layout.at(own_miniature.root), "validation")))
    for name in video.frame_names:
        path = own_miniature.root / "JPEGImages" / video.video_id / f"{name}.jpg"
        Image.new("RGB", (2 * video.width, 2 * video.height)).save(path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        pictures.save(pictures.find_scene(Layout.at(own_miniature.root), video.video_id), tmp_path / "sheet.png")
    assert len([one for one in told if "masks are scaled with the frames" in str(one.message)]) == 1


@pytest.mark.parametrize("name", ["0000\n1", "0000\r1", "0000\ud8001", "0000\u202e1", "0000\x001"])
def test_a_name_that_no_font_can_draw_is_drawn_as_escapes(layout, tmp_path, name):
    subject = pictures.find_scene(layout, VIDEO, "0")
    video = msgspec.structs.replace(subject.video, frame_names=(name, *subject.video.frame_names[1:]))
    odd = replace(subject, video=video, heading=name, caption=name)
    for file in ("sheet.png", "moving.gif"):
        pictures.save(odd, tmp_path / file, frames=2)
        assert (tmp_path / file).stat().st_size > 0
