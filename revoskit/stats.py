"""How much of what a copy of the dataset holds, per split and per source dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
from tabulate import tabulate

from revoskit.annotations import Annotations, ExpressionType, Video, open_annotations
from revoskit.families import FAMILIES
from revoskit.layout import Layout

ALL_SOURCES = "all"
UNTYPED = "untyped"  # all the expressions of a dataset that has no types


class Counts(msgspec.Struct):
    """What one split holds of one source dataset, or of all of them (`source` is "all")."""

    split: str
    source: str
    videos: int = 0
    frames: int = 0
    expressions: dict[str, int] = msgspec.field(default_factory=lambda: {kind.label: 0 for kind in ExpressionType})
    tracks: int = 0
    objects_per_expression: float = 0.0
    annotated: float = 0.0
    """Share of track entries that are not null."""
    coverage: float = 0.0
    """Share of a frame's pixels that some annotated object covers, mean over all frames."""
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    """Videos by size, "width x height"."""


class _Sums(msgspec.Struct):
    """What a video adds to the counts."""

    video: Video
    entries: int
    annotated: int
    coverage: float


def count(
    layout: Layout, splits: Iterable[str], progress: Callable[[int], object] = lambda videos: None
) -> list[Counts]:
    """Count every split: first each as a whole, then by source dataset.

    `progress` is called with 1 after each video. Every mask is decoded as far as its area.
    """
    counts = []
    for split in splits:
        annotations = open_annotations(layout, split)
        kinds = list(ExpressionType) if FAMILIES[layout.family].typed else [None]
        sums = []
        for video in annotations:
            sums.append(_measure(annotations, video))
            progress(1)
        counts.append(_total(split, ALL_SOURCES, sums, kinds))
        sources = sorted({video.source for video in annotations} - {""})
        counts += [_total(split, source, [s for s in sums if s.video.source == source], kinds) for source in sources]
    return counts


def _measure(annotations: Annotations, video: Video) -> _Sums:
    masks = annotations.masks(video)
    tracks = [masks.track(i) for i in video.annotation_ids]
    covered = masks.foreground().areas().sum() / (video.height * video.width)
    entries = sum(len(track) for track in tracks)
    return _Sums(video, entries, entries - sum(mask is None for track in tracks for mask in track), float(covered))


def _total(split: str, source: str, sums: list[_Sums], kinds: list[ExpressionType | None]) -> Counts:
    expressions = [expression for s in sums for expression in s.video.expressions]
    naming = [len(e.annotation_ids) for e in expressions if e.type is not ExpressionType.NONEXISTENT]
    found = Counter(expression.type for expression in expressions)
    frames = sum(len(s.video.frame_names) for s in sums)
    entries = sum(s.entries for s in sums)
    return Counts(
        split=split,
        source=source,
        videos=len(sums),
        frames=frames,
        expressions={kind.label if kind is not None else UNTYPED: found[kind] for kind in kinds},
        tracks=sum(len(s.video.annotation_ids) for s in sums),
        objects_per_expression=sum(naming) / len(naming) if naming else 0.0,
        annotated=sum(s.annotated for s in sums) / entries if entries else 0.0,
        coverage=sum(s.coverage for s in sums) / frames if frames else 0.0,
        sizes=dict(Counter(f"{s.video.width}x{s.video.height}" for s in sums).most_common()),
    )


def table(counts: list[Counts]) -> str:
    """The counts for reading, a row for each split and source."""
    kinds = [kind for kind in dict.fromkeys(kind for row in counts for kind in row.expressions) if kind != UNTYPED]
    rows = []
    for row in counts:
        sizes = [f"{size} ({videos})" for size, videos in row.sizes.items()]
        shown = ", ".join(sizes[:2]) + (f", {len(sizes) - 2} more" if len(sizes) > 2 else "")
        numbers = [row.videos, sum(row.expressions.values()), *(row.expressions[kind] for kind in kinds)]
        numbers += [row.tracks, row.frames]
        rows.append(
            [row.split if row.source == ALL_SOURCES else "", row.source, *(f"{number:,}" for number in numbers)]
            + [f"{row.objects_per_expression:.2f}", f"{row.annotated:.1%}", f"{row.coverage:.1%}", shown]
        )
    headers = ["split", "source", "videos", "expressions", *kinds, "tracks", "frames"]
    headers += ["objects per\nexpression", "annotated", "coverage", "sizes (videos)"]
    alignment = ["left", "left", *["right"] * (len(headers) - 3), "left"]
    return tabulate(rows, headers, colalign=alignment, disable_numparse=True)
