"""What `revoskit check --alignment --json` printed, read again, and said in plain words for whoever has to decide."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from revoskit.checking.alignment import BETTER, SUPPORTED, Alignment, Score, Verdict
from revoskit.dataset.layout import check_relative
from revoskit.errors import MissingFilesError, UsageError
from revoskit.regular import open_regular

HOW = "`revoskit check ROOT --alignment --json > report.json` writes one"


def read_report(path: str | os.PathLike[str]) -> list[Alignment]:
    """What was found about each video, as the check printed it.

    Raises:
        MissingFilesError: there is no such file.
        UsageError: it is no such report, or says two things about one video.
        AnnotationError: an id in it could lead out of the dataset's folder.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFilesError(f"there is no report {path}: {HOW}")
    with open_regular(path) as file:
        content = file.readall()
    if content.lstrip()[:1] == b"{":
        raise UsageError(f"{path} is a mapping file, which says nothing of why: expected a report of the check. {HOW}")
    try:
        report = msgspec.json.decode(content, type=list[Alignment])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no report of the check: {error}. {HOW}") from None
    seen: set[str] = set()
    for found in report:
        check_relative(found.video_id, f"{path}: video id", file=path, video=found.video_id)
        if found.video_id in seen:
            raise UsageError(f"{path} judges video {found.video_id!r} twice: expected the report of one check. {HOW}")
        seen.add(found.video_id)
    return report


class Fact(msgspec.Struct, frozen=True):
    """A number of the evidence, as filed and, where the proposal has its own, as proposed; and what it means."""

    name: str
    filed: str
    proposed: str | None
    meaning: str


def headline(found: Alignment) -> str:
    """What is wrong, in a sentence."""
    if found.verdict is Verdict.MISALIGNED:
        return "The masks fit other frames of the folder better"
    if found.verdict is Verdict.SHIFTED and found.shift:
        return f"The objects lie {_way(*found.shift)} of their masks" + (
            ", growing from nothing" if found.grows else ""
        )
    if found.verdict is Verdict.UNSUPPORTED:
        return "The masks lie on nothing that looks or moves like an object"
    if found.verdict is Verdict.OUTLINE:
        size = "large" if found.outline > 0 else "small"
        return f"The masks are drawn {abs(found.outline):.0f} pixels too {size}"
    return "Nothing was found" if found.verdict is Verdict.ALIGNED else "Too little to go by"


def _way(right: float, down: float) -> str:
    parts = [
        f"{abs(by):.0f} pixels {name}"
        for by, name in ((right, "right" if right > 0 else "left"), (down, "below" if down > 0 else "above"))
        if abs(by) >= 0.5
    ]
    return " and ".join(parts) or "less than a pixel beside"


def advice(found: Alignment) -> str:
    """What a person can do about it."""
    exclude = "exclude the video from the means, or keep it as filed."
    if found.verdict is Verdict.MISALIGNED:
        return (
            "Play it. Where the masks lie on their objects as proposed and not as filed, accept. Where they do so "
            "neither way, " + exclude
        )
    if found.verdict is Verdict.SHIFTED:
        return (
            "The frames are right: no mapping of masks to frames can mend it. The second picture has the masks "
            "moved by the way that was found. Where they lie on their objects there, " + exclude
        )
    if found.verdict is Verdict.UNSUPPORTED:
        return (
            "They may be another video's, which no mapping can mend. Where they lie on no object in any frame, "
            + exclude
        )
    return "The frames are right. It matters where boundaries are scored: there, " + exclude


def mapping_in_words(filed: Sequence[str], proposed: Sequence[str | None], folder: Sequence[str]) -> str:
    """Which frames the masks get, by the frames themselves rather than by what the check called it.

    Args:
        filed, proposed: the frame of each mask; null where it has none.
        folder: all frames of the folder, in order.
    """
    place = {name: number for number, name in enumerate(folder)}
    found = [(i, place[name]) for i, name in enumerate(proposed) if name is not None and name in place]
    by = [to - place[filed[i]] for i, to in found if filed[i] in place]
    steps = {(to - before) / (i - j) for (j, before), (i, to) in itertools.pairwise(found)}
    if by and len(set(by)) == 1 and len(by) == len(found):
        words = f"each mask goes to the frame {_later(by[0])}"
    elif len(steps) == 1 and (step := steps.pop()) == int(step):
        first, start = found[0]
        words = (
            f"mask {first + 1} goes to frame {folder[start]}, and each next one to the {_ordinal(int(step))} after it"
        )
    elif by:
        words = f"from the frame {_later(by[0])} for the first mask to the one {_later(by[-1])} for the last"
    else:
        words = "each mask goes to the frame that is shown"
    lost = sum(name is None for name in proposed)
    gone = f"; {lost} of {len(proposed)} masks have no frame then and are left out" if lost else ""
    return words + gone


def _later(by: int) -> str:
    if by == 0:
        return "that it has"
    return f"{abs(by)} {'later' if by > 0 else 'earlier'} in the folder"


def _ordinal(number: int) -> str:
    if number == 1:
        return "next"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def evidence(found: Alignment) -> list[Fact]:
    """The numbers that the verdict rests on, each with what it means."""
    filed, best = found.filed, found.best if found.mapping is not None else None
    facts = []
    if filed is not None:
        facts += [
            Fact(
                "edges under outlines",
                f"{filed.edges:.2f}",
                None if best is None else f"{best.edges:.2f}",
                "how strong edges of the picture are where outlines run; about 0 by chance",
            ),
            Fact(
                "motion",
                _motion(filed),
                None if best is None else _motion(best),
                "how well the picture moves as the masks do, up to 1; about 0 by chance, – where nothing moves",
            ),
            Fact(
                "support",
                f"{found.support:.1f}",
                None,
                "how much stronger these edges are than under the same outlines elsewhere, in standard errors: from "
                f"{SUPPORTED:g} on, masks lie where they belong",
            ),
        ]
    if best is not None:
        meaning = (
            f"in edges and motion, over {best.frames} frames: a mapping is proposed from {BETTER:g} standard errors on"
        )
        facts.append(Fact("advantage of the proposal", "", f"{best.z:.1f}", meaning))
    if found.verdict is Verdict.OUTLINE or (found.mapping is not None and abs(found.outline) >= 0.5):
        facts.append(
            Fact("outline", f"{found.outline:+.0f} px", None, "how far outside of edges outlines run; negative inside")
        )
    if found.confidence is not None:
        facts.append(
            Fact("sure", f"{found.confidence:.0%}", None, "how probable a fault is, if every second video had one")
            if found.verdict is not Verdict.OUTLINE
            else Fact("sure", f"{found.confidence:.0%}", None, "how probable it is that the frames are right")
        )
    facts.append(
        Fact(
            "looked at",
            f"{found.masks} masks",
            None,
            f"of {found.tracks} tracks; the folder has {found.folder_frames:,} frames",
        )
    )
    return facts


def _motion(score: Score) -> str:
    return "–" if score.motion is None else f"{score.motion:.2f}"
