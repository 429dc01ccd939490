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
