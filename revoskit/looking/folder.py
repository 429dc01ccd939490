"""The folder of a page: what may become one, what is left of an earlier one, its scripts, and copies of its frames.

FOLDER/index.html   opens from disk, without a server or the network
FOLDER/page/        style and scripts, as in revoskit/looking/page/
FOLDER/data/        what they read, and frames as small as a list shows them
FOLDER/frames/      small copies of the frames, where they were asked for; otherwise they are linked

A page from disk may not read files other than scripts, so the data files are scripts that call one function. What they
hold is data alone, and the page sets it as text: nothing that a dataset says can become markup.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import msgspec
from PIL import Image

from revoskit.atomic import is_of_lock, replacing, write_whole
from revoskit.dataset.layout import SplitFiles
from revoskit.errors import FrameError, UsageError
from revoskit.frames import Frame, FrameFile
from revoskit.text import as_json

JPEG_QUALITY = 82
_NAMED = re.compile(r'"page/([\w.]+)"')  # scripts and styles in an HTML file of ours


class Kind(enum.Enum):
    """The pages there are, by their HTML files."""

    GALLERY = "index.html"
    REVIEW = "review.html"

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def mark(self) -> str:
        """What tells an index.html of this kind from one that must not be written over."""
        return f'content="revoskit {self}"'


def write_script(path: Path, function: str, data: msgspec.Struct) -> None:
    """A script that calls `function` with the data, written so that no reader of HTML or of old JavaScript trips."""
    content = as_json(data).replace(b"</", b"<\\/").replace(b"<!", b"\\u003c!")
    content = content.replace("\u2028".encode(), b"\\u2028").replace("\u2029".encode(), b"\\u2029")
    write_whole(path, function.encode() + b"(" + content + b");\n")


def write_page(folder: Path, kind: Kind) -> list[str]:
    """The page itself, with the scripts and styles that it names; returns the files that it has under its folder."""
    page = files("revoskit.looking") / "page"
    html = (page / kind.value).read_bytes()
    parts = _NAMED.findall(html.decode())
    for name in parts:
        write_whole(folder / "page" / name, (page / name).read_bytes())
    write_whole(folder / "index.html", html)  # last: a page stands where all else does
    return [f"page/{name}" for name in parts]


def refuse_what_is_no_page(folder: Path, kind: Kind) -> None:
    """See that a folder is new, empty, or a page of this kind: it is emptied of what a new page does not have."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: expected a folder for the page, one that is new or empty")
    page = folder / "index.html"
    if not page.exists():
        names = os.listdir(folder) if folder.is_dir() else []
        found = min((name for name in names if not is_of_lock(name)), default=None)
        if found is not None:
            raise UsageError(
                f"{folder} is neither empty nor a {kind} (it holds {found!r}): name another folder, so that nothing "
                "of it is written over"
            )
    elif kind.mark not in page.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{page} is not a {kind}'s: name another folder, so that it is not written over")


def claim(folder: Path, kind: Kind) -> None:
    """Leave a first page that says it is being written, by which the folder of a run that is stopped is known again."""
    page = folder / "index.html"
    if not page.exists():
        words = "This page is being written, or its writing was stopped: the same command goes on with it."
        write_whole(
            page, f'<!doctype html>\n<meta charset="utf-8"><meta name="generator" {kind.mark}>\n<p>{words}\n'.encode()
        )


def remove_others(folder: Path, kept: Container[str]) -> None:
    """What an earlier page had in its own folders and this one has not."""
    for own in ("data", "frames", "page"):
        if (folder / own).is_symlink():  # what lies behind it was not written here
            continue
        for parent, _, names in os.walk(folder / own, topdown=False):
            for name in names:
                path = Path(parent, name)
                if path.relative_to(folder).as_posix() not in kept:
                    path.unlink()
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(parent)


def _address_of(target: Path, folder: Path) -> str:
    """The address of a folder as a page in `folder` links it."""
    try:
        return quote(Path(os.path.relpath(target, folder)).as_posix())
    except ValueError:  # on Windows, another drive
        return target.as_uri()


def _can_be_linked(frames: list[Frame | None]) -> bool:
    """Whether a page from disk shows them where they lie: no member of an archive, and no frame that browsers turn.

    Those of one video are all turned or none, as a camera was held.
    """
    there = [frame for frame in frames if frame is not None]
    try:
        return all(isinstance(frame, FrameFile) for frame in there) and not (there and there[0].is_turned())
    except FrameError:  # one that is broken shows as such, wherever it lies
        return True


@dataclass
class Placed:
    """A video's frames, where a page finds them."""

    address: str
    """Of their folder, as the page links it."""
    copies: list[str] = field(default_factory=list)
    """What was copied for that, under the page's folder, with slashes."""
    sizes: set[tuple[int, int]] = field(default_factory=set)
    """Every height and width that a copied frame has; of linked ones, that of the first."""


def _write_frames(names: Sequence[str], frames: list[Frame | None], folder: Path, max_side: int | None) -> Placed:
    """Copies of frames whose longer side is at most `max_side`; those that an earlier run finished are kept.

    A copy has its frame's modification time, by which it is known again. The result is relative to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    placed = Placed("")
    for name, frame in zip(names, frames, strict=True):
        if frame is None:
            continue
        placed.sizes.add(_write_copy(frame, folder / f"{name}.jpg", max_side))
        placed.copies.append(f"{name}.jpg")
    return placed


def _write_copy(frame: Frame, target: Path, max_side: int | None) -> tuple[int, int]:
    """A copy of a frame, unless there is one already; returns the frame's own height and width."""
    size, (_, modified) = frame.size(), frame.status()
    wanted = size if max_side is None else bounded(size, max_side)
    if _is_copy(target, wanted, modified):
        return size
    with replacing(target) as part:
        if wanted == size:
            part.write_bytes(frame.unturned())
        else:
            small = frame.image(wanted[::-1]).resize(wanted[::-1], Image.Resampling.BILINEAR, reducing_gap=2)
            small.save(part, "JPEG", quality=JPEG_QUALITY)
        os.utime(part, ns=(modified, modified))
    return size


def write_pictures(video_id: str, names: Sequence[str], files: SplitFiles, folder: Path, max_side: int) -> list[str]:
    """Frames of a video as small as a list shows them, where they can be read: a browser would read and decode each of
    a list's frames in full. Returns what was written, under the page's folder."""
    place = f"data/pictures/{video_id}"
    (folder / place).mkdir(parents=True, exist_ok=True)
    written = []
    for name, frame in zip(names, files.frames_named(video_id, names), strict=True):
        if frame is None:
            continue
        with contextlib.suppress(FrameError):  # one that is broken shows as such in the player
            _write_copy(frame, folder / place / f"{name}.jpg", max_side)
            written.append(f"{place}/{name}.jpg")
    return written


def bounded(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    scale = min(1, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _is_copy(target: Path, size: tuple[int, int], modified: int) -> bool:
    if not target.is_file() or target.stat().st_mtime_ns != modified:
        return False
    try:
        return FrameFile(str(target)).size() == size
    except FrameError:
        return False


def link_or_copy(video_id: str, names: Sequence[str], files: SplitFiles, folder: Path, max_side: int | None) -> Placed:
    """Give a page a video's frames: linked where they lie, or else copied."""
    frames = files.frames_named(video_id, names)
    if max_side is None and _can_be_linked(frames):
        first = next((frame for frame in frames if frame is not None), None)
        sizes = set()
        with contextlib.suppress(FrameError):  # one that is broken shows as such
            sizes = set() if first is None else {first.size()}
        return Placed(_address_of(files.video_folder(video_id), folder), sizes=sizes)
    place = f"frames/{video_id}"
    placed = _write_frames(names, frames, folder / place, max_side)
    return Placed(quote(place), [f"{place}/{name}" for name in placed.copies], placed.sizes)
