"""Miniatures of the datasets whose masks are PNGs: entries as each of them has them, and its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from revoskit.dataset.families import FAMILIES, SplitPaths

Entry = dict[str, Any]  # an object of a JSON file

DRAWN_IDS = {
    "reason_vos": [f"{number:04x}a9c1" for number in range(6)],
    "long_rvos": [f"{number:03d}_kitchen" for number in range(6)],
    "groundmore": [f"family_-x{number}_0010_0020" for number in range(6)],
    "ref_youtube_vos": [f"0{number}5a0cd8d4" for number in range(6)],
    "ref_davis17": ["bear", "bmx-bumps", "boat", "blackswan", "camel", "car-shadow"],
}
"""The videos of each such dataset."""

_PALETTE = [0, 0, 0, 236, 95, 103, 249, 145, 87, 250, 200, 99]  # of background and three objects


def draw(
    root: Path, family: str, entries: Mapping[str, Mapping[str, Entry]], pixels: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """Write the expressions and the PNGs of such a dataset, whose frames are there.

    Args:
        entries: by split and video, as ReVOS has them.
        pixels: of each of their tracks, bool (T, height, width).

    Returns:
        Of each track that is written its pixels, by the id that it loads under.
    """
    drawn: dict[int, np.ndarray] = {}
    for place, (split, files) in enumerate(FAMILIES[family].splits.items()):
        document = {}
        for number, (video_id, entry) in enumerate(entries[split].items()):
            video = _Drawing(root, family, files, video_id, entry, pixels)
            document[video_id] = video.entry()
            if not files.hidden:
                drawn |= video.draw((1_000_000 * place + number) * 10_000)
        if document:
            _write_json(root / files.expressions[0], {"videos": document | _of_another_split(files)})
            if files.less is not None:
                _write_json(root / files.less, {"videos": _of_another_split(files)})
    return drawn


def _of_another_split(files: SplitPaths) -> dict[str, Entry]:
    """A video that a split's file names although it is not in the split."""
    return {} if files.less is None else {"ff0test": {"frames": ["00000"], "expressions": {"0": {"exp": "the box"}}}}


class _Drawing:
    """One video: its entry in the form of its dataset, and its masks as PNGs."""

    def __init__(
        self, root: Path, family: str, files: SplitPaths, video_id: str, entry: Entry, pixels: Mapping[int, np.ndarray]
    ) -> None:
        self._root, self._family, self._files, self._video_id = root, family, files, video_id
        self._frames: list[str] = entry["frames"]
        said = [one for one in entry["expressions"].values() if one["anno_id"]]
        if family != "groundmore":  # the others' expressions mean one object each
            said = [one for one in said if len(one["anno_id"]) == 1]
        self._texts = [one["exp"] for one in said]
        self._objects = [[number + 1 for number in one["obj_id"]] for one in said]
        first = min(i for one in said for i in one["anno_id"])
        self._pixels = {number: pixels[first + number - 1] for number in (1, 2, 3)}
        if self._in_one_picture:  # where a pixel has one value, the last object covers those before
            later = np.zeros_like(self._pixels[3])
            for number in (3, 2, 1):
                self._pixels[number] = self._pixels[number] & ~later
                later = later | self._pixels[number]

    @property
    def _in_one_picture(self) -> bool:
        return "{object}" not in self._files.tracks[0]

    def entry(self) -> Entry:
        """What the file of expressions says of the video."""
        numbered = list(zip(self._texts, self._objects, strict=True))
        if self._family == "groundmore":
            self._frames = [f"frame_{number:06d}" for number in range(len(self._frames))]
            folder = self._root / self._files.frames[0] / self._video_id / self._files.frames_within
            for number, frame in enumerate(sorted(folder.iterdir())):
                frame.rename(folder / f"{self._frames[number]}.jpg")
            return {"questions": {str(i): self._question(i, *one) for i, one in enumerate(numbered)}}
        if self._family == "reason_vos":
            said = [
                {"obj_id": objects[0], "exp_id": i, "exp_text": text, "is_sent": i % 2}
                for i, (text, objects) in enumerate(numbered)
            ]
            return {"source": "MOSE", "frames": self._frames, "expressions": said}
        expressions = {
            str(i): {"exp": text} | ({} if self._files.hidden else {"obj_id": str(objects[0])})
            for i, (text, objects) in enumerate(numbered)
        }
        if self._family == "long_rvos":
            for i, one in enumerate(expressions.values()):
                one["type"] = ("static", "dynamic", "static+dynamic")[i % 3]
        return {"frames": self._frames, "expressions": expressions}

    @staticmethod
    def _question(number: int, text: str, objects: list[int]) -> Entry:
        begin, end = [("0:10", "0:20"), ("0:10", "0:11"), ("0:11", "0:20")][number % 3]
        return {
            "question": text,
            "answer": "in words",
            "obj_id": ", ".join(map(str, objects)),
            "q_type": ["Causal", "Sequential", "Counterfactual", "Descriptive"][number % 4],
            "action_start": begin,
            "action_end": end,
        }

    def draw(self, first: int) -> dict[int, np.ndarray]:
        """Write the PNGs; of each track, by the number that it loads under, its pixels."""
        for number, of_object in self._pixels.items():
            for name, visible in zip(self._frames, of_object, strict=True):
                if self._in_one_picture:
                    continue
                # Long-RVOS has no PNG where an object is not there
                if visible.any() or self._family != "long_rvos":
                    Image.fromarray(visible.astype(np.uint8) * 255).save(self._file(name, number))
        if self._in_one_picture:
            for frame, name in enumerate(self._frames):
                values = sum(number * of_object[frame].astype(np.uint8) for number, of_object in self._pixels.items())
                image = Image.fromarray(np.asarray(values, np.uint8))
                image.putpalette(_PALETTE)
                image.save(self._file(name, 0))
        return self._tracks(first)

    def _tracks(self, first: int) -> dict[int, np.ndarray]:
        """The tracks in the order in which the expressions name them first; of a question, those of its time."""
        named: dict[tuple[int, int, int], np.ndarray] = {}
        for i, objects in enumerate(self._objects):
            begin, end = [(0, 60), (0, 6), (6, 60)][i % 3] if self._family == "groundmore" else (0, len(self._frames))
            for number in objects:
                within = (np.arange(len(self._frames)) >= begin) & (np.arange(len(self._frames)) < end)
                named.setdefault((number, begin, end), self._pixels[number] & within[:, None, None])
        return {first + place: of_track for place, of_track in enumerate(named.values())}

    def _file(self, frame: str, number: int) -> Path:
        names = {"source": "MOSE", "video": self._video_id, "object": str(number), "frame": frame}
        file = self._root / self._files.tracks[0].format_map(names)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
