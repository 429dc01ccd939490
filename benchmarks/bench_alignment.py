"""What `revoskit check --alignment` finds of planted faults, and how many sound videos it accuses.

    python benchmarks/bench_alignment.py [--num-proc N] [--folder FOLDER] [--davis DAVIS]

At least 200 synthetic videos whose masks lie where they ought to, and 88 with a fault of a known kind (`planted.py`);
none of them was used to choose the thresholds. "Naive" is the plain way to do it: take the mapping whose outlines have
the highest mean edge fit, without asking whether the difference is more than chance.

With --davis, a folder of DAVIS 2016 (`JPEGImages/480p`, `Annotations/480p`), the same faults are planted in its videos:
real frames under real masks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from planted import KINDS, Case, Planted, write_planted
from tabulate import tabulate

from revoskit.checking.alignment import MISALIGNED, UNSUPPORTED, Alignment, find_misaligned
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, TRACKS, Layout
from revoskit.dataset.remapping import apply_mapping
from revoskit.masks.rle import MaskSequence

VIDEOS = dict(zip(KINDS, [200, 12, 12, 24, 16, 12, 12], strict=True))
SEED = 500_000  # the thresholds were set on seeds below 10,000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-proc", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the videos here, and use those that are here")
    parser.add_argument("--davis", type=Path, help="a folder of DAVIS 2016, to plant the faults in real videos as well")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        cases = [Case(kind, SEED + i) for kind, count in VIDEOS.items() for i in range(count)]
        report("Synthetic videos", folder / "synthetic", lambda root: write_planted(root, cases, args.num_proc), args)
        if args.davis:
            report("DAVIS 2016", folder / "davis", lambda root: plant_in_davis(root, args.davis), args)


def report(title: str, root: Path, write: object, args: argparse.Namespace) -> None:
    truth_file = root / "truth.json"
    if not truth_file.exists():
        truths = write(root)
        truth_file.write_text(json.dumps([vars(planted) for planted in truths.values()]))
    truths = {entry["video_id"]: Planted(**entry) for entry in json.loads(truth_file.read_text())}
    layout = Layout.at(root)
    start = time.perf_counter()
    found = find_misaligned(layout, ["train"], num_proc=args.num_proc)
    seconds = (time.perf_counter() - start) / len(found)
    rows = [_row(layout, kind, [a for a in found if truths[a.video_id].kind == kind], truths) for kind in KINDS]
    headers = ["planted", "videos", "IoU", "found", "right mapping", "within 1", "wrong mapping", "naive found"]
    print(f"{title}\n{tabulate([row for row in rows if row], headers, disable_numparse=True)}")
    print(f"{seconds:.2f} s a video with {args.num_proc} processes\n", flush=True)


def _row(layout: Layout, kind: str, found: list[Alignment], truths: dict[str, Planted]) -> list[str]:
    if not found:
        return []
    errors = [_error(layout, a, truths[a.video_id]) for a in found if a.verdict == MISALIGNED]
    naive = [a.best is not None and max(s.edges for s in a.scores) > a.filed.edges for a in found]
    right, near = sum(e == 0 for e in errors), sum(e <= 1 for e in errors)
    share = [f"{n} ({n / len(found):.0%})" for n in (sum(_accused(a) for a in found), right, near)]
    overlap = np.mean([truths[a.video_id].overlap for a in found])
    return [kind, str(len(found)), f"{overlap:.2f}", *share, str(len(errors) - near), f"{np.mean(naive):.0%}"]


def _accused(alignment: Alignment) -> bool:
    return alignment.verdict in (MISALIGNED, UNSUPPORTED)


def _error(layout: Layout, alignment: Alignment, planted: Planted) -> float:
    """By how many frames of the folder the mapping is off, for the median mask that has a frame in truth."""
    folder = layout.split(alignment.split).folder_frames(alignment.video_id)
    video = open_annotations(layout, alignment.split).video(alignment.video_id)
    names = apply_mapping(alignment.mapping, video, folder)
    places = {name: place for place, name in enumerate(folder)}
    off = [abs(places[n] - t) for n, t in zip(names, planted.truth, strict=True) if n is not None and t >= 0]
    return float(np.median(off)) if off else float("inf")


def plant_in_davis(root: Path, davis: Path) -> dict[str, Planted]:
    """Each video of DAVIS 2016 seven times: sound as it is and every third frame listed, and with each fault."""
    rng = np.random.default_rng(SEED)
    names = sorted(path.name for path in (davis / "Annotations/480p").iterdir())
    masks = {name: _davis_masks(davis, name) for name in names}
    entries, tracks, truths = {}, {}, {}
    for number, name in enumerate(names):
        count = len(masks[name])
        plain = np.arange(count)
        stride, offset = int(rng.integers(2, 5)), int(rng.choice([-1, 1]) * rng.integers(1, 11))
        end = int(rng.choice([-1, 1]) * rng.integers(4, 14))
        drifted = np.rint(plain * (1 + end / (count - 1))).astype(int)
        planted = [
            ("aligned", plain, plain),
            ("aligned", plain[::3], plain[::3]),
            ("stride 2-20", plain[: len(plain[::stride])], plain[::stride]),
            ("offset", plain, plain + offset),
            ("drift in time", plain, drifted),
        ]
        for kind, listed, truth in planted:
            _add_davis(davis, root, name, masks[name], (kind, listed, truth), (entries, tracks, truths))
        other = masks[names[(number + 7) % len(names)]]
        if masks[name].shape[1:] == other.shape[1:]:
            common = plain[: len(other)]
            _add_davis(davis, root, name, other, ("other video", common, common), (entries, tracks, truths))
    (root / EXPRESSIONS["train"]).write_text(json.dumps({"videos": entries}))
    (root / TRACKS).write_text(json.dumps(tracks))
    return truths


def _davis_masks(davis: Path, name: str) -> np.ndarray:
    files = sorted((davis / "Annotations/480p" / name).glob("*.png"))
    return np.stack([np.asarray(Image.open(file).convert("L")) > 127 for file in files])


def _add_davis(davis: Path, root: Path, name: str, masks: np.ndarray, fault: tuple, into: tuple) -> None:
    kind, listed, truth = fault
    entries, tracks, truths = into
    anno = len(tracks)
    video_id = f"{kind.replace(' ', '-')}/{name}-{anno}"
    folder = root / FRAMES_FOLDER / video_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to((davis / "JPEGImages/480p" / name).resolve(), target_is_directory=True)
    filed = [masks[t] if 0 <= t < len(masks) else np.zeros_like(masks[0]) for t in truth]
    tracks[str(anno)] = [
        r if m.any() else None for r, m in zip(MaskSequence.encode(np.stack(filed)), filed, strict=True)
    ]
    entries[video_id] = {
        "vid_id": anno,
        "height": masks.shape[1],
        "width": masks.shape[2],
        "frames": [f"{t:05d}" for t in listed],
        "expressions": {"0": {"exp": name, "obj_id": [0], "anno_id": [anno], "type_id": 0}},
    }
    pairs = [(f, masks[t] if kind != "other video" else np.zeros_like(f)) for f, t in zip(filed, listed, strict=True)]
    overlap = float(np.mean([(f & m).sum() / max(1, (f | m).sum()) for f, m in pairs if f.any()]))
    known = tuple(int(t) if 0 <= t < len(masks) and kind != "other video" else -1 for t in truth)
    truths[video_id] = Planted(video_id, kind, tuple(map(int, listed)), known, overlap)


if __name__ == "__main__":
    main()
