"""Draws the pictures of the documentation anew, from a miniature: python docs/images/make.py

Needs Chromium and `pip install 'revos-dataset[browser]'`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

import revos
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.looking import pictures
from revoskit.looking.gallery import write_gallery
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


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_miniature(folder / "small")
        strip = pictures.find_scene(Layout.at(folder / "small"), "LV-VIS/train/01020", "2")
        pictures.save(strip, HERE / "overlay.png", frames=3)
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
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            place = "#video=MeViS%2Fvalid_u%2F0a1b2c3d4e5f&expression=2&frame=9"
            for name, page in [("gallery.png", one.page), ("gallery-two.png", two.page)]:
                tab = browser.new_page(viewport={"width": 1280, "height": 800})
                tab.goto(f"{page.as_uri()}{place}")
                tab.wait_for_function("window.app?.player.frame === 9")
                tab.wait_for_timeout(500)
                tab.screenshot(path=folder / name)
                with Image.open(folder / name) as shot:
                    shot.convert("RGB").save(HERE / name, optimize=True)
            browser.close()


if __name__ == "__main__":
    main()
