"""Which videos are reported, on videos that were made with a known fault, or with none."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revoskit import cli
from revoskit.checking import alignment
from revoskit.checking.alignment import Verdict, examine, find_misaligned
from revoskit.checking.evidence import Gain
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, TRACKS, Layout
from revoskit.dataset.remapping import Linear, apply_mapping, read_mapping
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from planted import Case, write_planted

CASES = [
    Case("aligned", 909),
    Case("stride 2-20", 928),
    Case("offset", 924),
    Case("drift in time", 920),
    Case("drift in space", 941),
    Case("other video", 934),
    Case("aligned", 909, "larger 1"),
    Case("offset", 924, "larger 1"),
    Case("aligned", 909, "smaller 1.5"),
    Case("shift", 928),
]
EXPECTED = {"drift in space": Verdict.SHIFTED, "other video": Verdict.UNSUPPORTED, "shift": Verdict.SHIFTED}
VIDEO = "LV-VIS/train/01020"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    truths = write_planted(root, CASES)
    layout = Layout.at(root)
    return layout, truths, {found.video_id: found for found in find_misaligned(layout, ["train"])}


def refile(root: Path, listed: list[int], made_for: list[int | None]) -> None:
    """File the miniature's first video anew: as masks of the frames `listed` those that belong to `made_for`."""
    path = root / EXPRESSIONS["train"]
    content = json.loads(path.read_text())
    video = content["videos"][VIDEO]
    tracks = json.loads((root / TRACKS).read_text())
    for anno in {str(i) for e in video["expressions"].values() for i in e["anno_id"]}:
        tracks[anno] = [None if i is None else tracks[anno][i] for i in made_for]
    video["frames"] = [f"{i:05d}" for i in listed]
    content["videos"] = {VIDEO: video}
    path.write_text(json.dumps(content))
    (root / TRACKS).write_text(json.dumps(tracks))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.video_id)
def test_a_planted_fault_is_reported_and_a_sound_video_is_not(planted, case):
    sound = Verdict.ALIGNED if case.drawn == "exact" else Verdict.OUTLINE
    found = planted[2][case.video_id]
    assert found.verdict == EXPECTED.get(case.kind, sound if case.kind == "aligned" else Verdict.MISALIGNED)


@pytest.mark.parametrize("case", [c for c in CASES if c.kind in ("stride 2-20", "offset", "drift in time")])
def test_the_mapping_that_was_planted_is_the_one_that_is_named(planted, case):
    layout, truths, found = planted
    folder = layout.split("train").folder_frames(case.video_id)
    video = open_annotations(layout, "train").video(case.video_id)
    names = apply_mapping(found[case.video_id].mapping, video, folder)
    pairs = zip(names, truths[case.video_id].truth, strict=True)
    off = [abs(folder.index(name) - t) for name, t in pairs if name is not None and t >= 0]
    assert np.median(off) <= 1


def test_what_is_reported_comes_with_its_evidence(planted):
    found = planted[2][CASES[1].video_id]
    assert found.best.z >= alignment.BETTER
    assert found.best.edges > found.filed.edges
    assert found.filed in found.scores
    assert found.best in found.scores
    assert found.best.frames >= 5


@pytest.mark.parametrize(("case", "share"), [(CASES[6], 0.01), (CASES[7], 0.01), (CASES[8], -0.015)])
def test_by_how_much_masks_are_drawn_too_large_or_too_small_is_said(planted, case, share):
    layout, _, found = planted
    width = open_annotations(layout, "train").video(case.video_id).width
    assert found[case.video_id].outline == pytest.approx(share * width, abs=2.5)


def test_where_objects_lie_from_shifted_masks_is_said(planted):
    _, truths, found = planted
    case = next(case for case in CASES if case.kind == "shift")
    assert np.abs(np.add(found[case.video_id].shift, truths[case.video_id].moved)).max() <= 3


def test_a_shift_that_grows_is_named_as_such(planted):
    _, truths, found = planted
    case = next(case for case in CASES if case.kind == "drift in space")
    assert "growing" in found[case.video_id].note
    assert np.abs(np.add(found[case.video_id].shift, truths[case.video_id].moved)).max() <= 6


def test_every_verdict_but_undecided_says_how_sure_it_is(planted):
    for found in planted[2].values():
        assert (found.confidence is None) == (found.verdict is Verdict.UNDECIDED)
    assert planted[2][CASES[1].video_id].confidence > 0.8
    assert planted[2][CASES[0].video_id].confidence > 0.9


def test_what_would_have_been_seen_is_said(planted):
    assert planted[2][CASES[0].video_id].sees in (1, 2, 4, 8, 16)


def test_where_nothing_moves_frames_cannot_be_told_apart(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=1)
    layout = Layout.at(tmp_path / "ReVOS")
    refile(layout.root, list(range(12)), [3] * 12)
    first = layout.split("train").video_folder(VIDEO) / "00003.jpg"
    for frame in layout.split("train").video_folder(VIDEO).iterdir():
        if frame != first:
            shutil.copyfile(first, frame)
    found = examine(layout, "train", VIDEO)
    assert (found.verdict, found.sees, found.mapping) == (Verdict.UNDECIDED, None, None)
    assert "nothing moves enough" in found.note


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """Eleven masks that belong to every thirtieth frame of their folder, filed under its first eleven frames."""
    root = tmp_path_factory.mktemp("sparse") / "ReVOS"
    write_miniature(root, videos=1, frames=330, height=90, width=160)
    refile(root, list(range(11)), list(range(0, 330, 30)))
    return root


def test_every_thirtieth_frame_of_the_folder_is_found(sparse):
    found = examine(Layout.at(sparse), "train", VIDEO)
    assert (found.verdict, found.mapping) == (Verdict.MISALIGNED, Linear(30, 0, 330))


def test_masks_that_are_given_for_fewer_frames_than_listed_count_alone(sparse, tmp_path):
    shutil.copytree(sparse, tmp_path / "ReVOS", symlinks=True)
    refile(tmp_path / "ReVOS", list(range(330)), [*range(11), *[None] * 319])
    found = examine(Layout.at(tmp_path / "ReVOS"), "train", VIDEO)
    assert (found.verdict, found.mapping) == (Verdict.MISALIGNED, Linear(30, 0, 330))


def test_the_miniature_is_aligned(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=3)
    layout = Layout.at(tmp_path / "ReVOS")
    found = find_misaligned(layout, layout.splits(), num_proc=2)
    assert [a.verdict for a in found] == [Verdict.ALIGNED] * 3  # train_sub repeats a video of train: once
    assert alignment.better_mappings(found) == {}


def test_too_little_to_go_by_is_said_and_is_no_fault(tmp_path):
    write_miniature(tmp_path / "short", videos=1, frames=3)
    found = examine(Layout.at(tmp_path / "short"), "train", VIDEO)
    assert (found.verdict, found.note) == (Verdict.UNDECIDED, "fewer than 5 frames have masks")
    write_miniature(tmp_path / "bare", videos=1)
    for frame in (tmp_path / "bare/JPEGImages" / VIDEO).iterdir():
        frame.unlink()
    assert "not on disk" in examine(Layout.at(tmp_path / "bare"), "train", VIDEO).note


@pytest.mark.parametrize("size", [(1, 400), (400, 2), (90, 160)])
def test_masks_or_frames_too_small_for_any_outline_are_no_fault(tmp_path, size):
    write_miniature(tmp_path / "ReVOS", videos=1)
    layout = Layout.at(tmp_path / "ReVOS")
    refile(layout.root, list(range(12)), [0] * 12)
    content = json.loads((layout.root / EXPRESSIONS["train"]).read_text())
    content["videos"][VIDEO] |= {"height": size[0], "width": size[1]}
    (layout.root / EXPRESSIONS["train"]).write_text(json.dumps(content))
    pixels = np.zeros((12, *size), np.uint8)
    pixels[:, 0, :1] = 1
    tracks = {anno: list(MaskSequence.encode(pixels)) for anno in json.loads((layout.root / TRACKS).read_text())}
    (layout.root / TRACKS).write_text(json.dumps(tracks))
    for frame in layout.split("train").video_folder(VIDEO).iterdir():
        Image.new("RGB", size[::-1]).save(frame)
    found = examine(layout, "train", VIDEO)
    assert (found.verdict, found.note) == (Verdict.UNDECIDED, "too few outlines to go by")


def test_a_broken_frame_or_track_leaves_its_video_undecided(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=1)
    layout = Layout.at(tmp_path / "ReVOS")
    frame = layout.split("train").video_folder(VIDEO) / "00004.jpg"
    frame.write_bytes(frame.read_bytes()[:900])
    found = examine(layout, "train", VIDEO)
    assert found.verdict == Verdict.UNDECIDED
    assert "00004.jpg" in found.note
    tracks = json.loads(layout.split("train").tracks.read_text())
    layout.split("train").tracks.write_text(json.dumps({anno: track[:-1] for anno, track in tracks.items()}))
    assert "expected one for each" in examine(layout, "train", VIDEO).note


def test_frames_of_another_size_than_the_annotations_say_are_compared_all_the_same(tmp_path):
    write_miniature(tmp_path / "ReVOS", videos=1)
    layout = Layout.at(tmp_path / "ReVOS")
    for path in layout.split("train").video_folder(VIDEO).iterdir():
        Image.open(path).resize((640, 360)).save(path)
    assert examine(layout, "train", VIDEO).verdict == Verdict.ALIGNED


def test_a_gain_that_agrees_over_frames_is_sure_and_one_of_noise_is_not():
    rng = np.random.default_rng(0)
    assert abs(Gain.of(rng.normal(0, 1, 24), np.ones(24), 0.05).z) < 3
    assert Gain.of(1 + rng.normal(0, 0.3, 24), np.ones(24), 0.05).z > 5
    assert Gain.of(np.ones(2), np.ones(2), 0.05).z == 0


def test_frames_that_resemble_the_ones_before_count_for_less():
    rng = np.random.default_rng(0)
    apart = 0.2 + rng.normal(0, 0.3, 24)
    assert Gain.of(np.sort(apart), np.ones(24), 0.05).z < 0.6 * Gain.of(apart, np.ones(24), 0.05).z


def test_a_small_difference_does_not_count_for_being_constant():
    assert Gain.of(np.full(24, 0.004), np.ones(24), 0.05).z < 0.5


def test_the_command_reports_writes_mappings_and_says_so_in_its_exit_status(sparse, tmp_path, capsys):
    output = tmp_path / "proposed.json"
    assert cli.main(["check", str(sparse), "--alignment", "--split", "train", "--output", str(output)]) == 1
    printed = capsys.readouterr().out
    assert "stride 30" in printed
    assert "1 videos: 1 misaligned" in printed
    assert read_mapping(output) == {VIDEO: Linear(30, 0, 330)}
    write_miniature(tmp_path / "sound", videos=1)
    assert cli.main(["check", str(tmp_path / "sound"), "--alignment", "--json"]) == 0
    assert [entry["verdict"] for entry in json.loads(capsys.readouterr().out)] == ["aligned"]


def test_where_nothing_is_found_the_command_writes_no_mappings_and_says_so(tmp_path, capsys):
    write_miniature(tmp_path / "ReVOS", videos=1)
    output = tmp_path / "proposed.json"
    assert cli.main(["check", str(tmp_path / "ReVOS"), "--alignment", "--output", str(output)]) == 0
    assert not output.exists()
    assert "No better mapping was found" in capsys.readouterr().err


def test_the_command_says_why_videos_are_undecided_and_fails_where_all_are(tmp_path, capsys):
    write_miniature(tmp_path / "ReVOS", videos=3)
    command = ["check", str(tmp_path / "ReVOS"), "--alignment"]
    frame = Layout.at(tmp_path / "ReVOS").split("train").video_folder(VIDEO) / "00004.jpg"
    frame.write_bytes(frame.read_bytes()[:900])
    assert cli.main(command) == 0
    assert f"undecided, 1 video ({VIDEO}): cannot read" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "ReVOS" / "JPEGImages")
    assert cli.main(command) == 2
    assert "undecided, 3 videos (" in (printed := capsys.readouterr().out)
    assert "the frames that the annotations list are not on disk" in printed


def test_a_folder_for_the_mappings_that_is_not_there_is_told_before_the_work(sparse, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alignment, "find_misaligned", None)
    command = ["check", str(sparse), "--alignment", "--output", str(tmp_path / "nowhere" / "proposed.json")]
    assert cli.main(command) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
