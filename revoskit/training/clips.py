"""An example of the dataset to arrays to train on: some of its frames, decoded and resized, and their masks.

    from revoskit import Clips
    train = ds.with_transform(Clips(num_frames=8, sampling="uniform", size=448))
    train[0]["frames"]                            # uint8 (8, 448, W, 3)

Only the chosen frames are opened, and only their masks are decoded, straight to the size that is asked for. What is
chosen depends on the seed, the epoch, and the ids of video and expression, and on nothing else: not on the number of
workers or ranks, nor on the order of the rows.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np

from revoskit.errors import FrameError, MaskError, UsageError
from revoskit.frames import Grid, at_hand, frame_of
from revoskit.masks.rle import RLE, MaskSequence
from revoskit.training.sampling import Draw, Name, Sampling, Short, is_count
from revoskit.training.shared_epoch import Shared

Row = dict[str, Any]
Clip = dict[str, Any]
Side = Literal["shortest", "longest"]
Output = Literal["numpy", "torch"]
OnError = Literal["raise", "resample"]

_EXPRESSION_COLUMNS = ("video_id", "height", "width", "frames", "masks", "expression_id")
_VIDEO_COLUMNS = ("video_id", "height", "width", "frames", "tracks", "expressions")
# What fills a batch up where its clips differ in size; everything else is filled with zeros.
_FILL = {"frame_indices": -1, "expression_type": -1, "annotation_ids": -1}


class Clips:
    """Turns rows of either config into clips: `ds.with_transform(Clips(...))`.

    For streams, `ds.map(Clips(...), remove_columns=ds.column_names)` does the same.

    Args:
        num_frames: frames in a clip, T; `(least, most)` draws their number for each clip.
        sampling: which ones.
            `"uniform"`: one from each of T equal stretches of the video.
            `"random"`: any T, in order.
            `"contiguous"`: T in a row, `stride` apart.
            `"visible"`: the same, around a frame in which the object is visible (an expression without one: anywhere).
            `"context"`: first `context` frames as of `"uniform"`, then the others as of `"contiguous"`.
            `"all"`: the whole video; `num_frames` is not looked at.
        stride: from one frame to the next of a contiguous run.
        context: frames of context, by default half of the clip.
        short: what to do with a video that has too few frames: `"repeat"` them evenly, or `"pad"` with black frames and
            empty masks at the end. `valid` tells either from the frames that count.
        size: of the result in pixels: a number for one side of the frame, whose shape is kept; `(height, width)` for
            exactly that; None for the original.
        side: which one `size` is: the `"shortest"` or the `"longest"`.
        training: draw at random; otherwise every choice falls on the middle, the same in every epoch.
        seed: of what is drawn.
        output: `"numpy"` for arrays, `"torch"` for tensors.
        expressions_per_video: of config `videos`, how many expressions a clip draws; None for all.
        tracks: of config `videos`, give the masks of every track rather than of every expression.
        on_error: about a frame that is broken or gone, `"raise"`, or `"resample"`: draw the clip anew as if the video
            did not have that frame, warn once, and count (`broken_frames`).

    Gives, for a row of config `expressions` (as torch, `frames` is (T, 3, H, W), its memory laid out as (T, H, W, 3)):
        frames: uint8 (T, H, W, 3), RGB.
        masks: uint8 (T, H, W), 1 on the objects that the expression means; all 0 if it means none.
        frame_indices: int64 (T,), positions in the row's `frames`; -1 for padding.
        valid: bool (T,), False for repeated frames and for padding.
        video_id, expression_id: str.
        expression: str. expression_type: int, -1 where the dataset has no types. Both if the rows have these columns.
        original_size: int64 (2,), height and width of the video.
        broken_frames: int, how many frames this clip had to do without.

    For a row of config `videos`, where E expressions share the frames, `expression`, `expression_id` and
    `expression_type` have E entries each and `masks` is (E, T, H, W). With `tracks`, `masks` is (N, T, H, W) for the
    video's N tracks in order of annotation id, `annotation_ids` int64 (N,), and `expression_tracks` bool (E, N) says
    which of them each expression means.

    Raises, when made: UsageError. When called: FrameError for a frame that is broken or gone, MaskError for a mask that
    is not sound, UsageError for rows that lack a column, or whose masks are kept back.
    """

    def __init__(
        self,
        num_frames: int | tuple[int, int] = 8,
        sampling: Name = "uniform",
        *,
        stride: int = 1,
        context: int | None = None,
        short: Short = "repeat",
        size: int | tuple[int, int] | None = None,
        side: Side = "shortest",
        training: bool = True,
        seed: int = 0,
        output: Output = "numpy",
        expressions_per_video: int | None = None,
        tracks: bool = False,
        on_error: OnError = "raise",
    ) -> None:
        self.sampling = Sampling(sampling, num_frames, stride, context, short)
        for name, value, known in (
            ("side", side, get_args(Side)),
            ("output", output, get_args(Output)),
            ("on_error", on_error, get_args(OnError)),
        ):
            if value not in known:
                raise UsageError(f"{name} is {value!r}: expected {known[0]!r} or {known[1]!r}")
        sides = size if isinstance(size, (tuple, list)) else (1 if size is None else size,) * 2
        if len(sides) != 2 or not all(map(is_count, sides)):
            raise UsageError(f"size is {size!r}: expected None, a number of pixels, or (height, width)")
        if expressions_per_video is not None and not is_count(expressions_per_video):
            raise UsageError(
                f"expressions_per_video is {expressions_per_video!r}: expected None, or a number from 1 up"
            )
        self.size, self.side = size, side
        self.training, self.seed = training, seed
        self.output = output
        self.expressions_per_video, self.tracks = expressions_per_video, tracks
        self.on_error = on_error
        self._shared = Shared()
        self._process = os.getpid()

    @property
    def epoch(self) -> int:
        """The epoch that clips are drawn for."""
        return self._shared.number

    def set_epoch(self, epoch: int) -> None:
        """Draw other clips from now on, here and in every worker process, those that are running too."""
        self._shared.number = epoch

    @property
    def broken_frames(self) -> Counter[str]:
        """How often each broken or missing frame made a clip be drawn anew, in this process and in all workers."""
        return Counter(self._shared.names)

    def __deepcopy__(self, memo: dict[int, object]) -> Clips:
        return copy.copy(self)  # `datasets` copies a transform with its dataset; the copy follows the same epoch

    def __call__(self, batch: Row) -> Clip:
        """Turn a batch (`with_transform`: every column a list of rows) or one row (`map` over a stream) into clips."""
        if self._process != os.getpid():
            self._process = os.getpid()
            # A worker's collector would write to every object that it has from its parent: 50 MB no longer shared.
            gc.freeze()
        if isinstance(batch.get("video_id"), str):
            return self._clip(batch)
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        clips = [self._clip(row) for row in rows]
        return {name: [clip[name] for clip in clips] for name in clips[0]} if clips else {}

    def _clip(self, row: Row) -> Clip:
        per_video = "tracks" in row
        if "video_index" in row and "frames" not in row:
            raise UsageError("rows of published `expressions` have no frames: use config videos of the same folder")
        missing = [name for name in (_VIDEO_COLUMNS if per_video else _EXPRESSION_COLUMNS) if name not in row]
        if missing:
            raise UsageError(
                f"a clip needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}; the rows have "
                f"{', '.join(row) or 'none'}"
            )
        _require_masks(row)
        _require_pixels(row)
        grid = Grid(row["height"], row["width"], *self._result_size(row["height"], row["width"]))
        clip = self._of_video(row, grid) if per_video else self._of_expression(row, grid)
        clip["video_id"] = row["video_id"]
        clip["original_size"] = np.array([row["height"], row["width"]])
        return _as_torch(clip) if self.output == "torch" else clip

    def _result_size(self, height: int, width: int) -> tuple[int, int]:
        if self.size is None:
            return height, width
        if isinstance(self.size, (tuple, list)):
            height, width = self.size
            return height, width
        side = min(height, width) if self.side == "shortest" else max(height, width)
        return max(1, round(height * self.size / side)), max(1, round(width * self.size / side))

    def _draw(self, *key: str | int) -> Draw:
        if not self.training:
            return Draw(None)
        text = "\0".join(map(str, (self.seed, self.epoch, *key)))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()  # unlike hash(), the same in every process
        return Draw(np.random.default_rng(int.from_bytes(digest, "little")))

    def _of_expression(self, row: Row, grid: Grid) -> Clip:
        where = f"video {row['video_id']!r}, expression {row['expression_id']!r}"

        def visible() -> np.ndarray:
            return _visible([row["masks"]], len(row["frames"]), grid, where)

        clip = self._frames(row, grid, row["expression_id"], visible)
        masks = _parse(row["masks"], clip["frame_indices"].tolist(), grid, where)
        clip["masks"] = masks.sample(grid.rows, grid.columns)
        clip["expression_id"] = row["expression_id"]
        if "expression" in row:
            clip["expression"] = row["expression"]
        if "expression_type" in row:
            clip["expression_type"] = _type(row)
        return clip

    def _of_video(self, row: Row, grid: Grid) -> Clip:
        expressions = self._choose_expressions(row)
        tracks = {track["annotation_id"]: track["masks"] for track in row["tracks"]}
        named = [i for i in tracks if any(i in expression["annotation_ids"] for expression in expressions)]
        where = f"video {row['video_id']!r}, track "

        def visible() -> np.ndarray:
            return _visible([tracks[i] for i in named], len(row["frames"]), grid, f"{where}{named}")

        clip = self._frames(row, grid, "", visible)
        shown = list(tracks) if self.tracks else named
        masks = np.empty((len(shown), len(clip["valid"]), grid.height, grid.width), np.uint8)
        for place, i in zip(masks, shown, strict=True):
            track = _parse(tracks[i], clip["frame_indices"].tolist(), grid, f"{where}{i}")
            place[:] = track.sample(grid.rows, grid.columns)
        means = np.zeros((len(expressions), len(shown)), bool)
        for place, expression in zip(means, expressions, strict=True):
            place[:] = np.isin(shown, expression["annotation_ids"])
        if self.tracks:
            clip |= {"masks": masks, "annotation_ids": np.array(shown, np.int64), "expression_tracks": means}
        else:
            clip["masks"] = _unions(masks, means)
        clip["expression"] = [expression["expression"] for expression in expressions]
        clip["expression_id"] = [expression["expression_id"] for expression in expressions]
        clip["expression_type"] = np.array([_type(expression) for expression in expressions], np.int64)
        return clip

    def _choose_expressions(self, row: Row) -> list[Row]:
        expressions: list[Row] = row["expressions"]
        if self.expressions_per_video is None or self.expressions_per_video >= len(expressions):
            return expressions
        draw = self._draw(row["video_id"], "expressions")
        return [expressions[i] for i in draw.some(len(expressions), self.expressions_per_video)]

    def _frames(self, row: Row, grid: Grid, key: str, visible: Callable[[], np.ndarray]) -> Clip:
        """Choose the frames and decode them; where one is broken, choose again among the others."""
        sound = np.arange(len(row["frames"]))
        while len(sound):
            broken = len(row["frames"]) - len(sound)
            draw = self._draw(row["video_id"], key, broken)

            def seen(sound: np.ndarray = sound) -> np.ndarray:
                return np.asarray(visible()[sound])

            chosen, valid = self.sampling.frames(len(sound), seen, draw)
            indices = np.where(chosen < 0, -1, sound[chosen])
            try:
                frames = _read_frames(row, indices, grid)
            except FrameError as error:
                if self.on_error == "raise":
                    raise
                self._shared.append(str(error.file))
                warnings.warn(
                    f"{error.where}: {error.file} {error.problem}; its clip is drawn again without it", stacklevel=2
                )
                sound = sound[sound != error.index]
            else:
                return {"frames": frames, "frame_indices": indices, "valid": valid, "broken_frames": broken}
        raise FrameError(f"video {row['video_id']!r}", f"has no frame that can be read, of {len(row['frames'])}")


def _require_pixels(row: Row) -> None:
    if min(row["height"], row["width"]) < 1:
        raise UsageError(
            f"video {row['video_id']!r}: the row says that it is {row['height']}x{row['width']} pixels (height x width)"
        )


def _require_masks(row: Row) -> None:
    """See that the row's split does not keep its masks back: then even the union of all tracks has no mask at all."""
    masks = row.get("foreground" if "tracks" in row else "masks")
    if masks is not None and len(masks) == 0:
        where = f"video {row['video_id']!r}" + (f", expression {row['expression_id']!r}" if "masks" in row else "")
        raise UsageError(
            f"{where} has no masks: its split keeps them back, and clips are frames with masks. Take a split that has "
            "them, or read the row's `frames` without Clips"
        )


def _type(expression: Row) -> int:
    return _FILL["expression_type"] if expression["expression_type"] is None else expression["expression_type"]


def _read_frames(row: Row, indices: np.ndarray, grid: Grid) -> np.ndarray:
    wanted = list(dict.fromkeys(index for index in indices.tolist() if index >= 0))
    frames = {}
    for index in wanted:
        with _naming(row, index):
            frames[index] = frame_of(row["frames"][index])
    frames = dict(zip(wanted, at_hand(list(frames.values())), strict=True))
    pixels = np.empty((len(indices), grid.height, grid.width, 3), np.uint8)
    at: dict[int, int] = {}
    for t, index in enumerate(indices.tolist()):
        if index < 0:
            pixels[t] = 0
        elif index in at:
            pixels[t] = pixels[at[index]]
        else:
            with _naming(row, index):
                _tell_of_size(row, grid, frames[index].pixels(grid, pixels[t]))
            at[index] = t
    return pixels


def _tell_of_size(row: Row, grid: Grid, found: tuple[int, int]) -> None:
    """Warn of frames of another size than their video's: Python shows such a warning once for each text."""
    if found != (grid.full_height, grid.full_width):
        warnings.warn(
            f"video {row['video_id']!r}: its frames are {found[0]}x{found[1]} pixels (height x width), the annotations "
            f"say {grid.full_height}x{grid.full_width}, which is the same shape: both are sampled to the clip's size",
            stacklevel=2,
        )


@contextlib.contextmanager
def _naming(row: Row, index: int) -> Iterator[None]:
    """Name the video and the frame in an error of reading it, the frame as `file` and by its `index`."""
    try:
        yield
    except FrameError as reason:
        name = row["frame_names"][index] if "frame_names" in row else index
        where = f"video {row['video_id']!r}, frame {name!r} (number {index})"
        file = reason.file or f"{row['video_id']}/{name}"
        raise FrameError(file, reason.problem, reason.fault, reason.advice, where=where, index=index) from None


def _parse(masks: Sequence[RLE | None], indices: Sequence[int], grid: Grid, where: str) -> MaskSequence:
    """The masks at these frames, checked; -1 stands for padding, which has none."""
    try:
        return MaskSequence.parse([None if i < 0 else masks[i] for i in indices], grid.full_height, grid.full_width)
    except MaskError as error:
        index = None if error.index is None else int(indices[error.index])
        at = "" if index is None else f", frame number {index}"
        raise MaskError(f"{where}{at}: {error.reason}", index=index, reason=error.reason) from None


def _unions(masks: np.ndarray, means: np.ndarray) -> np.ndarray:
    """What the tracks (N, T, height, width) that each expression means (E, N) cover together: (E, T, height, width)."""
    unions = np.empty((len(means), *masks.shape[1:]), masks.dtype)
    for place, meant in zip(unions, means, strict=True):
        masks[meant].max(axis=0, initial=0, out=place)
    return unions


def _visible(tracks: list[Sequence[RLE | None]], frames: int, grid: Grid, where: str) -> np.ndarray:
    """In which frames any of the tracks covers anything, bool (frames,)."""
    visible = np.zeros(frames, bool)
    for masks in tracks:
        visible |= _parse(masks, range(frames), grid, where).areas() > 0
    return visible


def collate(clips: Sequence[Clip]) -> Clip:
    """Make a batch of clips: `torch.utils.data.DataLoader(..., collate_fn=collate)`.

    Arrays and numbers are stacked along a new first axis, texts and ids become lists; tensors give tensors. Where clips
    differ in size, each lies in the upper left of its place and the rest is filled with zeros (`frame_indices`,
    `expression_type` and `annotation_ids` with -1); `sizes`, int64 (B, 2), holds the height and width of each clip.
    """
    tensors = not isinstance(clips[0]["frames"], np.ndarray)
    clips = [_as_numpy(clip) for clip in clips] if tensors else clips
    batch = {name: _stack([clip[name] for clip in clips], _FILL.get(name, 0)) for name in clips[0]}
    batch["sizes"] = np.array([clip["frames"].shape[-3:-1] for clip in clips])
    return _as_torch(batch) if tensors else batch


def _stack(values: list[Any], fill: int) -> Any:
    if isinstance(values[0], (str, list)):
        return values
    arrays = [np.asarray(value) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays)
    stacked = np.full((len(arrays), *map(max, zip(*shapes, strict=True))), fill, arrays[0].dtype)
    for place, array in zip(stacked, arrays, strict=True):
        place[tuple(map(slice, array.shape))] = array
    return stacked


def _as_torch(clip: Clip) -> Clip:
    import torch

    tensors = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in clip.items()
    }
    return tensors | {"frames": tensors["frames"].movedim(-1, -3)}


def _as_numpy(clip: Clip) -> Clip:
    arrays = {name: value.numpy() if hasattr(value, "numpy") else value for name, value in clip.items()}
    return arrays | {"frames": np.moveaxis(arrays["frames"], -3, -1)}
