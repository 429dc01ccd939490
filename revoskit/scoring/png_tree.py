"""Predictions as a tree of PNGs, one for every frame of every expression."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.errors import UsageError
from revoskit.inference.lines import Key
from revoskit.masks.packed import FRAMES_PER_BYTE, PackedMasks, Patch, join, pack_patches
from revoskit.regular import MAX_PIXELS, open_regular
from revoskit.scoring import mask_png
from revoskit.scoring.prediction import (
    GreyMasks,
    Prediction,
    Problem,
    ProblemKind,
    extra_of,
    grey_masks,
    nothing,
    problem,
)

FAILURES = "failed_*.json"


@dataclass(frozen=True)
class PngTree:
    """`<root>/<video_id>/<expression_id>/<frame>.png`, one for every frame."""

    root: Path
    short_names: Mapping[str, str] = field(default_factory=dict)
    """By id, the videos whose folder is called by the last part of their id, and what that is."""
    failures: Mapping[Key, str] = field(default_factory=dict)
    """What went wrong with the expressions of which the tree holds something else than the model's masks."""

    @classmethod
    def at(cls, root: Path, annotations: Annotations | None = None) -> PngTree:
        """The tree in a folder; which videos it may call by the last part of their id, the annotations tell.

        Raises:
            UsageError: a list of failures beside the folders cannot be read.
        """
        lasts = Counter(video_id.rpartition("/")[2] for video_id in annotations.videos) if annotations else {}
        short_names = {}
        for video_id in annotations.videos if annotations else ():
            last = video_id.rpartition("/")[2]
            if lasts[last] == 1 and last != video_id and (root / last).is_dir() and not (root / video_id).is_dir():
                short_names[video_id] = last
        return cls(root, short_names, _read_failures(root))

    def state(self) -> list[Any]:
        return [str(self.root)]

    def state_of(self, video_id: str) -> str:
        """A digest of the names, sizes and times of its files."""
        digest = hashlib.sha256()
        root = os.fspath(self._folder(video_id))
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):  # a link to nothing, or one that has just gone
                    status = os.stat(path)
                    digest.update(os.fsencode(f"{path[len(root) :]}\0{status.st_size} {status.st_mtime_ns}\0"))
        return digest.hexdigest()

    def has_video(self, video_id: str) -> bool:
        return self._folder(video_id).is_dir()

    def _folder(self, video_id: str) -> Path:
        return self.root / self.short_names.get(video_id, video_id)

    def read(self, video: Video, expression: Expression) -> Prediction:
        folder = self._folder(video.video_id) / expression.expression_id
        if not folder.is_dir():
            found = nothing(video, expression, ProblemKind.MISSING, f"there is no folder {folder}")
        else:
            found = self._of_folder(video, expression, folder)
        error = self.failures.get((video.video_id, expression.expression_id))
        if error is None:
            return found
        return Prediction(None, found.official, problem(video, expression, ProblemKind.FAILED, error))

    @classmethod
    def _of_folder(cls, video: Video, expression: Expression, folder: Path) -> Prediction:
        found = _from_images(video, expression, (cls._image(folder, name) for name in video.frame_names))
        if found.problem is None or found.problem.kind not in (ProblemKind.MISSING, ProblemKind.UNREADABLE):
            return found
        present = {name for name in os.listdir(folder) if not name.startswith(".")}
        here = sum(f"{name}.png" in present for name in video.frame_names)
        if here == len(video.frame_names):
            return found
        if here or not present:
            reason = f"{here} of {len(video.frame_names)} frames: a run that broke off? {found.problem.reason}"
            return replace(found, problem=problem(video, expression, ProblemKind.INCOMPLETE, reason.strip()))
        names = _by_number(video.frame_names, present)
        if names is not None:
            images = (cls._image(folder, name) for name in names)
            return replace(_from_images(video, expression, images), numbered=True)
        return replace(found, problem=_none_of_its_frames(video, expression, folder, present))

    @staticmethod
    def _image(folder: Path, frame_name: str) -> mask_png.MaskImage | _NoImage:
        try:
            with open_regular(os.path.join(folder, f"{frame_name}.png")) as file:
                data = file.readall()
        except FileNotFoundError:
            return _NoImage(ProblemKind.MISSING, "missing")
        except OSError as error:
            return _NoImage(ProblemKind.UNREADABLE, f"unreadable ({error.strerror})")
        size = mask_png.claimed_size(data)
        if size is not None and size[0] * size[1] > MAX_PIXELS:
            return _NoImage(
                ProblemKind.UNREADABLE,
                f"unreadable (it claims {size[0]:,} x {size[1]:,} pixels; at most {MAX_PIXELS:,} are decoded)",
            )
        broken = _NoImage(ProblemKind.UNREADABLE, f"unreadable ({len(data):,} bytes that are no whole image)")
        return mask_png.decode(data) or broken

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        """Folders on no path to an expression of the split."""
        videos = {self.short_names.get(video.video_id, video.video_id): video for video in annotations}
        expected = {f"{name}/{e.expression_id}" for name, video in videos.items() for e in video.expressions}
        prefixes = {path.rsplit("/", n)[0] for path in expected for n in range(1, path.count("/") + 1)}
        for path in self._others(self.root, "", prefixes, expected):
            at, _, name = path.rpartition("/")
            yield (
                extra_of(annotations, videos[at].video_id, name) if at in videos else extra_of(annotations, path, None)
            )

    def _others(self, folder: Path, at: str, prefixes: set[str], expected: set[str]) -> Iterator[str]:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        for name in names:
            path = f"{at}/{name}" if at else name
            if path in prefixes:
                yield from self._others(folder / name, path, prefixes, expected)
            elif path not in expected:
                yield path


def _by_number(frame_names: Sequence[str], present: set[str]) -> list[str] | None:
    """Names of files that are the numbers of the frames, `0.png` or `000.png` for the first; null where they are not.

    Where frames are called by numbers themselves, these may be written otherwise: `7.png` for frame `00007`.
    """
    stems = {name[:-4] for name in present if name.endswith(".png") and name[:-4].isdecimal() and name.isascii()}
    numbers = {int(stem): stem for stem in stems}
    if len(numbers) != len(stems):
        return None
    called = [int(name) if name.isdecimal() and name.isascii() else -1 for name in frame_names]
    for wanted in (called, list(range(len(frame_names)))):
        if set(numbers) == set(wanted):
            return [numbers[number] for number in wanted]
    return None


def _none_of_its_frames(video: Video, expression: Expression, folder: Path, present: set[str]) -> Problem:
    """What is in a folder that has none of the files that it should have."""
    first = video.frame_names[0]
    expected = f"expected {first}.png and so on in {folder}"
    endings = Counter(os.path.splitext(name)[1].lower() for name in present)
    if endings[".jpg"] + endings[".jpeg"]:
        reason = f"its frames are JPEGs, which blur the edges of masks: {expected}. Save them as PNG."
        return problem(video, expression, ProblemKind.UNREADABLE, reason)
    some = ", ".join(sorted(present)[:3])
    reason = f"none of its frames is there: {expected}, found {some}{', …' if len(present) > 3 else ''}"
    return problem(video, expression, ProblemKind.MISSING, reason)


class _Sample(msgspec.Struct):
    qid: str | int


class _Sought(msgspec.Struct):
    vid: str
    samples: list[_Sample]


class _Failure(msgspec.Struct):
    anno: _Sought
    err: str


def _read_failures(root: Path) -> dict[Key, str]:
    """The expressions that UniPixel lists beside its folders, where it writes masks of zeros when it fails."""
    failures: dict[Key, str] = {}
    for path in sorted(root.glob(FAILURES)):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[_Failure])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{path} is no list of failed expressions: {error}. Mend it, or take it away.") from None
        for failure in found:
            reason = failure.err or "the model failed"
            failures |= {(failure.anno.vid, str(sample.qid)): reason for sample in failure.anno.samples}
    return failures


class _NoImage(NamedTuple):
    """Why there is no mask of a frame: "frame 00003.png is …"."""

    kind: ProblemKind
    reason: str


def _from_images(video: Video, expression: Expression, images: Iterable[mask_png.MaskImage | _NoImage]) -> Prediction:
    """A prediction from its frames, one of which may not be there.

    The official protocol takes its size from the first image and spreads one row or column over it, as NumPy's
    assignment does; in the other every image has to have the dataset's size.
    """
    wrong: Problem | None = None
    binary: list[PackedMasks] = []
    official: list[GreyMasks] | None = []
    official_size: tuple[int, int] | None = None
    taken = iter(images)
    for begin in range(0, len(video.frame_names), FRAMES_PER_BYTE):
        names = video.frame_names[begin : begin + FRAMES_PER_BYTE]
        found: list[mask_png.MaskImage] = []
        for name in names:
            image = next(taken)
            wrong = wrong or _image_problem(video, expression, name, image)
            if isinstance(image, _NoImage):
                return Prediction(None, None, wrong)
            found.append(image)
        size = official_size = official_size or found[0].size
        part = None
        if official is not None:
            greys = [grey for grey in (_spread(image, size) for image in found) if grey is not None]
            part = grey_masks(greys, *size) if len(greys) == len(found) else None
        official = None if official is None or part is None else [*official, part]
        if wrong and official is None:
            return Prediction(None, None, wrong)
        if not wrong:
            same = part is not None and all(image.object is image.grey for image in found)
            binary.append(
                part.masks if part is not None and same else pack_patches([i.object for i in found], *found[0].size)
            )
    return Prediction(None if wrong else join(binary), None if official is None else _join(official), wrong)


def _image_problem(
    video: Video, expression: Expression, name: str, image: mask_png.MaskImage | _NoImage
) -> Problem | None:
    if isinstance(image, _NoImage):
        return problem(video, expression, image.kind, f"frame {name}.png is {image.reason}")
    found, expected = image.size, (video.height, video.width)
    if found == expected:
        return None
    text = f"frame {name}.png is {found[0]}x{found[1]} (height x width), expected {expected[0]}x{expected[1]}"
    return problem(video, expression, ProblemKind.WRONG_SIZE, text)


def _spread(image: mask_png.MaskImage, size: tuple[int, int]) -> Patch | None:
    """The grey values on a frame of another size, which only a single row or column can take."""
    if image.size == size:
        return image.grey
    x, y, pixels = image.grey
    whole = np.zeros(image.size, np.uint8)
    whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    try:
        return Patch.of(np.ascontiguousarray(np.broadcast_to(whole, size)))
    except ValueError:
        return None


def _join(parts: Sequence[GreyMasks]) -> GreyMasks:
    several: dict[int, Patch] = {}
    begin = 0
    for part in parts:
        several |= {begin + number: patch for number, patch in part.several.items()}
        begin += part.masks.frames
    return GreyMasks(join([part.masks for part in parts]), np.concatenate([part.values for part in parts]), several)
