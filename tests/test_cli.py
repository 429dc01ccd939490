"""The command, as it is typed."""

import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from revoskit.cli import main


def test_demo_loads_its_own_miniature_and_draws_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time it finds what the first one made
        assert main(["demo"]) == 0
        printed = capsys.readouterr().out
        assert "load_dataset(" in printed
        assert "validation" in printed
        assert "one of referring, reasoning, nonexistent" in printed
        assert "Its masks on its frames: " in printed
    assert Image.open(tmp_path / "revos-demo" / "overlay.png").size == (3 * 320, 180)


def test_stats_prints_a_table_or_json(miniature, capsys):
    assert main(["stats", "--data-dir", str(miniature.root)]) == 0
    assert "OVIS" in capsys.readouterr().out
    assert main(["stats", "--data-dir", str(miniature.root), "--split", "train", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["split"] for row in rows} == {"train"}
    assert rows[0]["videos"] == 3


def test_info_prints_and_writes_what_the_dataset_declares(tmp_path, capsys):
    assert main(["info"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["expressions", "videos"]
    assert main(["info", "--write", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*/dataset_info.json"))) == 2


@pytest.mark.parametrize("arguments", [["stats"], ["stats", "--data-dir", "nowhere"]])
def test_an_error_is_one_message_and_exit_status_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("revoskit stats: ")
    assert "Traceback" not in printed.err


def test_a_reader_that_stops_early_is_no_error(miniature):
    command = f"{sys.executable} -m revoskit.cli info | head -n 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert run.stdout == "{\n"
    assert run.stderr == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    names = "demo stats info verify download unpack check evaluate show gallery publish export"
    assert re.findall(r"^    (\w+) ", printed, re.MULTILINE) == names.split()


def test_a_closed_output_is_no_error(own_miniature):
    code = "import sys; from revoskit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "stats", "--data-dir", str(own_miniature.root), "--json"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
