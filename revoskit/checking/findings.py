"""What can be wrong with a copy of the dataset: the kinds, how grave each is, and how findings are gathered and shown.

There may be a finding for every mask of a copy, so they are counted where they are found; a few are kept as examples.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
EXAMPLES = 5


class Kind(NamedTuple):
    """`error`: loading it fails or gives wrong data. `warning`: probably not meant. `note`: good to know."""

    severity: str
    says: str


KINDS = {
    "file-missing": Kind(ERROR, "a file without which nothing can be loaded is missing"),
    "file-unreadable": Kind(ERROR, "an annotation file cannot be read"),
    "entry-malformed": Kind(ERROR, "an entry is not in the official format"),
    "frames-duplicate": Kind(ERROR, "a video lists a frame twice"),
    "objects-uneven": Kind(ERROR, "an expression has not as many objects as tracks"),
    "track-missing": Kind(ERROR, "a track that an expression names is not in mask_dict.json"),
    "track-shared": Kind(ERROR, "a track is named in more than one video"),
    "track-malformed": Kind(ERROR, "a track is not a list of masks and nulls"),
    "track-length": Kind(ERROR, "a track has not one entry for each frame"),
    "mask-size": Kind(ERROR, "a mask's size is not the video's"),
    "mask-runs": Kind(ERROR, "a mask's run lengths are not valid"),
    "foreground-malformed": Kind(ERROR, "an entry of mask_dict_foreground.json is not in the official format"),
    "foreground-length": Kind(ERROR, "a foreground has not one mask for each frame"),
    "foreground-mask": Kind(ERROR, "a foreground mask's size or run lengths are not valid"),
    "frame-missing": Kind(ERROR, "a listed frame is not on disk"),
    "frame-unreadable": Kind(ERROR, "a frame is not a JPEG image that can be read"),
    "frame-truncated": Kind(ERROR, "a JPEG breaks off before its end"),
    "frame-damaged": Kind(ERROR, "a JPEG's data cannot be decoded without gaps"),
    "frame-size": Kind(ERROR, "a JPEG's size is not the video's"),
    "video-twice": Kind(WARNING, "a video is in both train and validation"),
    "subset-differs": Kind(WARNING, "a video of train_sub is not in train, or differs there"),
    "video-without-expressions": Kind(WARNING, "a video has no expression"),
    "frames-unsorted": Kind(WARNING, "a video's frames are not listed in their names' order"),
    "expression-blank": Kind(WARNING, "an expression has no text"),
    "expression-without-tracks": Kind(WARNING, "an expression of an object that is there names no track"),
    "nonexistent-with-tracks": Kind(WARNING, "an expression of an absent object names tracks"),
    "track-repeated": Kind(WARNING, "an expression names a track twice"),
    "object-differs": Kind(WARNING, "a track is given to different objects of its video"),
    "track-unnamed": Kind(WARNING, "no expression names a track"),
    "track-empty": Kind(WARNING, "a track has no mask in any frame"),
    "foreground-absent": Kind(WARNING, "a video is not in mask_dict_foreground.json"),
    "foreground-null": Kind(WARNING, "a foreground mask is null"),
    "foreground-differs": Kind(WARNING, "a foreground mask is not the union of the video's tracks"),
    "foreground-ratio": Kind(WARNING, "a foreground ratio is not the share that the mask covers"),
    "file-absent": Kind(NOTE, "a file is not here; what depends on it is left out"),
    "mask-blank": Kind(NOTE, "a mask that is not null covers no pixel"),
    "foreground-extra": Kind(NOTE, "mask_dict_foreground.json has a video that no split here has"),
    "frames-unlisted": Kind(NOTE, "a video's folder holds JPEGs that are not listed"),
    "folder-unlisted": Kind(NOTE, "a folder holds JPEGs of no video that is listed"),
}


class Example(msgspec.Struct, order=True, omit_defaults=True):
    """One finding: where, and what was found there."""

    split: str = ""
    video: str = ""
    expression: str = ""
    track: str = ""
    frame: str = ""
    found: str = ""

    def __str__(self) -> str:
        place = [self.split, self.video]
        place += [f"{what} {getattr(self, what)}" for what in ("expression", "track", "frame") if getattr(self, what)]
        return ": ".join(text for text in (" · ".join(part for part in place if part), self.found) if text)


class Finding(msgspec.Struct):
    """All findings of one kind."""

    kind: str
    severity: str
    says: str
    count: int
    videos: int
    examples: list[Example]


class _Group(msgspec.Struct):
    count: int = 0
    videos: set[str] = msgspec.field(default_factory=set)
    examples: list[Example] = msgspec.field(default_factory=list)


class Tally:
    """Findings as they come in, from one process or from many; the first examples by place are kept."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(
        self,
        kind: str,
        found: str = "",
        count: int = 1,
        *,
        split: str = "",
        video: str = "",
        expression: str = "",
        track: str = "",
        frame: str = "",
    ) -> None:
        """Note something that was found `count` times, and where."""
        example = Example(split, video, expression, track, frame, found)
        self._merge(kind, _Group(count, {example.video} - {""}, [example]))

    def merge(self, other: Tally) -> None:
        for kind, group in other._groups.items():
            self._merge(kind, group)

    def _merge(self, kind: str, more: _Group) -> None:
        group = self._groups.setdefault(kind, _Group())
        group.count += more.count
        group.videos |= more.videos
        group.examples = sorted([*group.examples, *more.examples])[:EXAMPLES]

    def findings(self) -> list[Finding]:
        """By kind, the gravest first."""
        return [
            Finding(name, kind.severity, kind.says, group.count, len(group.videos), group.examples)
            for name, kind in sorted(KINDS.items(), key=lambda item: SEVERITIES.index(item[1].severity))
            if (group := self._groups.get(name))
        ]


def describe(findings: list[Finding]) -> str:
    """Findings for reading."""
    lines = []
    for finding in findings:
        videos = f" in {finding.videos:,} video{'s' * (finding.videos != 1)}" if finding.videos else ""
        lines.append(f"{finding.severity.upper()}  {finding.kind}: {finding.says}  ({finding.count:,}{videos})")
        lines += [f"    {example}" for example in finding.examples]
        if finding.count > len(finding.examples) > 1:
            lines.append("    …")
    return "\n".join(lines)
