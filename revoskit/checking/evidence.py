"""What is measured of a video's masks on the frames of its folder, and how sure it makes one.

Every measurement is of one mask on one frame (edges) or of one mask and a later one on two frames (motion), and is
made once, however many mappings share it. Mappings are then compared mask by mask.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from revoskit.checking import mask_fit
from revoskit.checking.hypotheses import Candidate
from revoskit.frames import Frame
from revoskit.masks.rle import MaskSequence

SAMPLES = 24
"""Masks of a video that are looked at, spread evenly over those that are not empty."""
TRACKS = 8
"""Tracks of a video that are looked at: the largest."""
LEAST_FRAMES = 5
"""Masks' frames that a comparison rests on."""

LEAST_EDGE_SPREAD = 0.03
"""Of differences over frames, so that small ones do not count for being constant."""

_GLANCE = 8  # masks, of those looked at, on which mappings are tried first
_GAPS = (1, 2, 4)  # from a mask to the later ones that it may have moved to
_LEAST_MOTION = 4.0  # pixels; a mask that stands still agrees with every frame of a still object
_LEAST_MOTION_SPREAD = 0.2
_ASTRAY = [(0.5, 0.5), (0.0, 0.5), (0.5, 0.25)]  # where an outline has no business, in heights and widths
_KEPT_BYTES = 2**26  # of frames' changes of colour: of most videos, those of all frames that are looked at


@dataclass(frozen=True)
class Sample:
    """The tracks and the masks to look at."""

    tracks: list[MaskSequence]
    areas: np.ndarray
    """(tracks, masks), in pixels."""
    indices: np.ndarray

    @classmethod
    def of(cls, tracks: list[MaskSequence]) -> Sample:
        if not tracks:
            return cls([], np.zeros((0, 0)), np.zeros(0, int))
        areas = np.stack([track.areas() for track in tracks])
        largest = np.sort(np.argsort(-areas.sum(1), kind="stable")[:TRACKS])
        areas = areas[largest]
        drawn = np.flatnonzero(areas.any(0))
        chosen = np.linspace(0, len(drawn) - 1, min(SAMPLES, len(drawn))).astype(int)
        return cls([tracks[i] for i in largest], areas, drawn[chosen])

    def glance(self) -> np.ndarray:
        """Some of the masks, spread as evenly."""
        some: np.ndarray = self.indices[
            np.linspace(0, len(self.indices) - 1, min(_GLANCE, len(self.indices))).astype(int)
        ]
        return some


@dataclass(frozen=True)
class Gain:
    """Paired differences over frames: their mean, its standard error, and how many frames there are."""

    mean: float = 0.0
    error: float = float("inf")
    frames: int = 0

    @property
    def z(self) -> float:
        """The mean in standard errors; 0 where there are fewer than `LEAST_FRAMES` frames."""
        return self.mean / self.error

    @property
    def highest(self) -> float:
        """The mean's upper bound, exceeded in one of twenty cases."""
        return self.mean + 1.64 * self.error

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray, least_spread: float) -> Gain:
        """Of a difference for each frame, in order.

        The error allows for frames that resemble the ones before (first-order autocorrelation), and its spread is
        never less than `least_spread`.
        """
        if len(values) < LEAST_FRAMES:
            return cls(frames=len(values))
        mean = float(np.average(values, weights=weights))
        count = float(len(values))
        before, behind = values[:-1] - values[:-1].mean(), values[1:] - values[1:].mean()
        energy = float((before @ before) * (behind @ behind))
        if energy > 0:
            likeness = min(max(float(before @ behind) / energy**0.5, 0.0), 0.6)
            count *= (1 - likeness) / (1 + likeness)
        return cls(mean, float(np.hypot(values.std(ddof=1), least_spread) / np.sqrt(count)), len(values))


@dataclass(frozen=True)
class Edges:
    """How strong edges are under the outlines of a mapping's masks, for each displacement along the normals."""

    indices: np.ndarray
    """The masks that have an outline and a frame."""
    fits: np.ndarray
    """float (masks, 2 * reach + 1), as `mask_fit.edge_fits` has it, tracks averaged."""
    weights: np.ndarray
    """The root of the number of tracks."""

    @cached_property
    def best(self) -> int:
        """The displacement at which edges are strongest over all masks, as a place among `fits`."""
        if not len(self.fits):
            return 0
        mean = np.average(self.fits, axis=0, weights=self.weights)
        steps = np.abs(np.arange(len(mean)) - len(mean) // 2)
        usable = steps <= len(mean) // 2 - 3
        return int(np.argmax(np.where(usable, mean - 0.001 * steps, -1)))

    def at(self, place: int) -> np.ndarray:
        """The fits at one displacement, float (masks,)."""
        fits: np.ndarray = self.fits[:, place]
        return fits


@dataclass(frozen=True)
class Displacement:
    """How far outlines are drawn from edges."""

    pixels: int
    """Outside of them, negative inside; of the reduced frame."""
    gain: Gain
    """By how much edges are stronger there than under the outlines as drawn."""


class Trial:
    """Masks tried on frames."""

    def __init__(self, sample: Sample, frames: Sequence[Frame]) -> None:
        self.sample, self.frames = sample, frames
        self._shape: tuple[int, int] | None = None
        self._profiles: dict[tuple[int, int], np.ndarray] = {}  # by mask and frame: the mean fits over tracks
        self._astray: dict[tuple[int, int], np.ndarray] = {}  # the same elsewhere: (places, displacements)
        self._motions: dict[tuple[int, int], dict[tuple[int, int], float]] = {}  # by track and mask; frames
        self._edges: dict[Candidate, Edges] = {}
        self._halved: dict[int, np.ndarray] = {}
        self._changes: OrderedDict[int, mask_fit.Changes] = OrderedDict()
        self.outlines: dict[int, mask_fit.Outline] = {}  # by mask, of all tracks that have one
        self._patches: dict[tuple[int, int], tuple[int, mask_fit.Patch]] = {}  # by track and mask: the gap to the later

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the reduced frames: known once any was looked at."""
        if self._shape is None:
            raise RuntimeError("no frame was looked at yet")
        return self._shape

    # --- Measuring

    def look(self, candidates: Iterable[Candidate], indices: np.ndarray | None = None) -> None:
        """Measure edges under the outlines that the candidates lay on frames; each frame is read once."""
        indices = self.sample.indices if indices is None else indices
        wanted: dict[int, set[int]] = {}
        for candidate in candidates:
            self._prepare(candidate)
            for i in indices[candidate.places[indices] >= 0].tolist():
                place = int(candidate.places[i])
                if i in self.outlines and (i, place) not in self._profiles:
                    wanted.setdefault(place, set()).add(i)
        self._edges.clear()
        for place in sorted(wanted):
            changes = self.changes(place)
            for i in wanted[place]:
                self._profiles[i, place] = self.fits(changes, self.outlines[i])

    def look_astray(self, candidate: Candidate) -> None:
        """Measure the same outlines in other places of the same frames."""
        height, width = self.shape
        for i in self.sample.indices.tolist():
            place = int(candidate.places[i])
            if place < 0 or i not in self.outlines or (i, place) in self._astray:
                continue
            strayed = [
                mask_fit.moved(self.outlines[i], int(down * height), int(right * width)) for down, right in _ASTRAY
            ]
            self._astray[i, place] = np.stack([self.fits(self.changes(place), outline) for outline in strayed])

    def look_at_motion(self, candidates: Iterable[Candidate]) -> None:
        """Measure whether the image moves as the masks do, where they move, on the frames of the candidates."""
        pairs: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for candidate in candidates:
            for (start, end), patches in self._ends(candidate).items():
                pairs.setdefault((start, end), set()).update(patches)
        for start, end in sorted(pairs):
            for patch in pairs[start, end]:
                known = self._motions.setdefault(patch, {})
                if (start, end) not in known:
                    known[start, end] = mask_fit.motion_fit(
                        self.halved(start), self.halved(end), self._patches[patch][1]
                    )

    def _ends(self, candidate: Candidate) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """The frames that a candidate gives the two masks of each patch: by frames, the patches."""
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for (track, i), (gap, _) in self._patches.items():
            start, end = int(candidate.places[i]), int(candidate.places[i + gap])
            if start >= 0 and end >= 0:
                found.setdefault((start, end), []).append((track, i))
        return found

    def fits(self, changes: mask_fit.Changes, outline: mask_fit.Outline) -> np.ndarray:
        """As `mask_fit.edge_fits` has them."""
        return mask_fit.edge_fits(mask_fit.edge_profile(changes, outline))

    def changes(self, place: int) -> mask_fit.Changes:
        """Of a frame at reduced size."""
        if place not in self._changes:
            frame = self._read(place)
            self._changes[place] = mask_fit.Changes.of(frame)
            self._halved[place] = mask_fit.halved(frame)
            if len(self._changes) * self._changes[place].along.nbytes > _KEPT_BYTES:
                self._changes.popitem(last=False)
        return self._changes[place]

    def halved(self, place: int) -> np.ndarray:
        if place not in self._halved:
            self._halved[place] = mask_fit.halved(self._read(place))
        return self._halved[place]

    def _read(self, place: int) -> np.ndarray:
        return mask_fit.read_frame(self.frames[place], self._shape)

    def _prepare(self, candidate: Candidate) -> None:
        """Outlines and patches of the sampled masks, at the size of the first frame that is there."""
        if self._shape is not None:
            return
        height, width = self._read(int(candidate.places[candidate.places >= 0][0])).shape[1:]
        self._shape = height, width
        outlines: dict[int, list[mask_fit.Outline]] = {}
        for track in range(len(self.sample.tracks)):
            for i, outline in self._track_outlines(track, self.shape):
                outlines.setdefault(i, []).append(outline)
            if height > 1 and width > 1:
                self._find_patches(track, (height // 2, width // 2))
        self.outlines = {i: mask_fit.Outline.joined(found) for i, found in outlines.items()}

    def _track_outlines(self, track: int, shape: tuple[int, int]) -> Iterator[tuple[int, mask_fit.Outline]]:
        """The outlines of a track's sampled masks, with the place of each."""
        drawn = self.sample.indices[self.sample.areas[track, self.sample.indices] > 0]
        masks = mask_fit.resized(self.sample.tracks[track].take(drawn), shape)
        for i, mask in zip(drawn.tolist(), masks, strict=True):
            outline = mask_fit.outline(mask)
            if outline is not None:
                yield i, outline

    def _find_patches(self, track: int, half: tuple[int, int]) -> None:
        """For each of a track's sampled masks the first of some later ones that is far enough away."""
        masks, areas = self.sample.tracks[track], self.sample.areas[track]
        waiting = self.sample.indices[areas[self.sample.indices] > 0].tolist()
        known: dict[int, mask_fit.Small] = {}
        for gap in _GAPS:
            pairs = [(i, i + gap) for i in waiting if i + gap < len(areas) and areas[i + gap]]
            new = sorted({i for pair in pairs for i in pair} - known.keys())
            known |= zip(new, map(mask_fit.Small.of, mask_fit.resized(masks.take(new), half)), strict=True)
            for i, later in pairs:
                found = mask_fit.patch(known[i], known[later])
                if found is not None and found.distance >= _LEAST_MOTION:
                    self._patches[track, i] = gap, found
            waiting = [i for i in waiting if (track, i) not in self._patches]

    # --- What was measured

    def edges(self, candidate: Candidate) -> Edges:
        """What was measured under the outlines of a mapping."""
        if candidate not in self._edges:
            found = [(i, self._profiles.get((i, int(candidate.places[i])))) for i in self.sample.indices.tolist()]
            seen = [(i, fits) for i, fits in found if fits is not None]
            self._edges[candidate] = Edges(
                np.array([i for i, _ in seen], int),
                np.array([fits for _, fits in seen]).reshape(len(seen), 2 * mask_fit.reach(self.shape[1]) + 1),
                np.sqrt([self.outlines[i].masks for i, _ in seen]),
            )
        return self._edges[candidate]

    def edge_gain(self, candidate: Candidate, filed: Candidate) -> Gain:
        """By how much edges are stronger than under the filed mapping, on masks that the two give different frames.

        Each mapping has the one displacement that suits it best.
        """
        theirs, ours = self.edges(candidate), self.edges(filed)
        _, a, b = np.intersect1d(theirs.indices, ours.indices, assume_unique=True, return_indices=True)
        differ = candidate.places[theirs.indices[a]] != filed.places[theirs.indices[a]]
        a, b = a[differ], b[differ]
        values = theirs.at(theirs.best)[a] - ours.at(ours.best)[b] if len(a) else np.zeros(0)
        return Gain.of(values, theirs.weights[a], LEAST_EDGE_SPREAD)

    def motion(self, candidate: Candidate) -> Gain:
        """How well the image moves as the masks do under a mapping; about 0 by chance."""
        return _over_frames({key: value for key, value, _ in self._moved(candidate)})

    def motion_gain(self, candidate: Candidate, filed: Candidate) -> Gain:
        """By how much better than under the filed mapping, on masks that the two give different frames."""
        ours = {patch: (value, ends) for patch, value, ends in self._moved(filed)}
        gains = {
            patch: value - ours[patch][0]
            for patch, value, ends in self._moved(candidate)
            if patch in ours and ours[patch][1] != ends
        }
        return _over_frames(gains)

    def _moved(self, candidate: Candidate) -> list[tuple[tuple[int, int], float, tuple[int, int]]]:
        found = []
        for ends, patches in self._ends(candidate).items():
            found += [
                (patch, self._motions[patch][ends], ends) for patch in patches if ends in self._motions.get(patch, ())
            ]
        return found

    def support(self, candidate: Candidate) -> Gain:
        """By how much edges are stronger than under the same outlines elsewhere in the same frames."""
        self.look_astray(candidate)
        edges = self.edges(candidate)
        if len(edges.indices) < LEAST_FRAMES:
            return Gain(frames=len(edges.indices))
        astray = np.stack([self._astray[i, int(candidate.places[i])] for i in edges.indices.tolist()], 1)
        others = [Edges(edges.indices, fits, edges.weights) for fits in astray]
        by_chance = np.mean([other.at(other.best) for other in others], axis=0)
        return Gain.of(edges.at(edges.best) - by_chance, edges.weights, LEAST_EDGE_SPREAD)

    def outline(self, candidate: Candidate) -> Displacement:
        """Where the edges are that belong to a mapping's outlines."""
        edges = self.edges(candidate)
        if len(edges.indices) < LEAST_FRAMES:
            return Displacement(0, Gain(frames=len(edges.indices)))
        middle = edges.fits.shape[1] // 2
        gain = Gain.of(edges.at(edges.best) - edges.at(middle), edges.weights, LEAST_EDGE_SPREAD)
        return Displacement(middle - edges.best, gain)


def _over_frames(values: dict[tuple[int, int], float]) -> Gain:
    """Of values by track and mask: the tracks of a mask are averaged first, and masks count by the root of them."""
    by_mask: dict[int, list[float]] = {}
    for (_, i), value in values.items():
        by_mask.setdefault(i, []).append(value)
    masks = sorted(by_mask)
    means = np.array([np.mean(by_mask[i]) for i in masks])
    return Gain.of(means, np.sqrt([len(by_mask[i]) for i in masks]), _LEAST_MOTION_SPREAD)
