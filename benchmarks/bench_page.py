"""How the gallery's page does in Chromium: opening, going from video to video, playing, and the memory of its tab.

    python benchmarks/bench_page.py [--videos 416] [--frames 12] [--runs 3]

Writes a page of 416 videos x 14 expressions with two methods, opens it from disk, looks at 50 videos, and plays a video
of 1,000 frames of 1920x1080 at 24 frames a second. Needs Chromium, Linux and `pip install 'revos-dataset[browser]'`.

After 50 videos the tab takes 360 to 400 MB, 120 of which are Chromium's own program. Times follow what else a machine
does: of several runs the least tells what the page costs.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench_gallery import write_dataset
from PIL import Image

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, TRACKS, Layout
from revoskit.looking.gallery import write_gallery
from revoskit.masks.rle import MaskSequence

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EXPRESSIONS_A_VIDEO = 14
VISITED = 50  # videos
LONG, HEIGHT, WIDTH = 1000, 1080, 1920
DISTINCT = 24  # pictures and masks of the long video, which come again and again
PLAYED = 10  # seconds


def write_pictures(root: Path, names: list[list[str]], height: int, width: int) -> None:
    """JPEG frames under all names, each folder of names with the same few pictures in turn."""
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(DISTINCT):
        coarse = Image.fromarray(rng.integers(0, 255, (height // 12, width // 12, 3), np.uint8))
        noise = rng.normal(0, 6, (height, width, 3))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float) + noise
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        pictures.append(file.getvalue())
    for of_video in names:
        for number, name in enumerate(of_video):
            path = root / FRAMES_FOLDER / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pictures[number % DISTINCT])


def write_many(root: Path, videos: int, frames: int) -> Path:
    """The page of many videos, with frames for those that are looked at."""
    first = write_dataset(root, videos, frames, EXPRESSIONS_A_VIDEO)
    late = {
        video: {expression: masks[-1:] + masks[:-1] for expression, masks in found.items()}
        for video, found in json.loads(first.read_text()).items()
    }
    second = root / "late.json"
    second.write_text(json.dumps(late))
    annotations = open_annotations(Layout.at(root), "validation")
    some = [[f"{video.video_id}/{name}" for name in video.frame_names] for video in list(annotations)[:VISITED]]
    write_pictures(root, some, 480, 854)
    return write_gallery(
        Layout.at(root), "validation", root / "page", predictions=first, against=second, num_proc=os.cpu_count() or 1
    ).page


def write_long(root: Path) -> Path:
    """The page of one long video with a large object, and two methods."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = [MaskSequence.encode((np.hypot(y - 540, (x - 800 - 20 * t) * 0.7) < 300)[None])[0] for t in range(DISTINCT)]
    true = [masks[t % DISTINCT] for t in range(LONG)]
    video_id, names = "MeViS/valid_u/long", [f"{t:05d}" for t in range(LONG)]
    expression = {"exp": "the large one", "obj_id": [0], "anno_id": [0], "type_id": 0}
    entry = {"vid_id": 0, "height": HEIGHT, "width": WIDTH, "frames": names, "expressions": {"0": expression}}
    (root / TRACKS).write_text(json.dumps({"0": true}))
    (root / EXPRESSIONS["validation"]).write_text(json.dumps({"videos": {video_id: entry}}))
    for name, late in (("first", 1), ("second", 3)):
        (root / f"{name}.json").write_text(json.dumps({video_id: {"0": true[-late:] + true[:-late]}}))
    write_pictures(root, [[f"{video_id}/{name}" for name in names]], HEIGHT, WIDTH)
    sets = {"predictions": root / "first.json", "against": root / "second.json"}
    return write_gallery(Layout.at(root), "validation", root / "page", **sets).page


def opened(browser: Browser, page: Path) -> tuple[Page, float]:
    """A tab with the page, and the seconds from asking for it to its list and summary."""
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    begin = time.perf_counter()
    tab.goto(page.as_uri(), wait_until="commit")
    tab.wait_for_function("window.app && document.querySelector('.item') && byId('summary').childElementCount")
    return tab, time.perf_counter() - begin


def seconds_to_watch(tab: Page, number: int) -> float:
    """From choosing a video's first expression to its first frame with its masks, as the page's own clock has it."""
    return (
        tab.evaluate(
            """async (number) => {
                const begin = performance.now();
                await app.open(app.index.videos[number].expressions[0]);
                await app.player.image(app.player.frame);
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                return performance.now() - begin;
            }""",
            number,
        )
        / 1000
    )


def megabytes(browser: Browser) -> float:
    """Resident memory of the largest of the browser's tabs."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = []
    for process in found:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text()
            sizes.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    return max(sizes)


def play(tab: Page) -> list[float]:
    """Milliseconds between the frames that were shown while it played."""
    return tab.evaluate(
        """async (seconds) => {
            const shown = [];
            app.player.onFrame = () => shown.push(performance.now());
            byId("fps").value = "24";
            app.player.play();
            await new Promise((done) => setTimeout(done, 1000 * seconds));
            app.player.pause();
            return shown.slice(1).map((at, i) => at - shown[i]);
        }""",
        PLAYED,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=416)
    parser.add_argument("--frames", type=int, default=12, help="of each of the many videos")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright  # of the extra `browser`

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        many, long = Path(name, "many"), Path(name, "long")
        many.mkdir()
        long.mkdir()
        page, long_page = write_many(many, args.videos, args.frames), write_long(long)
        index = (page.parent / "data" / "index.js").stat().st_size
        print(f"{args.videos} videos x {EXPRESSIONS_A_VIDEO} expressions x 2 methods, index of {index / 1e6:.1f} MB")
        flags = ["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        taken, first = [], []
        for _ in range(args.runs):
            tab, seconds = opened(browser, page)
            taken.append(seconds)
            first.append(seconds_to_watch(tab, 0))
            tab.close()
        for what, seconds, aim in (("opens", taken, 1), ("shows its first video", first, 0.3)):
            print(f"{what} in {statistics.median(seconds):.2f} s, at least {min(seconds):.2f} (aim {aim})")
        tab, _ = opened(browser, page)
        for number in range(min(VISITED, args.videos)):
            seconds_to_watch(tab, number)
        print(f"the tab after {VISITED} videos: {megabytes(browser):.0f} MB (aim 500)")
        tab.close()
        tab, _ = opened(browser, long_page)
        seconds_to_watch(tab, 0)
        for view in ("a", "side"):
            tab.evaluate("view => app.setMethods(view)", view)
            gaps = play(tab)
            late = sum(gap > 2 * 1000 / 24 for gap in gaps)
            print(
                f"{LONG} frames of {WIDTH}x{HEIGHT} at 24 a second, view {view}: {1000 / statistics.mean(gaps):.1f} a "
                f"second, {late} of {len(gaps)} later than twice their time, the longest {max(gaps):.0f} ms"
            )
        print(f"the tab after it: {megabytes(browser):.0f} MB")
        browser.close()


if __name__ == "__main__":
    main()
