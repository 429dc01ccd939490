"""The wheel holds what the repository holds: no module, page or type is left behind, and nothing else comes along."""

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import revoskit

REPOSITORY = Path(__file__).parent.parent
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "requirements.txt", "revos.py", "revoskit"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy, since setuptools writes beside what it builds."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    made = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return zipfile.ZipFile(next(tree.glob("dist/*.whl")))


def test_every_file_of_the_package_is_in_the_wheel_and_no_other(wheel):
    ours = [REPOSITORY / "revos.py", *(REPOSITORY / "revoskit").rglob("*")]
    expected = {p.relative_to(REPOSITORY).as_posix() for p in ours if p.is_file() and "__pycache__" not in p.parts}
    assert {"revoskit/py.typed", "revoskit/__init__.pyi", "revoskit/looking/page/index.html"} <= expected
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_metadata_says_version_licenses_and_what_it_needs(wheel):
    metadata = message_from_bytes(wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))))
    assert metadata["Name"] == "revos-dataset"
    assert metadata["Version"] == revoskit.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "CC BY-NC-SA 4.0" in metadata["Summary"]
    needed = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").split()
    assert [one for one in metadata.get_all("Requires-Dist") if "extra ==" not in one] == needed


def test_the_license_travels_with_the_code(wheel):
    text = wheel.read(next(name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))).decode()
    assert text.splitlines() == (REPOSITORY / "LICENSE").read_text(encoding="utf-8").splitlines()
