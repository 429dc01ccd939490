"""Which videos' masks probably do not lie on their objects, because they belong to other frames than the files say.

Each video's masks are tried on the frames that the annotations list and, by other mappings, on other frames of the
folder: a stride into the folder's own frames, an offset, a drift. What is measured is in `evidence`: how well outlines
follow edges and how well the masks' motion is the image's. Each mask is compared with itself under the filed mapping,
so that its shape, size and care of drawing cancel out, and a video is reported only where the differences agree over
its frames far beyond chance. Masks that fit their frames no better than unrelated places of them are reported as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from tabulate import tabulate

from revoskit import workers
from revoskit.checking import mask_fit
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.dataset.remapping import Linear, Mapping
from revoskit.errors import AnnotationError, FrameError, UsageError
from revoskit.frames import Frame, FrameFile
from revoskit.masks.rle import MaskSequence

MISALIGNED = "misaligned"
UNSUPPORTED = "unsupported"
ALIGNED = "aligned"
UNDECIDED = "undecided"

SAMPLES = 24
"""Masks of a video that are looked at, spread evenly over those that are not empty."""
TRACKS = 8
"""Tracks of a video that are looked at: the largest."""
STRIDES = [*range(1, 21), 24, 25, 30, 32, 36, 40, 48, 50, 60]
OFFSETS = [k for k in range(-8, 9) if k]
DRIFTS = [-16, -12, -8, -5, -3, 3, 5, 8, 12, 16]
"""By how many frames of the folder the last mask is off, where the first is not."""

# Set on synthetic videos (benchmarks/planted.py) and DAVIS 2016; aligned ones reach 1.7 and -0.6 there.
BETTER = 2.5
"""A mapping is reported from this z-score of its advantage over the filed one."""
MARGIN = 0.04
"""…if its outlines also follow edges better by this much, in units of `mask_fit.edge_fit`."""
SUPPORTED = 2.0
"""Masks belong where they lie from this z-score of their edge fit over the same outlines elsewhere in the frame."""

_MIN_FRAMES = 5
_MIN_MOTION = 4.0  # pixels; a mask that stands still agrees with every frame of a still object
_LEAST_EDGE_SPREAD, _LEAST_MOTION_SPREAD = 0.05, 0.2  # so that small differences do not count for being constant
_MOTION_WEIGHT = 0.5
_REASONS = 10  # why videos are undecided, in the table; `--json` has all


class Score(msgspec.Struct, frozen=True):
    """How one mapping does on the masks that were looked at."""

    name: str
    """Such as `stride 30`, `offset +2`, `drift -8`; `as filed` for the frames that the annotations list."""
    edges: float
    """Mean edge fit, 0 to 1; about a half by chance."""
    motion: float | None
    """Mean motion fit, -1 to 1, over masks that move; about 0 by chance."""
    margin: float
    """Mean advantage in edge fit over the filed mapping, on masks that the two give different frames."""
    z: float
    """The advantage in both, in standard errors over frames."""
    frames: int
    """Masks' frames that the comparison rests on."""


class Alignment(msgspec.Struct, frozen=True):
    """What was found about one video."""

    split: str
    video_id: str
    verdict: str
    """`misaligned`: another mapping is clearly better. `unsupported`: no mapping that was tried puts the masks on
    edges better than chance. `aligned`: nothing speaks against the filed one. `undecided`: too little to go by."""
    tracks: int = 0
    masks: int = 0
    folder_frames: int = 0
    support: float = 0.0
    """z-score of the filed mapping's edge fit over that of the same outlines at unrelated places."""
    filed: Score | None = None
    best: Score | None = None
    """The best of the other mappings, better than the filed one or not."""
    mapping: Mapping | None = None
    """The better mapping, where there is one, as a mapping file has it."""
    scores: list[Score] = []
    """Every mapping that was tried: the filed one, then the others by z-score."""
    note: str = ""


def find_misaligned(
    layout: Layout,
    splits: Iterable[str],
    *,
    num_proc: int = 1,
    progress: Callable[[int], object] = lambda videos: None,
) -> list[Alignment]:
    """Examine every video of the splits, one that is in several only once; in file order.

    `progress` is called with 1 after each video. A video whose annotations cannot be read is `undecided`.

    Raises:
        UsageError: a split keeps its masks back.
        UnsizedError: nothing tells the size of a video.
    """
    items: dict[str, str] = {}
    for split in splits:
        annotations = open_annotations(layout, split)
        if annotations.hidden:
            raise UsageError(f"{split} keeps its masks back: there is nothing to compare its frames with, leave it out")
        if annotations.unsized:
            raise next(iter(annotations.unsized.values()))
        for video_id in annotations.videos:
            items.setdefault(video_id, split)
    found = {}
    work = functools.partial(_examine_item, layout)
    for (_, video_id), alignment in workers.run(work, [(s, v) for v, s in items.items()], num_proc=num_proc):
        found[video_id] = alignment
        progress(1)
    return [found[video_id] for video_id in items]


def better_mappings(alignments: Iterable[Alignment]) -> dict[str, Mapping]:
    """What a mapping file would hold if a person accepted all that was found."""
    return {found.video_id: found.mapping for found in alignments if found.mapping is not None}


def _examine_item(layout: Layout, item: tuple[str, str]) -> Alignment:
    return examine(layout, *item)


def examine(layout: Layout, split: str, video_id: str) -> Alignment:
    """Compare the mappings of one video's masks to the frames of its folder."""
    annotations = open_annotations(layout, split)
    video = annotations.video(video_id)
    masks = annotations.masks(video)
    try:
        tracks = [masks.track(i) for i in video.annotation_ids]
    except AnnotationError as error:
        return Alignment(split, video_id, UNDECIDED, note=str(error))
    folder = annotations.files.folder_frames(video_id)
    sample = _Sample.of(tracks)
    frames = [FrameFile(str(annotations.files.video_folder(video_id) / f"{name}.jpg")) for name in folder]
    seen = Alignment(split, video_id, UNDECIDED, len(sample.tracks), len(sample.indices), len(folder))
    if len(sample.indices) < _MIN_FRAMES:
        return msgspec.structs.replace(seen, note=f"fewer than {_MIN_FRAMES} frames have masks")
    trial = _Trial(sample, frames)
    try:
        return _judge(seen, trial, video, folder)
    except FrameError as error:
        advice = ": see `revoskit check --frames`" if layout.family == REVOS else ""
        return msgspec.structs.replace(seen, note=f"cannot read {error.file} (it {error.problem}){advice}")


def _judge(seen: Alignment, trial: _Trial, video: Video, folder: list[str]) -> Alignment:
    filed, candidates = _candidates(video, folder, trial.sample.indices)
    if (filed.places[trial.sample.indices] >= 0).sum() < _MIN_FRAMES:
        return msgspec.structs.replace(seen, note="the frames that the annotations list are not on disk")
    trial.measure([filed, *candidates])
    scores = {candidate: trial.compare(candidate, filed) for candidate in candidates}
    best = _refine(trial, filed, scores, len(folder))
    support = trial.support(filed)
    as_filed = trial.compare(filed, filed)
    ranked = sorted(scores.values(), key=lambda score: -score.z)
    seen = msgspec.structs.replace(seen, support=support, filed=as_filed, scores=[as_filed, *ranked])
    if best is not None:
        seen = msgspec.structs.replace(seen, best=scores[best])
        if _is_better(scores[best]) and trial.support(best) >= SUPPORTED:
            return msgspec.structs.replace(seen, verdict=MISALIGNED, mapping=best.mapping(folder))
    if as_filed.frames < _MIN_FRAMES:
        return msgspec.structs.replace(seen, note="too few outlines to go by")
    return msgspec.structs.replace(seen, verdict=ALIGNED if support >= SUPPORTED else UNSUPPORTED)


def _is_better(score: Score) -> bool:
    return score.z >= BETTER and score.margin >= MARGIN and score.frames >= _MIN_FRAMES


# --- Mappings to try --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A mapping: for each mask, the place of its frame among the folder's; -1 where it has none."""

    name: str
    places: np.ndarray
    kind: str = ""
    amount: int = 0

    def mapping(self, folder: Sequence[str]) -> Mapping:
        inside = np.flatnonzero(self.places >= 0)
        steps = np.diff(self.places[inside]) if len(inside) > 1 else np.array([1])
        if (np.diff(inside) == 1).all() and (steps == steps[0]).all() and steps[0] > 0:
            stride = int(steps[0])
            return Linear(stride, int(self.places[inside[0]] - stride * inside[0]), len(folder))
        named: set[int] = set()
        return [None if j < 0 or j in named or named.add(j) else folder[j] for j in self.places.tolist()]


def _candidates(video: Video, folder: list[str], sampled: np.ndarray) -> tuple[_Candidate, list[_Candidate]]:
    """The filed mapping, and those to try that give at least half of the sampled masks a frame."""
    where = {name: place for place, name in enumerate(folder)}
    filed = np.array([where.get(name, -1) for name in video.frame_names])
    found = [_Candidate("as filed", filed)]
    known = {filed.tobytes()}

    def add(candidate: _Candidate) -> None:
        if candidate.places.tobytes() not in known and (candidate.places[sampled] >= 0).mean() >= 0.5:
            known.add(candidate.places.tobytes())
            found.append(candidate)

    for stride in STRIDES:
        add(_stride(filed, stride, 0, len(folder)))
    for offset in OFFSETS:
        add(_offset(filed, offset, len(folder)))
    for end in DRIFTS:
        add(_drift(filed, end, len(folder)))
    listed = np.append(filed, np.full(4, -1))  # the next frames of the list, where that leaves out some of the folder's
    for step in (-4, -3, -2, -1, 1, 2, 3, 4):
        places = np.roll(listed, -step)[: len(filed)]
        add(_Candidate(f"listed frame {step:+d}", places))
    return found[0], found[1:]


def _inside(places: np.ndarray, known: np.ndarray, frames: int) -> np.ndarray:
    return np.where(known & (places >= 0) & (places < frames), places, -1)


def _stride(filed: np.ndarray, stride: int, offset: int, frames: int) -> _Candidate:
    places = stride * np.arange(len(filed)) + offset
    name = f"stride {stride}" + (f", offset {offset:+d}" if offset else "")
    return _Candidate(name, _inside(places, places >= 0, frames), "stride", stride)


def _offset(filed: np.ndarray, offset: int, frames: int) -> _Candidate:
    return _Candidate(f"offset {offset:+d}", _inside(filed + offset, filed >= 0, frames), "offset", offset)


def _drift(filed: np.ndarray, end: int, frames: int) -> _Candidate:
    grown = np.rint(np.linspace(0, end, len(filed))).astype(int)
    return _Candidate(f"drift {end:+d}", _inside(filed + grown, filed >= 0, frames), "drift", end)


def _refine(trial: _Trial, filed: _Candidate, scores: dict[_Candidate, Score], frames: int) -> _Candidate | None:
    """The best mapping, after a look around it as long as that finds a better one; adds what it tries to `scores`."""
    best = _best(scores)
    tried = {candidate.places.tobytes() for candidate in [filed, *scores]}
    while best is not None and scores[best].z >= BETTER / 2:
        near = [c for c in _around(filed.places, best, frames) if c.places.tobytes() not in tried]
        tried |= {candidate.places.tobytes() for candidate in near}
        trial.measure(near)
        scores |= {candidate: trial.compare(candidate, filed) for candidate in near}
        before, best = best, _best(scores)
        if best is before:
            break
    return _plainest(trial, best, scores)


def _plainest(trial: _Trial, best: _Candidate | None, scores: dict[_Candidate, Score]) -> _Candidate | None:
    """A stride without an offset in place of one with, unless the offset is clearly better."""
    if best is None or best.kind != "stride":
        return best
    plain = next((c for c in scores if (c.kind, c.amount) == ("stride", best.amount) and c.places[0] == 0), best)
    return best if trial.compare(best, plain).z >= BETTER or not _is_better(scores[plain]) else plain


def _best(scores: dict[_Candidate, Score]) -> _Candidate | None:
    """Of those that are clearly better than the filed mapping, the one whose outlines follow edges best.

    Its z-score says whether a mapping is better, not by how much: the neighbours of the right one may be as sure.
    """
    clear = [candidate for candidate in scores if _is_better(scores[candidate])]
    if clear:
        return max(clear, key=lambda candidate: scores[candidate].margin)
    return max(scores, key=lambda candidate: scores[candidate].z, default=None)


def _around(filed: np.ndarray, best: _Candidate, frames: int) -> list[_Candidate]:
    if best.kind == "offset":
        return [_offset(filed, best.amount + k, frames) for k in (-2, -1, 1, 2)]
    if best.kind == "drift":
        return [_drift(filed, best.amount + k, frames) for k in (-2, -1, 1, 2)]
    if best.kind == "stride":
        start = int((best.places - best.amount * np.arange(len(filed)))[best.places >= 0][0])
        near = [_stride(filed, best.amount, start + k, frames) for k in (-2, -1, 1, 2)]
        return near + [_stride(filed, best.amount + k, start, frames) for k in (-1, 1) if best.amount + k > 0]
    return []


# --- Evidence ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """The tracks and the masks to look at."""

    tracks: list[MaskSequence]
    areas: np.ndarray  # (tracks, masks), in pixels
    indices: np.ndarray

    @classmethod
    def of(cls, tracks: list[MaskSequence]) -> _Sample:
        if not tracks:
            return cls([], np.zeros((0, 0)), np.zeros(0, int))
        areas = np.stack([track.areas() for track in tracks])
        largest = np.sort(np.argsort(-areas.sum(1), kind="stable")[:TRACKS])
        areas = areas[largest]
        drawn = np.flatnonzero(areas.any(0))
        chosen = np.linspace(0, len(drawn) - 1, min(SAMPLES, len(drawn))).astype(int)
        return cls([tracks[i] for i in largest], areas, drawn[chosen])


class _Trial:
    """Masks tried on frames: every pair of the two is measured once, however many mappings share it."""

    def __init__(self, sample: _Sample, frames: Sequence[Frame]) -> None:
        self.sample, self.frames = sample, frames
        self._edges: dict[tuple[int, int, int], float] = {}  # by track, mask and frame
        self._strayed: dict[tuple[int, int, int], float] = {}
        self._motions: dict[tuple[int, int, int, int], float] = {}  # by track, mask, frame and later frame
        self._halved: dict[int, np.ndarray] = {}
        self._outlines: dict[tuple[int, int], np.ndarray] = {}
        self._patches: dict[tuple[int, int], tuple[int, mask_fit.Patch]] = {}
        self._shape: tuple[int, int] | None = None

    def measure(self, candidates: list[_Candidate]) -> None:
        """Look at every frame that the candidates need, each read once."""
        wanted: dict[int, set[int]] = {}
        pairs: set[tuple[int, int, int, int]] = set()
        for candidate in candidates:
            self._prepare(candidate)
            for i in self.sample.indices[candidate.places[self.sample.indices] >= 0].tolist():
                wanted.setdefault(int(candidate.places[i]), set()).add(i)
            for (track, i), (gap, _) in self._patches.items():
                start, end = candidate.places[i], candidate.places[i + gap]
                if start >= 0 and end >= 0:
                    pairs.add((track, i, int(start), int(end)))
        pairs -= self._motions.keys()
        for place in sorted(wanted.keys() | {place for pair in pairs for place in pair[2:]}):
            missing = [
                key for key in self._outlines if key[1] in wanted.get(place, ()) and (*key, place) not in self._edges
            ]
            if missing or place not in self._halved:
                frame = self._read(place)
                self._halved[place] = mask_fit.halved(frame)
                for key in missing:
                    self._edges[(*key, place)] = mask_fit.edge_fit(frame, self._outlines[key])
                    stray = mask_fit.strayed(self._outlines[key], frame.shape[:2])
                    self._strayed[(*key, place)] = mask_fit.edge_fit(frame, stray)
        for track, i, start, end in pairs:
            places = self._patches[track, i][1]
            self._motions[track, i, start, end] = mask_fit.motion_fit(self._halved[start], self._halved[end], places)

    def _read(self, place: int) -> np.ndarray:
        return mask_fit.read_frame(self.frames[place], self._shape)

    def _prepare(self, candidate: _Candidate) -> None:
        """Outlines and patches of the sampled masks, at the size of the first frame that is there."""
        if self._shape is not None:
            return
        self._shape = self._read(int(candidate.places[candidate.places >= 0][0])).shape[:2]
        half = self._shape[0] // 2, self._shape[1] // 2
        for track, masks in enumerate(self.sample.tracks):
            areas = self.sample.areas[track]
            for i in self.sample.indices[areas[self.sample.indices] > 0].tolist():
                mask = masks.take([i]).decode()[0]
                outline = mask_fit.outline(mask_fit.resized(mask, self._shape))
                if outline is not None:
                    self._outlines[track, i] = outline
                for gap in (1, 2, 4):  # far enough for the mask to have moved
                    if i + gap < len(areas) and areas[i + gap]:
                        later = mask_fit.resized(masks.take([i + gap]).decode()[0], half)
                        found = mask_fit.patch(mask_fit.resized(mask, half), later)
                        if found is not None and found.distance >= _MIN_MOTION:
                            self._patches[track, i] = gap, found
                            break

    def compare(self, candidate: _Candidate, filed: _Candidate) -> Score:
        """A candidate's scores, and its advantage over the filed mapping on the masks that both give a frame."""
        edges, edge_gains = self._gains(self._edge, self._outlines, candidate, filed)
        motions, motion_gains = self._gains(self._motion, self._patches, candidate, filed)
        margin, edge_z, frames = _paired(edge_gains, _LEAST_EDGE_SPREAD)
        _, motion_z, _ = _paired(motion_gains, _LEAST_MOTION_SPREAD)
        if candidate is filed:
            frames = len({i for track, i in self._outlines if filed.places[i] >= 0})
        return Score(
            candidate.name,
            float(np.mean(edges)) if edges else 0.5,
            float(np.mean(motions)) if motions else None,
            margin,
            (edge_z + _MOTION_WEIGHT * motion_z) / float(np.hypot(1, _MOTION_WEIGHT)),
            frames,
        )

    def support(self, candidate: _Candidate) -> float:
        """z-score of a mapping's edge fit over that of the same outlines elsewhere in the same frames."""
        gains: dict[int, list[float]] = {}
        for track, i in self._outlines:
            key = (track, i, int(candidate.places[i]))
            if key in self._edges:
                gains.setdefault(i, []).append(self._edges[key] - self._strayed[key])
        return _paired(gains, _LEAST_EDGE_SPREAD)[1]

    def _gains(
        self, measured: Callable, keys: Iterable[tuple[int, int]], candidate: _Candidate, filed: _Candidate
    ) -> tuple[list[float], dict[int, list[float]]]:
        """What a candidate reaches, and by mask its differences to the filed mapping where their frames differ."""
        reached, gains = [], {}
        for track, i in keys:
            value = measured(track, i, candidate)
            if value is None:
                continue
            reached.append(value)
            before = measured(track, i, filed)
            if before is not None and candidate.places[i] != filed.places[i]:
                gains.setdefault(i, []).append(value - before)
        return reached, gains

    def _edge(self, track: int, i: int, candidate: _Candidate) -> float | None:
        return self._edges.get((track, i, int(candidate.places[i])))

    def _motion(self, track: int, i: int, candidate: _Candidate) -> float | None:
        end = candidate.places[i + self._patches[track, i][0]]
        return self._motions.get((track, i, int(candidate.places[i]), int(end)))


def _paired(gains: dict[int, list[float]], least_spread: float) -> tuple[float, float, int]:
    """Mean, z-score and number of frames of paired differences, given per frame as one for each track.

    A frame's tracks are averaged first; frames count by the root of their tracks. The standard error allows for
    frames that resemble the ones before (first-order autocorrelation), and its spread is never less than
    `least_spread`. Fewer than `_MIN_FRAMES` frames give a z-score of 0.
    """
    if len(gains) < _MIN_FRAMES:
        return 0.0, 0.0, len(gains)
    frames = sorted(gains)
    means = np.array([np.mean(gains[i]) for i in frames])
    mean = float(np.average(means, weights=[np.sqrt(len(gains[i])) for i in frames]))
    count = float(len(means))
    if means[:-1].std() > 0 and means[1:].std() > 0:
        likeness = float(np.clip(np.corrcoef(means[:-1], means[1:])[0, 1], 0, 0.6))
        count *= (1 - likeness) / (1 + likeness)
    return mean, mean / float(np.hypot(means.std(ddof=1), least_spread)) * float(np.sqrt(count)), len(means)


# --- For reading ------------------------------------------------------------------------------------------------------


def table(alignments: Sequence[Alignment]) -> str:
    """What was found, a row for every video that needs looking at, why others are undecided, and the counts of all."""
    rows = [_row(found) for found in alignments if found.verdict in (MISALIGNED, UNSUPPORTED)]
    headers = ["verdict", "video", "better mapping", "z", "edge fit", "motion fit", "support", "tracks", "masks"]
    counts = [f"{sum(a.verdict == v for a in alignments):,} {v}" for v in (MISALIGNED, UNSUPPORTED, UNDECIDED, ALIGNED)]
    shown = [tabulate(rows, headers, disable_numparse=True)] if rows else []
    shown += ["\n".join(lines)] if (lines := _undecided(alignments)) else []
    return "\n\n".join([*shown, f"{len(alignments):,} videos: " + ", ".join(counts)])


def _undecided(alignments: Sequence[Alignment]) -> list[str]:
    """A line for each reason why videos are undecided, the commonest first."""
    videos: dict[str, list[str]] = {}
    for found in alignments:
        if found.verdict == UNDECIDED:
            videos.setdefault(found.note, []).append(found.video_id)
    reasons = sorted(videos.items(), key=lambda item: -len(item[1]))
    lines = [
        f"undecided, {len(ids):,} video{'s' * (len(ids) > 1)} ({ids[0]}{', …' * (len(ids) > 1)}): {note}"
        for note, ids in reasons[:_REASONS]
    ]
    return lines + ["…"] * (len(reasons) > _REASONS)


def _row(found: Alignment) -> list[str]:
    better = found.best if found.verdict == MISALIGNED else None
    filed = found.filed
    return [
        found.verdict,
        found.video_id,
        better.name if better else "-",
        f"{better.z:.1f}" if better else "-",
        f"{filed.edges:.2f}" + (f" -> {better.edges:.2f}" if better else ""),
        _motion(filed.motion) + (f" -> {_motion(better.motion)}" if better else ""),
        f"{found.support:.1f}",
        str(found.tracks),
        str(found.masks),
    ]


def _motion(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
