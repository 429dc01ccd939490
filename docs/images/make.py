"""Draws the pictures of the documentation anew, from a miniature: python docs/images/make.py

Needs Chromium and `pip install 'revos-dataset[browser]'`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.looking import pictures
from revoskit.looking.gallery import write_gallery
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring.evaluate import evaluate

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


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_miniature(folder / "small")
        strip = pictures.find_scene(Layout.at(folder / "small"), "LV-VIS/train/01020", "2")
        pictures.save(strip, HERE / "overlay.png", frames=3)

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
