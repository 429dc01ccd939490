"""The review of the alignment audit: what the page shows, what a person accepts on it, and what comes of that."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.errors import MissingFilesError, UsageError
from revoskit.looking.review import write_review
from revoskit.miniature import write_miniature

STRIDED, SHIFTED = "LV-VIS/train/01020", "OVIS/train/00e92ab4"
GONE = 'nowhere/<img src=x onerror="alert(1)">'
FRAMES = 12


def found(video_id: str, verdict: str, **more: object) -> dict:
    score = {"name": "as filed", "edges": 0.03, "motion": None, "margin": 0, "motion_z": 0, "z": 0, "frames": 9}
    base = {"split": "train", "video_id": video_id, "verdict": verdict, "confidence": 0.97, "folder_frames": FRAMES}
    return base | {"tracks": 1, "masks": 9, "filed": score, "best": score | {"name": "stride 3", "z": 5.1}} | more


def train_split_has(layout: Layout) -> list[str]:
    return list(open_annotations(layout, "train").videos)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    layout = Layout.at(write_miniature(folder / "ReVOS", videos=5).root)
    other = next(video_id for video_id in train_split_has(layout) if video_id != STRIDED)
    report = [
        found(other, "shifted", shift=[-27.0, 9.0]),
        found(STRIDED, "misaligned", mapping={"stride": 3, "frames": FRAMES}),
        found(GONE, "unsupported"),
        found("any/sound", "aligned"),
    ]
    (folder / "report.json").write_text(json.dumps(report))
    return layout, folder / "report.json", write_review(layout, folder / "report.json", folder / "page"), other


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    with sync.sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, written):
    opened, problems = [], []

    def open_page(**context):
        tab = browser.new_context(**context).new_page()
        opened.append(tab)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("dialog", lambda dialog: problems.append(dialog.message))
        tab.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:", "blob:")) or problems.append(request.url),
        )
        tab.goto(written[2].page.as_uri())
        tab.wait_for_function("window.app?.player.subject")
        return tab

    yield open_page
    for tab in opened:
        tab.context.close()
    assert problems == []


def test_what_is_accepted_by_key_moves_the_masks_as_proposed(visit, written, tmp_path):
    layout = written[0]
    tab = visit()
    assert tab.locator("#place").inner_text() == STRIDED  # what can be mended comes first
    assert tab.locator("#decided").inner_text() == "0 of 3 decided"
    tab.keyboard.press("a")
    assert tab.locator("#decided").inner_text() == "1 of 3 decided"
    with tab.expect_download() as started:
        tab.locator("#save-accepted").click()
    file = tmp_path / started.value.suggested_filename
    started.value.save_as(file)
    assert file.name == "accepted.json"
    names = open_annotations(Layout.at(layout.root, alignment=file), "train").video(STRIDED).frame_names
    assert list(names) == ["00000", "00003", "00006", "00009"]


def test_only_what_has_a_mapping_can_be_accepted(visit, written):
    tab = visit()
    tab.keyboard.press("j")
    tab.wait_for_function("id => app.player.subject?.video.id === id", arg=written[3])
    assert tab.locator("#accept").count() == 0
    tab.keyboard.press("a")
    assert tab.locator("#decided").inner_text() == "0 of 3 decided"
    assert "no mapping to accept" in tab.locator("#notice").inner_text()
    assert tab.locator(".pane figcaption").all_inner_texts() == ["as filed · 00000", "moved by the shift · 00000"]


def test_decisions_outlive_the_page_and_are_taken_back(visit):
    tab = visit()
    tab.keyboard.press("x")
    tab.keyboard.press("r")
    tab.reload()
    tab.wait_for_function("window.app")
    assert tab.locator("#decided").inner_text() == "2 of 3 decided"
    assert tab.locator(".choice").all_inner_texts() == ["excluded", "kept as filed", ""]
    tab.keyboard.press("r")
    assert tab.locator("#decided").inner_text() == "3 of 3 decided"
    tab.keyboard.press("u")
    assert tab.locator("#decided").inner_text() == "2 of 3 decided"


def test_each_mask_stands_on_both_of_its_frames(visit):
    tab = visit()
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function("app.player.frame === 2")
    assert tab.evaluate("[0, 1].map((pane) => app.player.nameOf(2, pane))") == ["00002", "00006"]
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function("!document.getElementById('no-frame-1').hidden")
    assert tab.locator("#no-frame-1").inner_text() == "No frame is left for this mask"
    assert "8 of 12 masks have no frame" in tab.locator("#words").inner_text()


def test_markup_in_an_id_is_text_and_a_video_that_is_gone_says_so(visit):
    tab = visit()
    tab.locator("#items button").nth(2).click()
    assert tab.locator("#place").inner_text() == GONE
    assert "no such video" in tab.locator("#problem").inner_text()
    assert tab.locator("main img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (1440, 900), (390, 844)])
def test_it_fits_every_window(visit, size, scheme):
    tab = visit(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert tab.locator("#accept").is_visible()
    if folder := os.environ.get("REVOS_SCREENSHOTS"):
        tab.wait_for_timeout(300)
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=Path(folder) / f"review-{size[0]}-{scheme}.png")


def test_reports_of_something_else_are_refused(written, tmp_path):
    layout, _, _, _ = written
    with pytest.raises(MissingFilesError, match="no report"):
        write_review(layout, tmp_path / "none.json", tmp_path / "page")
    for content, reason in [
        ('{"a/b": {"stride": 2}}', "mapping file"),
        ("[{}]", "no report of the check"),
        (json.dumps([found("a/b", "misaligned")]), "of another dataset"),
        (json.dumps([found(STRIDED, "aligned")]), "accuses no video"),
        (json.dumps([found(STRIDED, "shifted")] * 2), "twice"),
    ]:
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(UsageError, match=reason):
            write_review(layout, tmp_path / "report.json", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_folder_of_anything_else_is_left_alone(written, tmp_path):
    layout, report, _, _ = written
    (tmp_path / "notes.txt").touch()
    assert cli.main(["review", str(layout.root), "--alignment", str(report), "-o", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_report_on_other_frames_has_its_video_told_and_not_shown(written, tmp_path):
    layout, _, _, _ = written
    (tmp_path / "report.json").write_text(json.dumps([found(STRIDED, "misaligned", folder_frames=99)]))
    page = write_review(layout, tmp_path / "report.json", tmp_path / "page")
    assert (page.not_shown, page.acceptable) == (1, 0)
    assert "run the check again" in (tmp_path / "page/data/index.js").read_text()


def test_the_objects_of_a_video_are_looked_up_once_however_many_its_tracks(written, tmp_path, monkeypatch):
    layout, report, _, _ = written
    asked, objects = [], Video.objects
    monkeypatch.setattr(Video, "objects", lambda video: asked.append(video.video_id) or objects(video))
    write_review(layout, report, tmp_path / "page")
    assert asked
    assert len(asked) == len(set(asked))
