"""Draws the pictures of the documentation anew, from a miniature: python docs/images/make.py

Needs Chromium and `pip install 'revos-dataset[browser]'`.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright

import revos
from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.looking import pictures
from revoskit.looking.gallery import write_gallery
from revoskit.looking.review import write_review
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate
from revoskit.training.clips import Clips

HERE = Path(__file__).parent


def predictions(layout: Layout, seed: int) -> dict:
    """What a method might say: masks that drift away, that break off, or that are as they should be."""
    found: dict[str, dict] = {}
    rng = np.random.default_rng(seed)
    annotations = open_annotations(layout, "validation")
    for video in annotations:
        found[video.video_id] = {}
        for expression in video.expressions:
            masks = annotations.masks(video).of(expression).decode()
            drift = rng.uniform(0, 2.4) * np.arange(len(masks))
            masks = np.stack([np.roll(mask, round(by), 1) for mask, by in zip(masks, drift, strict=True)])
            if rng.random() < 0.3:
                masks[rng.integers(4, len(masks)) :] = 0
            found[video.video_id][expression.expression_id] = list(MaskSequence.encode(masks))
    return found


def audited(root: Path) -> Path:
    """Files every third mask of a video with the next frame, and gives the report in which the audit says so."""
    masks = json.loads((root / "mask_dict.json").read_text())
    video = open_annotations(Layout.at(root), "train").videos["LV-VIS/train/01020"]
    for track in {track for expression in video.expressions for track in expression.annotation_ids}:
        kept = masks[str(track)][::3]
        masks[str(track)] = kept + [None] * (len(video.frame_names) - len(kept))
    (root / "mask_dict.json").write_text(json.dumps(masks))
    report = root / "report.json"
    with report.open("w") as file, contextlib.redirect_stdout(file):
        cli.main(["check", str(root), "--alignment", "--json"])
    return report


def sizes(layout: Layout) -> Image.Image:
    """What `size` and `side` of Clips make of a wide video and of an upright one, pixel for pixel."""
    rows = revos.Revos(data_dir=layout.root, cache_dir=layout.root / "cache")
    rows.download_and_prepare()
    videos = rows.as_dataset("train")
    ways = [
        ("size=None: as filed", {}),
        ("size=96: its shorter side", {"size": 96}),
        ("size=96, side='longest'", {"size": 96, "side": "longest"}),
        ("size=(96, 96): stretched", {"size": (96, 96)}),
    ]
    of_each = [next(row for row in videos if row["video_id"].startswith(one)) for one in ("LV-VIS", "UVO")]
    page = Image.new("RGB", (930, 600), "white")
    draw, top = ImageDraw.Draw(page), 34
    for row in of_each:
        left = 12
        for title, how in ways:
            clip = Clips(1, training=False, **how)(row)
            frame = pictures.overlay(Image.fromarray(clip["frames"][0]), [clip["masks"][0]])
            draw.text((left, top - 26), title if top < 40 else "", "black", font=ImageFont.load_default(13))
            draw.text((left, top - 12), f"{frame.height} x {frame.width}", "dimgray", font=ImageFont.load_default(12))
            page.paste(frame, (left, top + 4))
            left += 338 if not how else 192
        top += 222
    return page


def keep(tab: Page, file: Path) -> None:
    """Save what stands in a window, once its frames are there."""
    tab.wait_for_timeout(500)
    with Image.open(io.BytesIO(tab.screenshot())) as shot:
        shot.convert("RGB").save(file, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_miniature(folder / "small")
        sheet = ["--frames", "3", "-o", str(HERE / "overlay.png")]
        cli.main(["show", "LV-VIS/train/01020", "2", str(folder / "small"), *sheet])
        sizes(Layout.at(folder / "small")).save(HERE / "size.png", optimize=True)

        write_miniature(folder / "large", videos=12, frames=24, height=360, width=640)
        layout = Layout.at(folder / "large")
        files = [folder / "drifting.json", folder / "steady.json"]
        for seed, file in zip((4, 9), files, strict=True):
            file.write_text(json.dumps(predictions(layout, seed)))
        evaluate(files[0], layout.root, output=folder / "scores")
        one = write_gallery(
            layout, "validation", folder / "page", predictions=files[0], scores=folder / "scores", names=["drifting"]
        )
        two = write_gallery(layout, "validation", folder / "both", predictions=files[0], against=files[1])
        write_miniature(folder / "strided", videos=12, frames=36, height=360, width=640)
        review = write_review(Layout.at(folder / "strided"), audited(folder / "strided"), folder / "review")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            place = "#video=MeViS%2Fvalid_u%2F0a1b2c3d4e5f&expression=2&frame=9"
            for name, page in [("gallery.png", one.page), ("gallery-two.png", two.page)]:
                tab = browser.new_page(viewport={"width": 1280, "height": 800})
                tab.goto(f"{page.as_uri()}{place}")
                tab.wait_for_function("window.app?.player.frame === 9")
                keep(tab, HERE / name)
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(review.page.as_uri())
            for _ in range(9):  # to where filed and proposed are far apart
                tab.keyboard.press("ArrowRight")
            keep(tab, HERE / "review.png")
            browser.close()


if __name__ == "__main__":
    main()
