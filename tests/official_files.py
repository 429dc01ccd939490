"""A miniature that passes for the official release: its checksums stand in for those of the real files."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from huggingface_hub import constants

from revoskit.dataset import layout
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER
from revoskit.miniature import write_miniature


def release(folder: Path, monkeypatch, **options) -> Path:
    """The six files in `folder`, as official as a test can make them; the frames are in the archive alone."""
    made = folder.parent / f"{folder.name}-made"
    write_miniature(made, **({"videos": 4, "frames": 3, "height": 48, "width": 64} | options))
    folder.mkdir(parents=True)
    zip_frames(made, folder / FRAMES_ARCHIVE)
    for name in layout.SHA256:
        if name != FRAMES_ARCHIVE:
            (folder / name).write_bytes((made / name).read_bytes())
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(layout.SHA256, name, digest)
        monkeypatch.setitem(layout.SHA256_FIRST_RELEASE, name, hashlib.sha256(b"old " + name.encode()).hexdigest())
    monkeypatch.setattr(constants, "HF_HOME", str(folder.parent / "hf-home"))
    return folder


def zip_frames(root: Path, archive: Path, prefix: str = "", compression: int = zipfile.ZIP_DEFLATED) -> None:
    frames = root / FRAMES_FOLDER
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for path in sorted(frames.rglob("*.jpg")):
            opened.write(path, prefix + path.relative_to(frames).as_posix())


def split_archive(archive: Path, parts: int) -> None:
    """Split an archive as `zip -s` does: positions count from the beginning of the part they lie in."""
    with zipfile.ZipFile(archive) as opened:
        infos, start = opened.infolist(), opened.start_dir
    whole = archive.read_bytes()
    size = len(whole) // parts + 1
    cuts = [0]
    for info in sorted(infos, key=lambda info: info.header_offset):  # a header may not be cut through
        if info.header_offset - cuts[-1] > size:
            cuts.append(info.header_offset - 1)  # but what comes before it may
    marker = b"PK\7\x08"
    directory = bytearray(whole[start:])
    position = 0
    for _ in infos:
        offset = int.from_bytes(directory[position + 42 : position + 46], "little")
        part = max(i for i, cut in enumerate(cuts) if cut <= offset)
        place = offset - cuts[part] + (len(marker) if part == 0 else 0)
        directory[position + 34 : position + 36] = part.to_bytes(2, "little")
        directory[position + 42 : position + 46] = place.to_bytes(4, "little")
        lengths = [int.from_bytes(directory[position + i : position + i + 2], "little") for i in (28, 30, 32)]
        position += 46 + sum(lengths)
    last = len(cuts) - 1
    directory[position + 4 : position + 6] = directory[position + 6 : position + 8] = last.to_bytes(2, "little")
    directory[position + 16 : position + 20] = (start - cuts[last] + (len(marker) if last == 0 else 0)).to_bytes(
        4, "little"
    )
    whole = whole[:start] + bytes(directory)
    archive.unlink()
    for i, cut in enumerate(cuts):
        end = cuts[i + 1] if i < last else len(whole)
        name = archive if i == last else archive.with_suffix(f".z{i + 1:02d}")
        name.write_bytes((marker if i == 0 else b"") + whole[cut:end])
