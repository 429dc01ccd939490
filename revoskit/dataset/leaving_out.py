"""What `faults="skip"` leaves out of a split: the smallest unit that is wrong, and nothing else.

An expression goes that is faulty itself or names a track that is; such a track goes from its video; a video goes whose
entry cannot be read, or, where frames are looked at, one of whose frames is missing, broken off or of another shape.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from revoskit.atomic import write_whole
from revoskit.dataset.faults import OF_FRAMES, Fault, of_error
from revoskit.dataset.layout import SplitFiles
from revoskit.dataset.records import Video
from revoskit.dataset.tracks import Tracks
from revoskit.errors import AnnotationError, FrameError
from revoskit.frames import Frame, FrameMember
from revoskit.kinds import Kind
from revoskit.text import as_json

_READERS = 16  # frames looked at at a time: a disk, and a network more so, answers many at once


class LeftOut(msgspec.Struct):
    """How much was left out of a split, and each thing that was wrong."""

    expressions: int = 0
    tracks: int = 0
    videos: int = 0
    faults: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self.faults)

    def add(self, other: LeftOut) -> None:
        self.expressions += other.expressions
        self.tracks += other.tracks
        self.videos += other.videos
        self.faults += other.faults


def sound_part(video: Video, tracks: Tracks, files: SplitFiles) -> tuple[Video | None, LeftOut]:
    """A video less what is wrong with its masks; null where that is all of it."""
    faults: dict[int, Fault] = {}
    missing: set[int] = set()
    for annotation_id in video.annotation_ids:
        if str(annotation_id) not in tracks:
            missing.add(annotation_id)
        elif fault := _fault_of(video, annotation_id, tracks, files):
            faults[annotation_id] = fault
    wrong = missing | faults.keys()
    if not wrong:
        return video, LeftOut()
    found = list(faults.values())
    for expression in video.expressions:
        # one for each expression: a file may name any number of tracks that are not there
        if gone := [i for i in expression.annotation_ids if i in missing]:
            said = f"{len(gone):,} of its {len(expression.annotation_ids):,} tracks are not in {tracks.path.name}"
            place = {"file": str(tracks.path), "split": files.name, "video": video.video_id}
            found.append(
                Fault(
                    kind=Kind.TRACK_MISSING,
                    found=said,
                    expression=expression.expression_id,
                    track=str(gone[0]),
                    **place,
                )
            )
    kept = tuple(e for e in video.expressions if wrong.isdisjoint(e.annotation_ids))
    left_out = LeftOut(len(video.expressions) - len(kept), len(faults), faults=found)
    sound = tuple(track for track in video.objects().items() if track[0] not in wrong)
    return msgspec.structs.replace(video, expressions=kept, kept_tracks=sound), left_out


def _fault_of(video: Video, annotation_id: int, tracks: Tracks, files: SplitFiles) -> Fault | None:
    try:
        tracks.read(annotation_id, video)
    except AnnotationError as error:
        return of_error(error, files.name)
    return None


# --- frames -----------------------------------------------------------------------------------------------------------


def frame_faults(videos: Iterable[Video], files: SplitFiles, *, missing: bool = True) -> dict[str, list[Fault]]:
    """What is wrong with the frames that videos list, by id of the videos that are concerned.

    The header and the end of every frame are looked at, many at a time; of one on a server, only its length.

    Args:
        missing: count frames that are not there, too.
    """
    found: dict[str, list[Fault]] = {}
    with ThreadPoolExecutor(_READERS) as threads:
        for video, faults in threads.map(lambda video: (video, _of_video(video, files, missing)), videos):
            if faults:
                found[video.video_id] = faults
    return found


def _of_video(video: Video, files: SplitFiles, missing: bool) -> list[Fault]:
    place = {"split": files.name, "video": video.video_id}
    found = []
    gone = files.video_folder(video.video_id)
    for name, frame in zip(video.frame_names, files.frames(video), strict=True):
        if frame is not None and (wrong := _frame_fault(frame, video)):
            found.append(Fault(kind=wrong[0], found=wrong[1], file=frame.file or "", frame=name, **place))
        elif frame is None and missing:
            found.append(Fault(kind=Kind.FRAME_MISSING, file=str(gone / f"{name}.jpg"), frame=name, **place))
    return found


def _frame_fault(frame: Frame, video: Video) -> tuple[Kind, str] | None:
    try:
        if isinstance(frame, FrameMember) and frame.is_remote:  # to look at all would fetch all
            frame.require_plausible()
        else:
            frame.examine(video.height, video.width)
    except FrameError as error:
        return OF_FRAMES[error.fault], error.problem
    return None


# --- telling ----------------------------------------------------------------------------------------------------------


def tell(left_out: LeftOut, what: str, folder: Path) -> None:
    """Warn of what was left out, once, and write all of it to a file in a folder."""
    content = as_json(left_out, indent=2)
    path = folder / f"left-out-{hashlib.sha256(content).hexdigest()[:12]}.json"
    where = f"All of it: {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content + b"\n")
    except OSError as error:
        where = f"The list of all of it could not be written ({error}): set HF_HOME to a folder that can be"
    kinds = Counter(fault.kind for fault in left_out.faults)
    numbers = {name: getattr(left_out, f"{name}s") for name in ("expression", "track", "video")}
    much = ", ".join(f"{number:,} {name}{'s' * (number != 1)}" for name, number in numbers.items() if number)
    first = "; ".join(str(fault) for fault in itertools.islice(left_out.faults, 3))
    warnings.warn(
        f"faults='skip' has left {much or 'nothing'} out of {what}, for "
        f"{', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}: {first}"
        f"{'; …' if len(left_out.faults) > 3 else ''}. {where}",
        stacklevel=3,
    )
