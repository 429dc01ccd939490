"""Every test stands on a miniature of its own making; the caches of `datasets` go to a temporary folder."""

import os
import tempfile

os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="revos-tests-")  # read when `datasets` is first imported
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ.pop("REVOS_ROOT", None)

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from revoskit import miniature as miniatures
from revoskit.miniature import Miniature, write_miniature

settings.register_profile("patient", deadline=None)  # how long an example takes depends on who else uses the machine
settings.load_profile("patient")


LONG_FRAMES = miniatures.LONG_FRAMES


@pytest.fixture(scope="session", autouse=True)
def shorter_long_video():
    """The miniature's long video is less long, which takes a fifth of the time; see `really_long_video`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(miniatures, "LONG_FRAMES", 40)
        yield


@pytest.fixture(scope="module")
def really_long_video():
    """For tests that are about it, or about what is printed of a miniature as people have it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(miniatures, "LONG_FRAMES", LONG_FRAMES)
        yield


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Miniature:
    """Six small videos and a longer one, shared by all tests: to be read only."""
    return write_miniature(tmp_path_factory.mktemp("miniature") / "ReVOS", frames=6, height=72, width=128)


@pytest.fixture
def own_miniature(tmp_path) -> Miniature:
    """Four small videos that a test may spoil."""
    return write_miniature(tmp_path / "ReVOS", videos=4, frames=4, height=36, width=64)


@pytest.fixture
def edit_json() -> Callable:
    """`edit_json(path, change)`: parse, let `change` alter the content in place, and write it back."""

    def edit(path: Path, change: Callable) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    return edit
