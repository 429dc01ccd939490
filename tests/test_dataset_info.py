"""`dataset_infos/` is what the code declares, and never stands in the way of loading."""

import json
from pathlib import Path

import pytest
from datasets import DatasetInfo

import revos
from revoskit.dataset.layout import SHA256
from revoskit.publishing import dataset_info

FOLDER = Path(__file__).parent.parent / "dataset_infos"


@pytest.mark.parametrize("config", list(revos.Revos.builder_configs))
def test_the_files_are_current(config):
    declared = dataset_info.as_json(dataset_info.as_dict(revos.Revos(config_name=config).info))
    assert (FOLDER / config / "dataset_info.json").read_text(encoding="utf-8") == declared, (
        "run `revoskit info --write`"
    )


@pytest.mark.parametrize("config", list(revos.Revos.builder_configs))
def test_datasets_reads_them_back_with_the_same_features(config):
    read = DatasetInfo.from_directory(str(FOLDER / config))
    assert read.features == revos.Revos(config_name=config).info.features
    assert read.license == revos.LICENSE


def test_they_hold_the_official_checksums_and_mark_the_counts_as_published():
    content = json.loads((FOLDER / "expressions" / "dataset_info.json").read_text(encoding="utf-8"))
    assert {name: entry["checksum"] for name, entry in content["download_checksums"].items()} == SHA256
    assert content["published"]["expressions"]["total"] == 35_074
    assert "splits" not in content, "counts that `datasets` would hold a partial copy against"
