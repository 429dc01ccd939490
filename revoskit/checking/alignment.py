"""Which videos' masks probably do not lie on their objects, because they belong to other frames than the files say.

Each video's masks are tried on the frames that the annotations list and, by other mappings (`hypotheses`), on other
frames of the folder: a stride into the folder's own frames, an offset, a drift. What is measured (`evidence`) is how
strong edges are under outlines and how well the masks' motion is the image's. Each mask is compared with itself under
the filed mapping, so that its shape, size and care of drawing cancel out, and a video is reported only where the
differences agree over its frames far beyond chance. Outlines may run at a distance inside or outside of the edge, the
same for all masks of a video: masks that are drawn too large or too small are a finding of their own, not a fault of
alignment. So are masks that lie beside their objects (`shifts`).
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from tabulate import tabulate

from revoskit import workers
from revoskit.checking import hypotheses, shifts
from revoskit.checking.evidence import LEAST_FRAMES, Displacement, Gain, Sample, Trial
from revoskit.checking.hypotheses import Candidate
from revoskit.checking.shifts import Shift
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.dataset.remapping import Mapping
from revoskit.errors import AnnotationError, FrameError, UsageError


class Verdict(str, enum.Enum):
    """What was found about a video."""

    ALIGNED = "aligned"
    """Nothing speaks against the filed mapping, and a wrong one would have been seen."""
    OUTLINE = "outline"
    """The same, but the masks are drawn too large or too small."""
    MISALIGNED = "misaligned"
    """Another mapping is clearly better."""
    SHIFTED = "shifted"
    """The masks lie beside their objects, by the same way in every frame."""
    UNSUPPORTED = "unsupported"
    """The masks lie on nothing that looks or moves like an object, by any mapping that was tried."""
    UNDECIDED = "undecided"
    """Too little to go by."""

    __str__ = str.__str__


ACCUSED = (Verdict.MISALIGNED, Verdict.SHIFTED, Verdict.UNSUPPORTED)
"""The verdicts that say that masks do not lie on their objects."""

# Set on videos of benchmarks/planted.py and on real ones that the figures in docs/alignment.md are not of.
BETTER = 2.0
"""A mapping is reported from this z-score of its advantage over the filed one."""
MARGIN = 0.015
"""…if edges under its outlines are stronger by this much as well, in units of `mask_fit.edge_fits`."""
SUPPORTED = 2.0
"""Masks belong where they lie from this z-score of their edges over those of the same outlines elsewhere."""
CONTRADICTED = -1.0
"""A mapping is not proposed if by this z-score the masks' motion fits worse than as filed."""
SEEN = 2.0
"""An offset would have been seen if its z-score is this much below the filed mapping's."""
NO_EDGES, NO_MOTION = 0.025, 0.10
"""Masks are unsupported if support and motion fit are lower than these for sure (95 %)."""

# log odds of a fault: where one video in two has one, fitted to the same videos as the thresholds
_ODDS, _ODDS_BY_Z = -1.5, 1.45
_ODDS_BY_VERDICT = {Verdict.SHIFTED: 3.9, Verdict.UNSUPPORTED: 2.6}

_SHORTLIST = 8  # mappings that are looked at closely, after a glance at all
_HINT = 0.5  # the z-score at a glance that makes a mapping worth a thought
_PROBES = (1, 2, 4, 8, 16)  # offsets that show what would have been seen
_MOTION_WEIGHT = 0.5
_EXACT = 2  # pixels of the reduced frame that an outline may be off and still be drawn well
_ORDER = (*ACCUSED, Verdict.OUTLINE, Verdict.UNDECIDED, Verdict.ALIGNED)
_REASONS = 10  # why videos are undecided, in the table; `--json` has all


class Score(msgspec.Struct, frozen=True):
    """How one mapping does on the masks that were looked at."""

    name: str
    """Such as `stride 30`, `offset +2`, `drift -8`; `as filed` for the frames that the annotations list."""
    edges: float
    """Mean strength of edges under outlines, as `mask_fit.edge_fits` has it; about 0 by chance."""
    motion: float | None
    """Mean motion fit, -1 to 1, over masks that move; about 0 by chance."""
    margin: float
    """Mean advantage in edges over the filed mapping, on masks that the two give different frames."""
    motion_z: float
    """The advantage in motion over the filed mapping, in standard errors over frames."""
    z: float
    """The advantage in both, in standard errors over frames."""
    frames: int
    """Masks' frames that the comparison rests on."""


class Alignment(msgspec.Struct, frozen=True):
    """What was found about one video."""

    split: str
    video_id: str
    verdict: Verdict
    confidence: float | None = None
    """How probable it is that the verdict is right that there is a fault, or none, if one video in two had one."""
    tracks: int = 0
    masks: int = 0
    folder_frames: int = 0
    support: float = 0.0
    """z-score of the edges under outlines as filed over those under the same outlines at unrelated places."""
    outline: float = 0.0
    """By how many pixels of the annotations' size outlines are drawn outside of the edges, negative inside."""
    shift: tuple[float, float] | None = None
    """Where the objects lie from their masks, in pixels of the annotations' size: to the right and downwards."""
    grows: bool = False
    """The last masks are off by the whole shift and the first not at all, rather than all by the same."""
    sees: int | None = None
    """The smallest offset, of those tried, that would have been seen: in frames of the folder."""
    filed: Score | None = None
    best: Score | None = None
    """The best of the other mappings, better than the filed one or not."""
    mapping: Mapping | None = None
    """The better mapping, where there is one, as a mapping file has it."""
    scores: list[Score] = []
    """Every mapping that was looked at closely: the filed one, then the others by z-score."""
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
        return Alignment(split, video_id, Verdict.UNDECIDED, note=str(error))
    folder = annotations.files.folder_frames(video_id)
    sample = Sample.of(tracks)
    frames = [frame for frame in annotations.files.frames_named(video_id, folder) if frame is not None]
    seen = Alignment(split, video_id, Verdict.UNDECIDED, None, len(sample.tracks), len(sample.indices), len(folder))
    if len(sample.indices) < LEAST_FRAMES:
        return msgspec.structs.replace(seen, note=f"fewer than {LEAST_FRAMES} frames have masks")
    try:
        judged = _judge(seen, Trial(sample, frames), video, folder)
        return msgspec.structs.replace(judged, confidence=_confidence(judged))
    except FrameError as error:
        advice = ": see `revoskit check --frames`" if layout.family == REVOS else ""
        return msgspec.structs.replace(seen, note=f"cannot read {error.file} (it {error.problem}){advice}")


def _judge(seen: Alignment, trial: Trial, video: Video, folder: list[str]) -> Alignment:
    filed, tried = hypotheses.candidates(video, folder, trial.sample.indices)
    if (filed.places[trial.sample.indices] >= 0).sum() < LEAST_FRAMES:
        return msgspec.structs.replace(seen, note="the frames that the annotations list are not on disk")
    trial.look([filed])
    support = trial.support(filed)
    looked_at = _shortlist(trial, filed, tried, support)
    trial.look(looked_at)
    trial.look_at_motion([filed, *(c for c in looked_at if trial.edge_gain(c, filed).z > 0)])
    scores = {candidate: _score(trial, candidate, filed) for candidate in looked_at}
    best = _refine(trial, filed, scores, len(folder))
    as_filed = _score(trial, filed, filed)
    seen = msgspec.structs.replace(
        seen,
        support=support.z,
        sees=_sees(scores),
        filed=as_filed,
        best=scores[best] if best else None,
        scores=[as_filed, *sorted(scores.values(), key=lambda score: -score.z)],
    )
    if as_filed.frames < LEAST_FRAMES:
        return msgspec.structs.replace(seen, note="too few outlines to go by")
    height, width = trial.shape
    scale = video.height / height
    shift = _shift(trial, filed, support)
    if best is not None and _is_proposed(trial, filed, best, scores[best], shift):
        outline = scale * trial.outline(best).pixels
        return msgspec.structs.replace(seen, verdict=Verdict.MISALIGNED, mapping=best.mapping(folder), outline=outline)
    if shift is not None:
        way = scale * shift.right, scale * shift.down
        note = "growing: the last masks are off by this, the first not at all" if shift.grows else ""
        return msgspec.structs.replace(seen, verdict=Verdict.SHIFTED, shift=way, grows=shift.grows, note=note)
    if support.z >= SUPPORTED:
        return _supported(seen, trial.outline(filed), scale, width)
    return _lacking(seen, support, trial.motion(filed))


def _shift(trial: Trial, filed: Candidate, support: Gain) -> Shift | None:
    """Where the objects lie beside their masks, looked for unless the masks lie on edges where they are."""
    least = SUPPORTED if abs(trial.outline(filed).pixels) <= _EXACT else 3 * SUPPORTED
    if support.z >= least:
        return None
    return shifts.find_shift(trial, filed)


def _is_proposed(trial: Trial, filed: Candidate, best: Candidate, score: Score, shift: Shift | None) -> bool:
    """Whether a mapping is clearly better, not on edges alone where the masks' motion fits better as filed."""
    if not _is_better(score) or score.motion_z < CONTRADICTED or trial.support(best).z < SUPPORTED:
        return False
    return shift is None or trial.edge_gain(best, filed).mean >= shift.gain.mean


def _supported(seen: Alignment, outline: Displacement, scale: float, width: int) -> Alignment:
    """The verdict on masks that lie on edges as filed, where no other mapping is clearly better."""
    if seen.sees is None:
        note = "nothing moves enough to tell frames apart: the masks lie on edges, but would on other frames as well"
        return msgspec.structs.replace(seen, note=note)
    if abs(outline.pixels) > max(_EXACT, 0.005 * width) and outline.gain.z >= BETTER:
        return msgspec.structs.replace(seen, verdict=Verdict.OUTLINE, outline=scale * outline.pixels)
    return msgspec.structs.replace(seen, verdict=Verdict.ALIGNED)


def _lacking(seen: Alignment, support: Gain, motion: Gain) -> Alignment:
    """The verdict on masks that lie on edges by no mapping: evidence against them is more than none for them."""
    moves = motion.frames >= LEAST_FRAMES
    if support.highest < NO_EDGES and (motion.highest < NO_MOTION if moves else support.highest < NO_EDGES / 2):
        return msgspec.structs.replace(seen, verdict=Verdict.UNSUPPORTED)
    if not moves:
        why = "and they hardly move"
    else:
        why = (
            "but the image moves as they do" if motion.z >= SUPPORTED else "but not so clearly that they must be wrong"
        )
    return msgspec.structs.replace(seen, note=f"the masks follow edges no better than they do elsewhere, {why}")


def _confidence(found: Alignment) -> float | None:
    """How probable it is that there is a fault, or that there is none, as the verdict says."""
    if found.verdict is Verdict.UNDECIDED:
        return None
    z = min(max(found.best.z, -4), 6) if found.best else 0
    odds = _ODDS + _ODDS_BY_Z * z + _ODDS_BY_VERDICT.get(found.verdict, 0)
    fault = 1 / (1 + math.exp(-odds))
    return fault if found.verdict in ACCUSED else 1 - fault


def _sees(scores: dict[Candidate, Score]) -> int | None:
    """The smallest offset that is clearly worse than the filed mapping, both ways where both were tried."""
    by_size: dict[int, list[float]] = {}
    for candidate, score in scores.items():
        if candidate.kind == "offset" and abs(candidate.amount) in _PROBES and score.frames >= LEAST_FRAMES:
            by_size.setdefault(abs(candidate.amount), []).append(score.z)
    return min((size for size, found in by_size.items() if max(found) <= -SEEN), default=None)


def _shortlist(trial: Trial, filed: Candidate, tried: list[Candidate], support: Gain) -> list[Candidate]:
    """The mappings to look at closely: the best ones at a glance, and those that show what would have been seen.

    Mappings to far frames are left alone where masks lie on edges beyond doubt and none to near frames is better.
    """
    gains: dict[Candidate, Gain] = {}
    for far in (False, True):
        some = [candidate for candidate in tried if candidate.is_far is far]
        trial.look(some, trial.sample.glance())
        gains |= {candidate: trial.edge_gain(candidate, filed) for candidate in some}
        if support.z >= 3 * SUPPORTED and all(gain.z < _HINT for gain in gains.values()):
            break
    by_z = sorted(gains, key=lambda candidate: -gains[candidate].z)[:_SHORTLIST]
    by_mean = sorted(gains, key=lambda candidate: -gains[candidate].mean)[: _SHORTLIST // 2]
    probes = [candidate for candidate in gains if candidate.kind == "offset" and abs(candidate.amount) in _PROBES]
    return list(dict.fromkeys([*by_z, *by_mean, *probes]))


def _score(trial: Trial, candidate: Candidate, filed: Candidate) -> Score:
    edges, gain = trial.edges(candidate), trial.edge_gain(candidate, filed)
    motion, motion_gain = trial.motion(candidate), trial.motion_gain(candidate, filed)
    return Score(
        candidate.name,
        float(np.average(edges.at(edges.best), weights=edges.weights)) if len(edges.indices) else 0.0,
        motion.mean if motion.frames else None,
        gain.mean,
        motion_gain.z,
        _combined(gain, motion_gain),
        len(edges.indices) if candidate is filed else gain.frames,
    )


def _combined(edges: Gain, motion: Gain) -> float:
    """The z-score of both: edges say more about a mapping, and masks that do not move say nothing by motion."""
    if motion.frames < LEAST_FRAMES:
        return edges.z
    return (edges.z + _MOTION_WEIGHT * motion.z) / float(np.hypot(1, _MOTION_WEIGHT))


def _is_better(score: Score) -> bool:
    return score.z >= BETTER and score.margin >= MARGIN and score.frames >= LEAST_FRAMES


def _refine(trial: Trial, filed: Candidate, scores: dict[Candidate, Score], frames: int) -> Candidate | None:
    """The best mapping, after a look around it as long as that finds a better one; adds what it tries to `scores`."""
    best = _best(scores)
    while best is not None and scores[best].z >= BETTER / 2:
        known = [filed.places, *(candidate.places for candidate in scores)]
        near = hypotheses.distinct(hypotheses.around(filed.places, best, frames), known, trial.sample.indices)
        trial.look(near)
        trial.look_at_motion(near)
        scores |= {candidate: _score(trial, candidate, filed) for candidate in near}
        before, best = best, _best(scores)
        if best is before:
            break
    return _plainest(trial, best, scores)


def _plainest(trial: Trial, best: Candidate | None, scores: dict[Candidate, Score]) -> Candidate | None:
    """A stride without an offset in place of one with, unless the offset is clearly better."""
    if best is None or best.kind != "stride":
        return best
    plain = next((c for c in scores if (c.kind, c.amount) == ("stride", best.amount) and c.places[0] == 0), best)
    return best if _score(trial, best, plain).z >= BETTER or not _is_better(scores[plain]) else plain


def _best(scores: dict[Candidate, Score]) -> Candidate | None:
    """Of those that are clearly better than the filed mapping, the one whose outlines have the strongest edges.

    Its z-score says whether a mapping is better, not by how much: the neighbours of the right one may be as sure.
    """
    clear = [candidate for candidate in scores if _is_better(scores[candidate])]
    if clear:
        return max(clear, key=lambda candidate: scores[candidate].margin)
    return max(scores, key=lambda candidate: scores[candidate].z, default=None)


# --- For reading ------------------------------------------------------------------------------------------------------


def table(alignments: Sequence[Alignment]) -> str:
    """What was found, a row for every video that needs looking at, why others are undecided, and the counts of all."""
    rows = [_row(found) for found in alignments if found.verdict in (*ACCUSED, Verdict.OUTLINE)]
    headers = ["verdict", "video", "found", "sure", "z", "edges", "motion", "support", "tracks", "masks"]
    counts = [f"{sum(found.verdict is verdict for found in alignments):,} {verdict}" for verdict in _ORDER]
    shown = [tabulate(rows, headers, disable_numparse=True)] if rows else []
    shown += ["\n".join(lines)] if (lines := _undecided(alignments)) else []
    return "\n\n".join([*shown, f"{len(alignments):,} videos: " + ", ".join(counts)])


def _undecided(alignments: Sequence[Alignment]) -> list[str]:
    """A line for each reason why videos are undecided, the commonest first."""
    videos: dict[str, list[str]] = {}
    for found in alignments:
        if found.verdict is Verdict.UNDECIDED:
            videos.setdefault(found.note, []).append(found.video_id)
    reasons = sorted(videos.items(), key=lambda item: -len(item[1]))
    lines = [
        f"undecided, {len(ids):,} video{'s' * (len(ids) > 1)} ({ids[0]}{', …' * (len(ids) > 1)}): {note}"
        for note, ids in reasons[:_REASONS]
    ]
    return lines + ["…"] * (len(reasons) > _REASONS)


def _row(found: Alignment) -> list[str]:
    better = found.best if found.verdict is Verdict.MISALIGNED else None
    filed = found.filed
    if filed is None:
        return [found.verdict, found.video_id]
    return [
        found.verdict,
        found.video_id,
        _finding(found),
        "-" if found.confidence is None else f"{found.confidence:.0%}",
        f"{better.z:.1f}" if better else "-",
        f"{filed.edges:.2f}" + (f" -> {better.edges:.2f}" if better else ""),
        _motion(filed.motion) + (f" -> {_motion(better.motion)}" if better else ""),
        f"{found.support:.1f}",
        str(found.tracks),
        str(found.masks),
    ]


def _finding(found: Alignment) -> str:
    """The better mapping, where the objects are from their masks, or how the masks are drawn."""
    if found.verdict is Verdict.MISALIGNED and found.best:
        return found.best.name
    if found.shift:
        right, down = found.shift
        across = f"{abs(right):.0f} px to the {'right' if right > 0 else 'left'}"
        return f"objects lie {across}, {abs(down):.0f} px {'down' if down > 0 else 'up'}"
    if found.verdict is Verdict.OUTLINE:
        return f"drawn {abs(found.outline):.0f} px too {'large' if found.outline > 0 else 'small'}"
    return "-"


def _motion(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
