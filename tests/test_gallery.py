"""The page: what is written, and how it behaves in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from revoskit import miniature
from revoskit.cli import main
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, Layout
from revoskit.errors import MissingFilesError, UsageError
from revoskit.looking.gallery import write_gallery
from revoskit.looking.methods import read_scores
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import Miniature, write_miniature, write_sister
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.measures import boundary_measure, region_similarity
from revoskit.scoring.rle_files import RleFile

FIRST, SECOND, ODD = "OVIS/train/00e92ab4", "TAO/train/YFCC100M/v_25685519", "MeViS/50% #1 & 'b'+;"
HOSTILE = "<img src=x onerror='hacked=1'></script><script>hacked=1</script> \u2028 “&amp;” \u202e}"
SHIFT = 12  # pixels by which the ball of the first video is predicted too far to the right
RIGHT, MISSED, SPURIOUS, FIRST_TRACK = (0, 158, 115), (86, 180, 233), (213, 94, 0), (230, 159, 0)


@dataclass
class Gallery:
    written: Miniature
    layout: Layout
    predictions: Path
    scores: Path
    page: Path


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A page of the miniature's validation split: texts and an id that need care, predictions good, bad and missing."""
    root = tmp_path_factory.mktemp("gallery")
    written = write_miniature(root / "ReVOS")
    make_trouble(root / "ReVOS")
    layout = Layout.at(root / "ReVOS")
    predictions = root / "predictions.json"
    predictions.write_text(json.dumps(predicted(layout)))
    evaluate(predictions, layout.root, output=root / "scores", protocol="both")
    result = write_gallery(layout, "validation", root / "page", predictions=predictions, scores=root / "scores")
    assert (result.videos, result.expressions, result.missing_frames) == (4, 28, 0)
    return Gallery(written, layout, predictions, root / "scores", result.page)


def make_trouble(root: Path) -> None:
    old = "MeViS/valid_u/0a1b2c3d4e5f"
    (root / FRAMES_FOLDER / ODD).parent.mkdir(exist_ok=True)
    (root / FRAMES_FOLDER / old).rename(root / FRAMES_FOLDER / ODD)
    for path in (root / EXPRESSIONS["validation"], root / FOREGROUND):
        path.write_text(path.read_text(encoding="utf-8").replace(old, ODD), encoding="utf-8")
    path = root / EXPRESSIONS["validation"]
    document = json.loads(path.read_text(encoding="utf-8"))
    document["videos"][FIRST]["expressions"]["1"]["exp"] = HOSTILE
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def predicted(layout: Layout) -> dict:
    """The truth, but for the first expression of the first video (moved) and of the second (missing)."""
    annotations = open_annotations(layout, "validation")
    found = {
        video.video_id: {e.expression_id: list(annotations.masks(video).of(e)) for e in video.expressions}
        for video in annotations
    }
    video = annotations.video(FIRST)
    truth = annotations.masks(video).of(video.expressions[0]).decode()
    found[FIRST]["0"] = list(MaskSequence.encode(np.roll(truth, SHIFT, axis=2)))
    del found[SECOND]["0"]
    return found


# --- what is written --------------------------------------------------------------------------------------------------


def data_of(path: Path) -> dict:
    return json.loads(re.fullmatch(r"\w+\((.*)\);\n", path.read_text(encoding="utf-8"), re.DOTALL)[1])


def test_scripts_hold_the_data_and_nothing_that_ends_a_script(gallery):
    index = gallery.page.parent / "data" / "index.js"
    text = index.read_text(encoding="utf-8")
    assert "</" not in text
    assert "\u2028" not in text
    videos = {video["id"]: video for video in data_of(index)["videos"]}
    assert videos[FIRST]["expressions"][1]["text"] == HOSTILE
    assert list(videos) == list(open_annotations(gallery.layout, "validation").videos)


def test_masks_and_scores_per_frame_are_those_of_the_other_rooms(gallery):
    annotations = open_annotations(gallery.layout, "validation")
    video = annotations.video(FIRST)
    masks = annotations.masks(video)
    data = data_of(gallery.page.parent / "data" / "videos" / f"{FIRST}.js")
    for track in data["tracks"]:
        expected = masks.track(int(track["annotation"]))
        assert track["masks"] == [None if mask is None else mask["counts"] for mask in expected]
    truth = masks.of(video.expressions[0])
    moved = MaskSequence.parse(json.loads(gallery.predictions.read_text())[FIRST]["0"], video.height, video.width)
    first = data["expressions"][0]
    assert first["methods"][0]["masks"] == [mask["counts"] for mask in moved]
    assert first["methods"][0]["J"] == pytest.approx(region_similarity(truth, moved), abs=1e-4)
    assert first["methods"][0]["F"] == pytest.approx(boundary_measure(truth, moved), abs=1e-4)
    missing = data_of(gallery.page.parent / "data" / "videos" / f"{SECOND}.js")["expressions"][0]["methods"][0]
    assert (missing["masks"], missing["J"]) == (None, None)
    assert "missing" in missing["problem"]


def test_without_scores_the_page_has_the_means_of_j_and_f(gallery, tmp_path):
    write_gallery(gallery.layout, "validation", tmp_path, predictions=gallery.predictions)
    expected = read_scores(gallery.scores)
    index = data_of(tmp_path / "data" / "index.js")
    assert index["measures"] == ["binary_J&F", "binary_J", "binary_F"]
    for video in index["videos"]:
        for expression in video["expressions"]:
            row = expected.of(index["measures"], (video["id"], expression["id"]))
            assert expression["scores"] == [pytest.approx(row, abs=0.02)]


def test_predictions_are_opened_once_however_many_videos_there_are(gallery, tmp_path, monkeypatch):
    opened = []
    real = RleFile.__init__
    monkeypatch.setattr(RleFile, "__init__", lambda self, path: opened.append(path) or real(self, path))
    written = write_gallery(gallery.layout, "validation", tmp_path, predictions=gallery.predictions)
    assert (written.videos, len(opened)) == (4, 1)


def test_two_processes_write_the_same_bytes_as_one(gallery, tmp_path):
    for number in (1, 2):
        write_gallery(
            gallery.layout, "validation", tmp_path / str(number), predictions=gallery.predictions, num_proc=number
        )
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_small_frames_are_bounded_and_kept_by_the_next_run(gallery, tmp_path):
    write_gallery(gallery.layout, "validation", tmp_path, max_side=64)
    frames = sorted((tmp_path / "frames").rglob("*.jpg"))
    assert len(frames) == 3 * 12 + miniature.LONG_FRAMES
    assert all(max(Image.open(frame).size) == 64 for frame in frames)
    made = [frame.stat().st_ino for frame in frames]
    frames[0].unlink()
    write_gallery(gallery.layout, "validation", tmp_path, max_side=64)
    assert [frame.stat().st_ino for frame in frames[1:]] == made[1:]
    assert frames[0].is_file()
    write_gallery(gallery.layout, "validation", tmp_path, max_side=32)
    assert all(max(Image.open(frame).size) == 32 for frame in frames)
    assert data_of(tmp_path / "data" / "videos" / f"{FIRST}.js")["folder"] == f"frames/{FIRST}"


def test_the_pictures_of_the_list_are_small_and_kept_and_lack_what_cannot_be_read(tmp_path):
    written = write_miniature(tmp_path / "ReVOS", videos=1, frames=4)
    layout = Layout.at(written.root)
    (video,) = open_annotations(layout, "train")
    frames = [layout.root / FRAMES_FOLDER / video.video_id / f"{name}.jpg" for name in video.frame_names]

    def shown() -> dict[str, Path]:
        page = write_gallery(layout, "train", tmp_path / "page").page
        (listed,) = data_of(page.parent / "data" / "index.js")["videos"]
        names = {expression["thumbnail"]["frame"] for expression in listed["expressions"]}
        return {name: page.parent / "data" / "pictures" / video.video_id / f"{name}.jpg" for name in names}

    pictures = shown()
    assert {max(Image.open(picture).size) for picture in pictures.values()} == {160}
    made = {name: picture.stat().st_ino for name, picture in pictures.items()}
    assert {name: picture.stat().st_ino for name, picture in shown().items()} == made
    for frame in frames:
        frame.write_bytes(b"no picture")
    assert not any(picture.exists() for picture in shown().values())


def test_another_split_in_the_same_folder_leaves_no_data_of_the_first(gallery, tmp_path):
    write_gallery(gallery.layout, "validation", tmp_path)
    written = write_gallery(gallery.layout, "train", tmp_path)
    assert len(list((tmp_path / "data" / "videos").rglob("*.js"))) == written.videos


def test_frames_that_are_not_on_disk_are_counted(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=1, frames=4)
    next((tmp_path / "ReVOS").rglob("00002.jpg")).unlink()
    assert write_gallery(Layout.at(tmp_path / "ReVOS"), "train", tmp_path / "page").missing_frames == 1


@pytest.mark.parametrize("num_proc", [1, 2])
@pytest.mark.parametrize("max_side", [None, 32], ids=["linked", "copied"])
def test_frames_of_another_size_are_warned_of_once_a_video(tmp_path, max_side, num_proc):
    written = write_miniature(tmp_path / "ReVOS", videos=4, frames=4, height=24, width=40)
    layout = Layout.at(written.root)
    videos = list(open_annotations(layout, "validation"))
    for name in videos[0].frame_names:
        Image.new("RGB", (80, 48)).save(written.root / FRAMES_FOLDER / videos[0].video_id / f"{name}.jpg")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_gallery(layout, "validation", tmp_path / "page", max_side=max_side, num_proc=num_proc)
    (said,) = [str(one.message) for one in told if "masks are scaled with the frames" in str(one.message)]
    assert f"{videos[0].video_id!r}: its frames are 48x80 pixels (height x width), the annotations say 24x40" in said


def test_scores_of_other_predictions_are_refused(gallery, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(gallery.predictions.read_text())
    with pytest.raises(UsageError, match=r"are of other predictions: found [^\[\]]+, expected [^\[\]]+\. Score"):
        write_gallery(gallery.layout, "validation", tmp_path / "page", predictions=other, scores=gallery.scores)
    assert not (tmp_path / "page").exists()


def test_a_page_again_leaves_nothing_of_the_one_before(gallery, tmp_path):
    write_gallery(gallery.layout, "validation", tmp_path, max_side=32)
    (tmp_path / "page" / "old.js").write_text("")
    (tmp_path / "mine.txt").write_text("not of the page")
    write_gallery(gallery.layout, "train", tmp_path)
    assert not (tmp_path / "frames").exists()
    assert not (tmp_path / "page" / "old.js").exists()
    assert (tmp_path / "mine.txt").read_text() == "not of the page"


def test_a_folder_that_holds_anything_else_is_no_place_for_a_page(gallery):
    for folder in (gallery.layout.root, gallery.scores):
        before = sorted(folder.rglob("*"))
        with pytest.raises(UsageError, match="neither empty nor a gallery"):
            write_gallery(gallery.layout, "validation", folder)
        assert sorted(folder.rglob("*")) == before
    with pytest.raises(UsageError, match="is a file"):
        write_gallery(gallery.layout, "validation", gallery.predictions)


def test_a_page_whose_writing_was_stopped_says_so_and_is_gone_on_with(gallery, tmp_path):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gallery(gallery.layout, "validation", tmp_path / "page", progress=stop)
    assert "the same command goes on" in (tmp_path / "page" / "index.html").read_text()
    page = write_gallery(gallery.layout, "validation", tmp_path / "page").page
    assert "the same command goes on" not in page.read_text()


def test_a_page_that_is_not_ours_is_not_written_over(gallery, tmp_path):
    (tmp_path / "index.html").write_text("<p>mine")
    with pytest.raises(UsageError, match="not a gallery's"):
        write_gallery(gallery.layout, "validation", tmp_path)
    assert (tmp_path / "index.html").read_text() == "<p>mine"


def test_scores_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(MissingFilesError, match=r"scores\.csv"):
        read_scores(tmp_path)
    (tmp_path / "scores.csv").write_text("video_id,binary_J\n")
    with pytest.raises(UsageError, match="no column expression_id"):
        read_scores(tmp_path)
    (tmp_path / "scores.csv").write_text("video_id,expression_id,binary_J\na,0,12\na,1,high\n")
    with pytest.raises(UsageError, match="line 3"):
        read_scores(tmp_path)
    (tmp_path / "scores.csv").write_text("video_id,expression_id,binary_J\na,0,nan\n")
    with pytest.raises(UsageError, match="line 2"):
        read_scores(tmp_path)


# --- in the browser ---------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--expose-gc",
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


WINDOW = {"width": 1440, "height": 900}


def opened(browser, **context):
    """A new tab, and the list of what goes wrong in it: console errors, failed requests and any to the network."""
    tab = browser.new_context(**{"viewport": WINDOW} | context).new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    tab.set_default_timeout(8000)
    return tab, wrong


@pytest.fixture(scope="module")
def shared(browser):
    """A tab for all tests that need but one, since making one takes longer than what most of them do with it."""
    tab, wrong = opened(browser)
    yield tab, wrong
    tab.context.close()


@pytest.fixture
def visit(browser, shared, gallery):
    """Opens the page from disk, as if for the first time; nothing may have gone wrong in it when the test ends."""
    used = []

    def visit(address: str = "", page: Path | None = None, viewport: dict[str, int] = WINDOW, **context):
        if used or context:
            tab, wrong = opened(browser, viewport=viewport, **context)
        else:
            tab, wrong = shared
            tab.goto("about:blank")  # what loads yet of the page before is given up, and is no matter here
            tab.set_viewport_size(viewport)
            tab.mouse.move(0, 0)
            wrong.clear()
        used.append((tab, wrong))
        tab.goto(f"{(page or gallery.page).as_uri()}{address}")
        tab.wait_for_function("window.app")
        return tab

    yield visit
    for tab, wrong in used:
        assert wrong == []
        if tab is shared[0]:
            tab.evaluate("localStorage.clear()")
        else:
            tab.context.close()


def watch(tab, video_id: str = FIRST, expression: str = "0", frame: int = 0) -> None:
    """Opens an expression by the page's own address, and waits until the frame is drawn."""
    tab.evaluate(
        "([v, e]) => app.open(app.index.rows.find((r) => r.video.id === v && r.id === e))", [video_id, expression]
    )
    tab.wait_for_function("v => app.video?.id === v", arg=video_id)
    tab.evaluate("frame => app.player.pauseAt(frame)", frame)


def color_at(tab, y: int, x: int) -> tuple[int, ...]:
    """RGBA of the layers' canvas at a pixel of the frame."""
    return tuple(tab.evaluate("([x, y]) => [...byId('masks').getContext('2d').getImageData(x, y, 1, 1).data]", [x, y]))


def near(found: tuple[int, ...], color: tuple[int, int, int]) -> bool:
    return found[3] > 0 and all(abs(a - b) <= 3 for a, b in zip(found, color, strict=False))


def inside(mask: np.ndarray) -> tuple[int, int]:
    """A pixel in the middle of what is set, away from its edge."""
    ys, xs = np.nonzero(mask)
    middle = np.argsort((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)[0]
    return int(ys[middle]), int(xs[middle])


def texts(tab) -> list[str]:
    return tab.locator("[role=option] .words").all_inner_texts()


def ball_of(gallery: Gallery) -> np.ndarray:
    video = open_annotations(gallery.layout, "validation").video(FIRST)
    return gallery.written.pixels[video.expressions[0].annotation_ids[0]]


def test_the_page_opens_with_its_list_and_summary(visit, gallery):
    tab = visit()
    assert tab.locator(".item").count() > 5
    assert tab.locator("#count").inner_text() == "28 expressions"
    summary = tab.locator("#summary")
    assert "overall binary J&F" in summary.inner_text()
    assert summary.get_by_role("row", name="referring").inner_text().split()[1:3] == ["12", "4"]
    counts = [
        int(label.split(": ")[1].split(";")[0])
        for label in tab.locator("#summary > section:not(.slices) .column").evaluate_all(
            "columns => columns.map((column) => column.ariaLabel)"
        )
    ]
    assert sum(counts) == 27  # the one that is missing has not scored 0 by what it drew
    assert "27 of 28" in summary.inner_text()
    assert tab.locator(".what").inner_text() == "validation predictions 27 of 28 predicted"


def test_the_summary_agrees_with_the_evaluation(visit, gallery):
    scores = read_scores(gallery.scores)
    types = {
        (video.video_id, e.expression_id): int(e.type)
        for video in open_annotations(gallery.layout, "validation")
        for e in video.expressions
    }
    means = [
        np.mean([scores.of(["binary_J&F"], key)[0] for key in scores.values if types[key] == kind]) for kind in (0, 1)
    ]
    shown = visit().locator(".figures").inner_text()
    for value in (*means, np.mean(means)):
        assert f"{value:.1f}" in shown


def test_the_worst_come_first_and_sorting_turns_them_around(visit):
    tab = visit()
    scores = [float(text) for text in tab.locator(".item .score b").all_inner_texts()]
    assert scores == sorted(scores)
    assert 0 < scores[0] < 100
    tab.locator("#list").press("End")
    assert tab.locator('.item[aria-posinset="28"] .score').inner_text() == "missing"
    tab.get_by_label("Sort by").select_option("best")
    assert tab.locator(".item .score b").first.inner_text() == "100.0"
    tab.get_by_label("Sort by").select_option("file")
    assert texts(tab)[1] == HOSTILE


def test_filters_narrow_the_list(visit):
    tab = visit()
    tab.locator("#types").get_by_role("button", name="reasoning").click()
    assert tab.locator("#count").inner_text() == "12 of 28 expressions"
    tab.locator("#sources").get_by_role("button", name="OVIS").click()
    assert tab.locator("#count").inner_text() == "3 of 28 expressions"
    tab.get_by_label("Search").fill("ROLL slope")
    assert texts(tab) == ["which of these would roll down a slope?"]
    tab.get_by_role("button", name="Clear filters").click()
    assert tab.locator("#count").inner_text() == "28 expressions"
    tab.get_by_label("to", exact=True).fill("99")
    assert tab.locator("#count").inner_text() == "1 of 28 expressions"
    tab.get_by_role("button", name="Videos").click()
    assert texts(tab) == [FIRST]


def test_a_bar_of_the_summary_filters_by_its_range(visit):
    tab = visit()
    tab.get_by_role("button", name="40 to 45: 1").first.click()
    assert tab.locator("#count").inner_text() == "1 of 28 expressions"
    assert (tab.locator("#lowest").input_value(), tab.locator("#highest").input_value()) == ("40", "45")


def test_what_has_no_usable_prediction_can_be_shown_alone(visit):
    tab = visit()
    tab.get_by_role("button", name="Show them").click()
    assert tab.locator("#count").inner_text() == "1 of 28 expressions"
    assert tab.locator(".item .score").inner_text() == "missing"
    assert "TAO/train/YFCC100M/v_25685519 · 0" in " ".join(tab.locator(".item .meta").inner_text().split())
    tab.get_by_role("button", name="Videos").click()
    assert "0 of 1 expression predicted" in tab.locator(".item .meta").inner_text()


def test_where_nothing_is_found_the_page_says_what_to_let_go_of(visit):
    tab = visit()
    tab.get_by_label("Search").fill("nothing of the kind")
    tab.locator("#types").get_by_role("button", name="reasoning").click()
    assert texts(tab) == []
    tab.get_by_role("button", name="Without the words “nothing of the kind”: 12 expressions").click()
    assert tab.locator("#count").inner_text() == "12 of 28 expressions"
    assert tab.locator("#nothing").is_hidden()


def test_enter_opens_the_first_hit_and_escape_clears_the_search(visit):
    tab = visit()
    tab.get_by_label("Search").fill("roll")
    tab.keyboard.press("Enter")
    tab.wait_for_function("app.video")
    assert tab.locator("#text").inner_text() == "which of these would roll down a slope?"
    tab.get_by_label("Search").focus()
    tab.keyboard.press("Escape")
    assert (tab.get_by_label("Search").input_value(), tab.locator("#count").inner_text()) == ("", "28 expressions")


def test_ten_rows_are_in_sight_in_a_low_window_with_the_filters_open(visit):
    tab = visit(viewport={"width": 1280, "height": 800})
    assert tab.locator("#more-filters").get_attribute("open") is not None
    assert tab.evaluate("Math.floor(byId('list').clientHeight / app.list.row)") >= 10
    tab.set_viewport_size({"width": 1280, "height": 1000})
    tab.wait_for_function("app.list.row > 60")
    boxes = tab.locator(".item").evaluate_all(
        "items => items.slice(0, 2).map((item) => item.getBoundingClientRect().top)"
    )
    assert boxes[1] - boxes[0] == tab.evaluate("app.list.row")


def test_a_picture_in_the_list_is_the_worst_frame_with_its_errors(visit, gallery):
    index = data_of(gallery.page.parent / "data" / "index.js")
    first = next(video for video in index["videos"] if video["id"] == FIRST)["expressions"][0]
    data = data_of(gallery.page.parent / "data" / "videos" / f"{FIRST}.js")
    scores = np.add(data["expressions"][0]["methods"][0]["J"], data["expressions"][0]["methods"][0]["F"])
    assert first["thumbnail"]["frame"] == data["frames"][int(scores.argmin())]
    tab = visit()
    tab.wait_for_function("document.querySelector('.item .thumb img')?.src.includes('/data/pictures/')")
    found = tab.locator(".item .thumb canvas").first.evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )
    pixels = np.array(found).reshape(-1, 4)
    for color in (RIGHT, MISSED, SPURIOUS):
        assert (np.abs(pixels[:, :3] - color).max(axis=1) <= 3)[pixels[:, 3] > 0].any()


def test_markup_in_the_data_shows_as_text(visit):
    tab = visit()
    watch(tab, FIRST, "1")
    assert tab.locator("#text").text_content() == HOSTILE
    assert HOSTILE in tab.locator("#siblings").text_content()
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("main img:not(#frame img), main script, #list script").count() == 0


# Linear RGB as people without one kind of cone see it: Machado, Oliveira and Fernandes 2009, "A physiologically-based
# model for simulation of color vision deficiency".
WITHOUT = {
    "red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB colours in 0 to 255 as somebody sees them."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ seen.T, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = (linear @ to_xyz.T / (0.95047, 1, 1.08883)).T
    f = [np.where(v > 216 / 24389, np.cbrt(v), (24389 / 27 * v + 16) / 116) for v in (x, y, z)]
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], axis=-1)


def ciede2000(one: np.ndarray, other: np.ndarray) -> float:
    """The difference of two colours in CIELAB (Sharma, Wu and Dalal 2005)."""
    chroma = (np.hypot(*one[1:]) + np.hypot(*other[1:])) / 2
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25**7)))
    (l1, a1, b1), (l2, a2, b2) = one, other
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    middle, c, h = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360
    t = sum(
        k * np.cos(np.radians(n * h + by))
        for k, n, by in [(1, 0, 0), (-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63)]
    )
    sl = 1 + 0.015 * (middle - 50) ** 2 / np.sqrt(20 + (middle - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25**7)) * np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    return float(np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rotation * (dc / sc) * (dh / sh)))


def test_the_difference_of_colours_is_that_of_its_published_test_data():
    for one, other, expected in [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ]:
        assert ciede2000(np.array(one, float), np.array(other, float)) == pytest.approx(expected, abs=1e-4)


def test_any_two_layers_are_told_apart_without_one_kind_of_cones_too(visit):
    found = visit().evaluate("""() => {
        const { TRACKS, METHODS, ...others } = Colors;
        const named = Object.entries(others).filter(([, color]) => Array.isArray(color));
        TRACKS.forEach((color, i) => named.push([`track ${i}`, color]));
        METHODS.forEach((color, i) => named.push([`method ${i}`, color]));
        return named;
    }""")
    assert len(found) == 13
    colors = np.array([color for _, color in found], float)
    for seen in ("all cones", *WITHOUT):
        places = lab(colors, np.array(WITHOUT.get(seen, np.eye(3))))
        for i, one in enumerate(places):
            for j in range(i):
                assert ciede2000(one, places[j]) > 10, (found[i], found[j], seen)


def test_an_id_with_odd_characters_has_its_frames_and_its_address(visit):
    tab = visit()
    watch(tab, ODD, "0", 3)
    assert tab.locator("#no-frame").is_hidden()
    tab.wait_for_function("location.hash.includes('frame=3')")
    tab.reload()
    tab.wait_for_function("id => window.app?.video?.id === id && app.player.frame === 3", arg=ODD)


def test_a_track_is_drawn_where_its_mask_is_and_goes_when_switched_off(visit, gallery):
    tab = visit()
    frame = 4
    mask = ball_of(gallery)[frame]
    y, x = inside(mask)
    watch(tab, FIRST, "0", frame)
    tab.locator("#layer-errors").uncheck()
    assert color_at(tab, y, x)[3] == 0
    track = tab.get_by_label("Track", exact=False).first
    track.check()
    red, green, blue, alpha = color_at(tab, y, x)
    assert near((red, green, blue, alpha), FIRST_TRACK)
    assert abs(alpha - 127) <= 2
    drawn = tab.evaluate("""() => {
        const { data } = byId('masks').getContext('2d').getImageData(0, 0, 320, 180);
        return Array.from({ length: 320 * 180 }, (_, i) => (data[4 * i + 3] ? 1 : 0)).join("");
    }""")
    np.testing.assert_array_equal(np.array(list(drawn), "U1").reshape(180, 320) == "1", mask)
    track.uncheck()
    assert color_at(tab, y, x)[3] == 0


def test_errors_are_in_three_colours(visit, gallery):
    tab = visit()
    frame = 4
    truth = ball_of(gallery)[frame]
    prediction = np.roll(truth, SHIFT, axis=1)
    watch(tab, FIRST, "0", frame)
    for area, color in [(truth & prediction, RIGHT), (truth & ~prediction, MISSED), (prediction & ~truth, SPURIOUS)]:
        ys, xs = np.nonzero(area)
        place = len(ys) // 2
        assert near(color_at(tab, int(ys[place]), int(xs[place])), color)
    assert color_at(tab, 2, 2)[3] == 0
    share = round(100 * (truth & ~prediction).sum() / (truth | prediction).sum())
    assert f"missed{share}%" in tab.locator(".layer").first.inner_text().replace("\n", "")


def test_a_missing_prediction_is_said_aloud(visit):
    tab = visit()
    watch(tab, SECOND, "0")
    assert "No usable prediction (missing)" in tab.locator("#problem").inner_text()
    watch(tab, SECOND, "1")
    assert tab.locator("#problem").is_hidden()


def test_the_browser_decodes_masks_as_the_coco_api_does(visit):
    rng = np.random.default_rng(0)
    tab = visit()
    for shape in [(1, 1), (7, 5), (33, 64), (300, 211), (720, 1280)]:
        for share in (0, 0.001, 0.3, 1):
            pixels = np.asfortranarray(rng.random(shape) < share, np.uint8)
            if shape == (720, 1280):
                pixels[100:600, 200:900] = 1  # counts of several digits, and large differences of either sign
            counts = coco.encode(pixels)["counts"].decode()
            found = tab.evaluate(
                "([counts, h, w]) => { const into = new Uint8Array(h * w);"
                "Masks.mark(counts, into, { width: w, height: h, step: 1 }, h, 1);"
                "let sum = 0, weighted = 0; into.forEach((v, i) => { sum += v; weighted += v * (i % 9973); });"
                "return [sum, weighted, Masks.area(counts)]; }",
                [counts, *shape],
            )
            flat = pixels.ravel()
            assert found == [flat.sum(), (flat * (np.arange(flat.size) % 9973)).sum(), flat.sum()]


def test_masks_of_large_frames_are_drawn_no_finer_than_they_are_shown(visit):
    pixels = np.random.default_rng(2).random((50, 70)) < 0.5
    counts = coco.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode()
    tab = visit()
    for step in (1, 2, 3, 4):
        found = tab.evaluate(
            """([counts, step]) => {
                const painting = new Masks.Painting(70, 50, step);
                const box = Masks.mark(counts, painting.marks, painting, 50, 1);
                return [painting.width, painting.height, [...painting.marks], Object.values(box)];
            }""",
            [counts, step],
        )
        some = pixels[step // 2 :: step, step // 2 :: step][: 50 // step, : 70 // step]
        assert found[:2] == [70 // step, 50 // step]
        np.testing.assert_array_equal(np.reshape(found[2], some.shape), some)
        assert found[3] == [0, 0, 70 // step, 50 // step]


def test_it_plays_and_stops(visit):
    tab = visit()
    watch(tab)
    tab.get_by_label("Frames a second").select_option("24")
    tab.get_by_role("button", name="Play").click()
    tab.wait_for_function("app.player.frame >= 3")
    tab.get_by_role("button", name="Pause").click()
    frame = tab.evaluate("app.player.frame")
    tab.wait_for_timeout(150)
    assert tab.evaluate("app.player.frame") == frame
    tab.get_by_role("button", name="Next frame").click()
    tab.wait_for_function("frame => app.player.frame === frame", arg=(frame + 1) % 12)


def test_the_plot_shows_j_and_f_of_every_frame(visit, gallery):
    tab = visit()
    watch(tab, FIRST, "0", 6)
    expected = data_of(gallery.page.parent / "data" / "videos" / f"{FIRST}.js")["expressions"][0]["methods"][0]
    lines = tab.locator("#plot polyline").evaluate_all("lines => lines.map((line) => line.getAttribute('points'))")
    assert [len(line.split()) for line in lines] == [12, 12]
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in lines]
    for line, values in zip(heights, (expected["J"], expected["F"]), strict=True):
        assert line == pytest.approx([6 + (1 - value) * 84 for value in values], abs=0.1)
    assert tab.locator("#legend").inner_text().split() == [
        "J", f"{100 * expected['J'][6]:.1f}", "F", f"{100 * expected['F'][6]:.1f}",
    ]  # fmt: skip
    assert tab.locator("#plot text").all_text_contents() == ["0", "50", "100 %", "00000", "00011"]
    tab.keyboard.press("w")
    both = [j + f for j, f in zip(expected["J"], expected["F"], strict=True)]
    tab.wait_for_function("frame => app.player.frame === frame", arg=both.index(min(both)))
    box = tab.locator("#plot").bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + 20)
    tab.wait_for_function("app.player.frame === 11")


def test_the_keyboard_is_enough(visit):
    tab = visit()
    tab.keyboard.press("/")
    tab.keyboard.type("shape")
    assert tab.locator("#count").inner_text() == "4 of 28 expressions"
    tab.keyboard.press("ArrowDown")
    tab.wait_for_function("app.video")
    assert tab.locator("#text").inner_text() == "every shape in the picture"
    assert tab.evaluate("document.activeElement.id") == "list"
    first = tab.evaluate("app.video.id")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_function("first => app.video && app.video.id !== first", arg=first)
    for key, state in [("ArrowRight", "app.player.frame === 1"), ("End", "app.player.frame === 11")]:
        tab.evaluate("document.activeElement.blur()")
        tab.keyboard.press(key)
        tab.wait_for_function(state)
    for key, box in [
        ("e", "#layer-errors"),
        ("g", "#layer-truth"),
        ("p", "#layer-prediction"),
        ("1", "[data-key='1']"),
    ]:
        before = tab.locator(box).is_checked()
        tab.keyboard.press(key)
        assert tab.locator(box).is_checked() is not before
    tab.keyboard.press(" ")
    assert tab.get_by_role("button", name="Pause").count() == 1
    tab.keyboard.press("?")
    assert tab.locator("#help").is_visible()
    tab.keyboard.press("Escape")
    tab.keyboard.press("s")
    assert tab.locator("#summary").is_visible()
    tab.go_back()
    assert tab.locator("#player").is_visible()


def test_every_control_has_a_name(visit):
    tab = visit()
    watch(tab)
    nameless = tab.evaluate("""[...document.querySelectorAll("button, input, select, [role=img], [role=listbox]")]
        .filter((e) => !(e.ariaLabel || e.innerText?.trim() || e.labels?.[0]?.innerText.trim()))
        .map((e) => e.outerHTML)""")
    assert nameless == []


def test_masks_of_one_video_at_a_time_are_held(visit):
    tab = visit()
    watch(tab, FIRST)
    tab.evaluate("window.held = new WeakRef(app.video), null")
    watch(tab, SECOND, "1")
    tab.wait_for_function("(gc(), held.deref() === undefined)", timeout=5000)
    assert tab.locator("script[src^='data/']").count() == 0


def test_the_summary_stays_when_one_goes_back_to_it_while_a_video_is_read(visit):
    tab = visit()
    tab.evaluate("() => { const opened = app.open(app.index.rows[0]); app.toSummary(); return opened; }")
    assert tab.locator("#summary").is_visible()
    assert tab.evaluate("[app.video, app.player.subject]") == [None, None]
    assert tab.get_by_role("button", name="Summary").get_attribute("aria-current") == "page"
    watch(tab)
    assert tab.get_by_role("button", name="Summary").get_attribute("aria-current") == "false"


@pytest.mark.parametrize("width", [901, 1280])
def test_an_expression_is_read_whole_beside_the_scores_of_two_protocols(visit, width):
    tab = visit(viewport={"width": width, "height": 900})
    watch(tab, FIRST, "0")
    room = tab.evaluate("byId('player').clientWidth")
    assert tab.locator("#text").bounding_box()["width"] > 0.5 * room
    assert tab.locator("#scores div").count() == 10


def test_a_long_list_holds_only_the_rows_in_sight(visit):
    tab = visit()
    tab.evaluate("""() => {
        const row = app.list.rows[0];
        const numbered = (_, i) => ({ ...row, expression: { ...row.expression, text: `number ${i}` } });
        app.list.fill(Array.from({ length: 35000 }, numbered), () => null);
    }""")
    assert tab.locator(".item").count() < 40
    tab.evaluate("byId('list').scrollTop = 1e9")
    tab.get_by_text("number 34999", exact=True).wait_for()
    assert tab.locator(".item").count() < 40


def test_it_is_light_or_dark_as_the_system_is_or_as_one_says(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (visit(color_scheme=scheme) for scheme in ("light", "dark"))
    assert light.evaluate(ground) == "rgb(246, 246, 243)"
    assert dark.evaluate(ground) == "rgb(18, 19, 21)"
    dark.get_by_role("button", name="Theme").click()
    assert dark.evaluate(ground) == "rgb(246, 246, 243)"


def test_it_fits_a_phone(visit):
    tab = visit(viewport={"width": 360, "height": 740}, has_touch=True)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert tab.locator("#list").is_visible()
    assert tab.evaluate(fits)
    tab.locator(".item").first.tap()
    tab.wait_for_function("app.video")
    assert tab.locator("#player").is_visible()
    assert tab.locator("#list").is_hidden()
    assert tab.evaluate(fits)
    tab.get_by_role("button", name="‹ List").tap()
    assert tab.locator("#list").is_visible()
    tab.get_by_role("button", name="Summary").tap()
    assert tab.locator("#summary").is_visible()
    assert tab.evaluate(fits)


# --- two methods ------------------------------------------------------------------------------------------------------


@dataclass
class Pair:
    a: Path
    b: Path
    page: Path


@pytest.fixture(scope="module")
def pair(gallery, tmp_path_factory):
    """A page of two methods: B is right but for two expressions, which it lacks or has moved."""
    root = tmp_path_factory.mktemp("pair")
    found = json.loads(gallery.predictions.read_text())
    other = open_annotations(gallery.layout, "validation")
    truth = other.masks(other.video(FIRST)).of(other.video(FIRST).expressions[0])
    found[FIRST]["0"] = list(truth)
    del found[FIRST]["2"]
    moved = MaskSequence.parse(found[SECOND]["1"], other.video(SECOND).height, other.video(SECOND).width).decode()
    found[SECOND]["1"] = list(MaskSequence.encode(np.roll(moved, SHIFT, axis=2)))
    second = root / "better.json"
    second.write_text(json.dumps(found))
    page = write_gallery(
        gallery.layout, "validation", root / "page", predictions=gallery.predictions, against=second
    ).page
    return Pair(gallery.predictions, second, page)


def test_two_methods_are_listed_by_how_far_they_are_apart(visit, pair):
    tab = visit(page=pair.page)
    assert tab.locator(".what .method").all_inner_texts() == [
        "Apredictions 27 of 28 predicted",
        "Bbetter 26 of 28 predicted",
    ]
    leads = tab.locator(".item .lead").all_inner_texts()
    assert leads[0].startswith("B\n+")
    assert leads[1].startswith("A\n−")
    assert leads[2] == "±0.0"
    tab.get_by_label("Sort by").select_option("worst")
    assert tab.locator(".item .lead").first.inner_text().startswith("A")
    tab.locator("#leading").get_by_role("button", name="B ahead 1").click()
    assert tab.locator("#count").inner_text() == "1 of 28 expressions"
    tab.get_by_role("button", name="Clear filters").click()
    tab.locator("#list").press("End")
    assert tab.locator('.item[aria-posinset="28"] .score').inner_text() == "A missing, B missing"
    tab.locator("#unpredicted").get_by_role("button", name="B has none 2").click()
    assert sorted(tab.locator(".item .score").all_inner_texts()) == ["A missing, B missing", "B missing"]


def test_the_difference_is_that_of_the_scores_shown(visit, pair, gallery):
    tab = visit(page=pair.page)
    one = read_scores(gallery.scores).of(["binary_J&F"], (FIRST, "0"))[0]
    assert tab.locator(".item .both").first.inner_text() == f"{one:.1f} → 100.0"
    assert tab.locator(".item .lead b").first.inner_text() == f"+{100 - one:.1f}"
    tab.get_by_label("Scores of").select_option("0")
    assert tab.locator(".item .score b").first.inner_text() == f"{one:.1f}"


def test_two_methods_stand_side_by_side_each_with_its_own_errors(visit, pair, gallery):
    tab = visit(page=pair.page)
    frame = 4
    truth = ball_of(gallery)[frame]
    ys, xs = np.nonzero(truth & ~np.roll(truth, SHIFT, axis=1))
    y, x = int(ys[len(ys) // 2]), int(xs[len(ys) // 2])
    watch(tab, FIRST, "0", frame)
    at = "([id, x, y]) => [...byId(id).getContext('2d').getImageData(x, y, 1, 1).data]"
    assert near(tuple(tab.evaluate(at, ["masks", x, y])), MISSED)
    assert near(tuple(tab.evaluate(at, ["masks-1", x, y])), RIGHT)
    assert tab.locator(".pane figcaption").all_inner_texts() == ["predictions", "better"]
    assert len(tab.locator("#plot polyline").all()) == 4
    tab.get_by_role("button", name="In one").click()
    assert tab.locator(".pane").count() == 1
    assert tab.locator("#layer-errors").count() == 0
    assert tab.locator("#layer-method-0").is_checked()
    assert tab.locator("#layer-method-1").is_checked()
    tab.keyboard.press("b")
    assert not tab.locator("#layer-method-1").is_checked()
    tab.keyboard.press("v")
    tab.wait_for_function("location.hash.includes('method=a')")
    assert tab.locator("#layer-method-1").count() == 0


def test_what_one_method_lacks_is_said_above_its_picture(visit, pair):
    tab = visit(page=pair.page)
    watch(tab, FIRST, "2")
    captions = tab.locator(".pane figcaption").all_inner_texts()
    assert "missing" not in captions[0]
    assert "No usable prediction (missing)" in captions[1]
    assert tab.locator("#problem").is_hidden()
    assert tab.locator("#scores .main dd").inner_text().endswith(" → –")  # it has not drawn what scores 0


def test_scores_of_two_methods_are_those_of_each_in_their_order(gallery, pair, tmp_path):
    evaluate(pair.b, gallery.layout.root, output=tmp_path / "b")
    both = {"predictions": pair.a, "against": pair.b}
    given = {"scores": gallery.scores, "against_scores": tmp_path / "b"}
    write_gallery(gallery.layout, "validation", tmp_path / "page", **both, **given)
    index = data_of(tmp_path / "page" / "data" / "index.js")
    assert index["methods"] == ["predictions", "better"]
    assert all(name.startswith("binary_") for name in index["measures"])  # A has the official ones, too
    turned = {"scores": tmp_path / "b", "against_scores": gallery.scores}
    with pytest.raises(UsageError, match="are of other predictions"):
        write_gallery(gallery.layout, "validation", tmp_path / "no", **both, **turned)
    with pytest.raises(UsageError, match="name the scores of each"):
        write_gallery(gallery.layout, "validation", tmp_path / "no", **both, scores=gallery.scores)
    with pytest.raises(UsageError, match="cannot have one name"):
        write_gallery(gallery.layout, "validation", tmp_path / "no", **both, names=["same", "same"])
    assert not (tmp_path / "no").exists()


def test_more_than_two_sets_of_predictions_are_refused(gallery, capsys):
    three = [word for _ in range(3) for word in ("--predictions", str(gallery.predictions))]
    assert main(["gallery", str(gallery.layout.root), *three, "-o", "page"]) == 2
    assert "compare` takes any number" in capsys.readouterr().err


# --- by what kind of target it is -------------------------------------------------------------------------------------


def test_the_distribution_stands_divided_by_kind_of_target(visit, gallery):
    tab = visit()
    slices = json.loads((gallery.scores / "scores.json").read_text())["slices"]["size"]
    tab.get_by_label("Divide by").select_option(label="size of the object")
    tiles = tab.locator(".tile h4").all_inner_texts()
    assert tiles[0].startswith("all 28 · mean ")
    assert {tile.split()[0] for tile in tiles[1:]} >= set(slices)
    value = next(iter(slices))
    tab.get_by_label("Kind of target").select_option(
        label=next(
            option
            for option in tab.locator("#slice option").all_inner_texts()
            if option.startswith(f"size of the object: {value} ")
        )
    )
    assert (
        tab.locator("#count").inner_text().split()[0]
        == tiles[1 + [t.split()[0] for t in tiles[1:]].index(value)].split()[1]
    )


# --- how masks are drawn, and what is taken out of the page -----------------------------------------------------------


def test_outlines_are_in_their_full_colour_over_whatever_lies_there(visit):
    tab = visit()
    watch(tab, FIRST, "0", 4)
    full = """() => {
        const { data } = byId('masks').getContext('2d').getImageData(0, 0, 320, 180), found = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add([...data.slice(i, i + 3)].join());
        return [...found];
    }"""
    swatches = """rows => rows.filter((row) => row.querySelector(":checked")).flatMap((row) =>
        [...row.querySelectorAll("i")].map((i) => getComputedStyle(i).borderTopColor.match(/\\d+/g).join()))"""
    errors = {",".join(map(str, color)) for color in (RIGHT, MISSED, SPURIOUS)}
    assert set(tab.evaluate(full)) == set(tab.locator(".layer").evaluate_all(swatches)) == errors
    for name in ("truth", "prediction"):
        tab.locator(f"#layer-{name}").check()
    two = set(tab.locator(".layer").evaluate_all(swatches)) - errors
    assert len(two) == 2
    assert two <= set(tab.evaluate(full)) <= two | errors  # theirs lie on top of those of the errors


def test_the_frame_is_darkened_or_lightened_outside_the_object(visit, gallery):
    tab = visit()
    watch(tab, FIRST, "0", 4)
    y, x = inside(ball_of(gallery)[4])
    tab.locator("#layer-errors").uncheck()
    tab.locator("#layer-truth").check()
    for fill, outside in [("darken", (0, 0, 0)), ("lighten", (255, 255, 255))]:
        tab.locator("#fill").select_option(fill)
        assert color_at(tab, y, x)[3] == 0
        red, green, blue, alpha = color_at(tab, 2, 2)
        assert ((red, green, blue), abs(alpha - 128) <= 1) == (outside, True)
    tab.locator("#fill").select_option("none")
    assert color_at(tab, y, x)[3] == color_at(tab, 2, 2)[3] == 0


def test_what_lies_under_the_pointer_is_named(visit, gallery):
    tab = visit()
    watch(tab, FIRST, "0", 4)
    truth = ball_of(gallery)[4]
    ys, xs = np.nonzero(truth & ~np.roll(truth, SHIFT, axis=1))
    box = tab.locator("#masks").bounding_box()
    scale = box["width"] / 320
    tab.mouse.move(box["x"] + (xs[len(xs) // 2] + 0.5) * scale, box["y"] + (ys[len(ys) // 2] + 0.5) * scale)
    assert tab.locator(".hint").inner_text() == "missed"
    tab.locator("#layer-truth").check()
    tab.mouse.move(box["x"] + (xs[len(xs) // 2] + 0.5) * scale, box["y"] + (ys[len(ys) // 2] + 0.5) * scale)
    assert tab.locator(".hint").inner_text().split("\n") == ["ground truth", "missed"]
    tab.mouse.move(box["x"] + 3, box["y"] + 3)
    assert tab.locator(".hint").is_hidden()


def test_the_address_holds_what_is_in_sight(visit, pair):
    tab = visit(page=pair.page)
    watch(tab, FIRST, "0", 7)
    tab.get_by_role("button", name="A", exact=True).click()
    tab.locator("#layer-truth").check()
    tab.locator("#fill").select_option("darken")
    tab.get_by_label("Opacity").fill("70")
    tab.wait_for_function("location.hash.includes('opacity=70')")
    again = visit(tab.evaluate("location.hash"), page=pair.page)
    again.wait_for_function("app.player.frame === 7")
    assert again.get_by_role("button", name="A", exact=True).get_attribute("aria-pressed") == "true"
    assert again.locator("#layer-truth").is_checked()
    assert again.locator("#layer-errors").is_checked()
    assert (again.locator("#fill").input_value(), again.get_by_label("Opacity").input_value()) == ("darken", "70")
    assert again.evaluate("location.hash") == tab.evaluate("location.hash")


def saved(tab, gallery, button: str, path: Path) -> Path:
    """Saves what a button gives, handing over the folder of the frames, which a page from disk may not read."""
    tab.get_by_role("button", name=button).click()
    assert str(gallery.layout.root) in tab.locator("#frames-where").inner_text()
    with tab.expect_download() as downloading:
        tab.locator("#frames-folder").set_input_files(gallery.layout.split("validation").video_folder(FIRST))
    downloading.value.save_as(path)
    assert f"Saved as {downloading.value.suggested_filename}" in tab.locator("#share-said").inner_text()
    return path


def test_the_view_is_saved_as_a_picture_with_its_caption(visit, gallery, tmp_path):
    tab = visit()
    watch(tab, FIRST, "0", 4)
    picture = Image.open(saved(tab, gallery, "Save picture", tmp_path / "view.png")).convert("RGB")
    assert picture.width == 320
    assert picture.height > 200  # words above and below
    pixels = np.asarray(picture).astype(int)
    for color in (RIGHT, MISSED, SPURIOUS):
        assert (np.abs(pixels - color).max(axis=2) <= 3).sum() > 20
    frame = Image.open(gallery.layout.split("validation").video_folder(FIRST) / "00004.jpg").convert("RGB")
    corner = np.asarray(frame).astype(int)[:8, :8]
    found = [row for row in range(picture.height - 180) if np.abs(pixels[row : row + 8, :8] - corner).max() <= 2]
    assert found


def test_a_figure_has_chosen_frames_and_outlines_as_paths_around_every_pixel(visit, gallery, tmp_path):
    tab = visit()
    watch(tab, FIRST, "0", 2)
    tab.locator("#layer-errors").uncheck()
    tab.locator("#layer-truth").check()
    tab.get_by_role("button", name="Add frame").click()
    tab.locator("#strip-frames").fill("00002 00005")
    figure = ElementTree.parse(saved(tab, gallery, "Save figure", tmp_path / "figure.svg")).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    images = [image.get("href") for image in figure.iter(f"{svg}image")]
    assert len(images) == 2
    assert all(image.startswith("data:image/jpeg;base64,") for image in images)
    paths = [path.get("d") for path in figure.iter(f"{svg}path")]
    truth = ball_of(gallery)
    assert [abs(area_of(path)) for path in paths] == [truth[2].sum(), truth[5].sum()]
    tab.locator("#strip-frames").fill("no-such-frame")
    tab.get_by_role("button", name="Save figure").click()
    assert "no frame no-such-frame" in tab.locator("#share-said").inner_text()


def area_of(path: str) -> float:
    """What a path of horizontal and vertical lines encloses, holes taken away."""
    area, x, y = 0.0, 0, 0
    for letter, numbers in re.findall(r"([Mhvz])([-\d ]*)", path):
        if letter == "M":
            x, y = map(int, numbers.split())
        elif letter == "h":
            area += -y * int(numbers)
            x += int(numbers)
        elif letter == "v":
            y += int(numbers)
    return area


def test_outlines_enclose_any_mask_whatever_its_holes(visit):
    tab = visit()
    rng = np.random.default_rng(3)
    for shape in [(1, 1), (6, 9), (30, 41)]:
        for share in (0, 0.4, 0.9, 1):
            pixels = rng.random(shape) < share
            path = tab.evaluate(
                "([marks, h, w]) => Trace.path((p) => marks[p] === 1, w, h)",
                [pixels.ravel().astype(int).tolist(), *shape],
            )
            assert area_of(path) == pixels.sum()


def test_the_plot_marks_frames_that_are_not_on_disk_and_those_with_nothing_to_find(browser, tmp_path):
    write_miniature(tmp_path / "ReVOS", frames=12)
    layout = Layout.at(tmp_path / "ReVOS")
    (annotations := open_annotations(layout, "validation")).files.video_folder(FIRST).joinpath("00003.jpg").unlink()
    video = annotations.video(FIRST)
    areas = annotations.masks(video).of(video.expressions[1]).areas()
    page = write_gallery(layout, "validation", tmp_path / "page").page
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.wait_for_function("window.app")
    watch(tab, FIRST, "1")
    assert tab.locator("#plot .absent").count() == 1
    assert tab.evaluate("app.player.plot.empty") == np.flatnonzero(areas == 0).tolist()
    assert "frame not on disk" in tab.locator("#legend").inner_text()
    tab.close()


def test_masks_show_where_frames_are_not_on_disk(browser, tmp_path):
    written = write_miniature(tmp_path / "ReVOS", videos=1, frames=2)
    shutil.rmtree(tmp_path / "ReVOS" / FRAMES_FOLDER)
    page = write_gallery(Layout.at(tmp_path / "ReVOS"), "train", tmp_path / "page").page
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.locator(".item").first.click()
    tab.wait_for_function("app.video")
    tab.get_by_text("This frame is not on disk").wait_for()
    assert near(color_at(tab, *inside(written.pixels[3003000][0])), FIRST_TRACK)
    tab.close()


def test_a_dataset_without_types_has_its_page(visit, tmp_path):
    write_sister(tmp_path / "MeViS", "mevis", frames=2, height=48, width=80)
    page = write_gallery(Layout.at(tmp_path / "MeViS", "mevis"), "valid_u", tmp_path / "page").page
    tab = visit(page=page)
    assert tab.title() == "MeViS valid_u"
    assert tab.locator("#summary h3").all_inner_texts() == ["Objects that an expression means", "Frames of a video"]
    assert tab.locator("#filters .chip").count() == 0
    assert tab.locator("#more-filters").is_hidden()
    tab.locator(".item").first.click()
    tab.wait_for_function("app.video")
    assert tab.locator("#type").is_hidden()
    assert "undefined" not in tab.locator("body").inner_text()
    assert "null" not in tab.locator("body").inner_text()


SCREENSHOTS = os.environ.get("REVOS_SCREENSHOTS")
WINDOWS = {"1280x800": (1280, 800), "1440x900": (1440, 900), "390x844": (390, 844)}


@pytest.mark.skipif(not SCREENSHOTS, reason="$REVOS_SCREENSHOTS names no folder to keep them in")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize("methods", ["one", "two"])
def test_screenshots_are_kept(visit, gallery, pair, methods, window, scheme):
    folder = Path(SCREENSHOTS)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = WINDOWS[window]
    page = gallery.page if methods == "one" else pair.page
    tab = visit("#view=summary", page, viewport={"width": width, "height": height}, color_scheme=scheme)
    shots = [folder / f"{view}-{methods}-{window}-{scheme}.png" for view in ("summary", "player", "list")]
    tab.screenshot(path=shots[0])
    watch(tab, FIRST, "0", 5)
    tab.screenshot(path=shots[1])
    if width < 900:
        tab.get_by_role("button", name="‹ List").click()
        tab.screenshot(path=shots[2])
    assert shots[0].read_bytes() != shots[1].read_bytes()
