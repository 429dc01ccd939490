"""A builder that writes tables writes the files that `datasets` makes of the same rows as examples."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

import revos
from revoskit.dataset.columns import expressions_features
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import TRACKS
from revoskit.dataset.tables import _of_length
from revoskit.miniature import write_miniature, write_sister

SMALL = {"frames": 3, "height": 20, "width": 28}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """With a frame that is not on disk, and a mapping that moves masks to other frames."""
    root = write_miniature(tmp_path_factory.mktemp("tables") / "ReVOS", **SMALL).root
    (root / "JPEGImages/MOSE/train/a1b2c3d4/00001.jpg").unlink()
    (root / "mapping.json").write_text(json.dumps({"LV-VIS/train/01020": ["00002", None, "00000"]}))
    return root


def built(tmp_path: Path, config: str, tables: bool, monkeypatch, *, family: str = REVOS, **options):
    """The files of a build with their content, and what the builder says of them."""
    how = {name: options.pop(name) for name in ("num_proc", "max_shard_size", "file_format") if name in options}
    monkeypatch.setattr(revos, "_WRITES_TABLES", revos._parameters_of_writing_tables() if tables else ())
    cache = tmp_path / str(tables)
    builder = revos.Revos(config_name=config, cache_dir=str(cache), family=family, **options)
    builder.download_and_prepare(**how)
    files = [path for path in sorted(cache.rglob("*")) if path.suffix in (".arrow", ".parquet")]
    return {path.name: read(path) for path in files}, builder.info


def read(path: Path) -> list[pa.RecordBatch]:
    """Its batches as `datasets` wrote them."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        return [pa.table(file.read_row_group(i)) for i in range(file.num_row_groups)]
    with pa.memory_map(str(path)) as source:
        return list(pa.ipc.open_stream(source))


def assert_equal(one, other) -> None:
    (files, info), (expected, wanted) = one, other
    assert files.keys() == expected.keys()
    for name, batches in files.items():
        assert [len(batch) for batch in batches] == [len(batch) for batch in expected[name]]
        for batch, rows in zip(batches, expected[name], strict=True):
            assert batch.schema.equals(rows.schema, check_metadata=True)
            assert batch.equals(rows)
            batch.validate(full=True)
    for name, split in wanted.splits.items():
        found = info.splits[name]
        assert (found.num_examples, found.shard_lengths) == (split.num_examples, split.shard_lengths)
        # Bitmaps of nulls count, which datasets 3 also makes where there are none.
        assert found.num_bytes == pytest.approx(split.num_bytes, rel=0.01)
    assert info.features == wanted.features


@pytest.mark.parametrize("config", ["expressions", "videos"])
@pytest.mark.parametrize(
    "options",
    [
        {"missing_frames": "keep"},
        {"missing_frames": "skip_video"},
        {"missing_frames": "keep", "writer_batch_size": 2, "max_shard_size": 1000},
        {"missing_frames": "keep", "writer_batch_size": 1},
        {"missing_frames": "keep", "num_proc": 2},
        {"missing_frames": "skip_video", "file_format": "parquet", "writer_batch_size": 5},
        {"missing_frames": "keep", "alignment": "mapping.json"},
        {"missing_frames": "keep", "decode_frames": True},
    ],
    ids=str,
)
def test_tables_are_the_examples(data, tmp_path, monkeypatch, config, options):
    if "alignment" in options:
        options = options | {"alignment": str(data / options["alignment"])}
    ways = [built(tmp_path, config, way, monkeypatch, data_dir=str(data), **options) for way in (True, False)]
    assert_equal(*ways)
    if "max_shard_size" in options:
        assert len(ways[0][0]) > 3


@pytest.mark.parametrize("config", ["expressions", "videos"])
def test_tables_leave_out_what_examples_leave_out(data, tmp_path, monkeypatch, config):
    copy = Path(shutil.copytree(data, tmp_path / "ReVOS"))
    tracks = json.loads((copy / TRACKS).read_text())
    tracks["3003000"] = tracks["3003000"][:-1]
    (copy / TRACKS).write_text(json.dumps(tracks))
    options = {"data_dir": str(copy), "missing_frames": "keep", "faults": "skip"}
    files, info = built(tmp_path, config, True, monkeypatch, **options)
    assert_equal((files, info), built(tmp_path, config, False, monkeypatch, **options))
    if config == "expressions":
        assert info.splits["train"].num_examples < 3 * 7 + 1, "those of the track go"


@pytest.mark.parametrize("family", ["mevis", "mevis_v2", "lv_vis", "fevos", "ref_sav", "groundmore", "long_rvos"])
def test_tables_of_sister_datasets_are_the_examples(tmp_path, monkeypatch, family):
    root = write_sister(tmp_path / family, family, **SMALL).root
    for config in ("expressions", "videos"):
        options = {"data_dir": str(root), "family": family}
        assert_equal(*(built(tmp_path / config, config, way, monkeypatch, **options) for way in (True, False)))


def test_tables_are_what_is_written_as_a_rule(data, tmp_path, monkeypatch):
    assert revos._parameters_of_writing_tables(), "this version of datasets has another method to write tables"
    monkeypatch.setattr("revos.expression_example", None)
    monkeypatch.setattr("revos.video_example", None)
    files, _ = built(tmp_path, "videos", True, monkeypatch, data_dir=str(data), missing_frames="keep")
    assert files


def test_features_of_the_users_own_are_left_to_datasets(data, tmp_path, monkeypatch):
    features = Features({**expressions_features(), "height": Value("int64"), "expression": Value("large_string")})
    options = {"data_dir": str(data), "missing_frames": "keep", "features": features}
    files, info = built(tmp_path, "expressions", True, monkeypatch, **options)
    assert info.features == features
    assert next(iter(files.values()))[0].schema.field("height").type == pa.int64()


def test_a_datasets_that_writes_tables_in_another_way_gets_examples(monkeypatch):
    monkeypatch.setattr("datasets.ArrowBasedBuilder._prepare_split_single", lambda self, gen_kwargs, path: None)
    assert not revos._parameters_of_writing_tables()
    monkeypatch.delattr("datasets.ArrowBasedBuilder._prepare_split_single")
    assert not revos._parameters_of_writing_tables()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_rows_are_put_into_tables_of_one_length(rows):
    lengths = [3, 1, 0, 8, 2]
    numbers = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    tables = list(_of_length((pa.table({"n": part}) for part in numbers), rows))
    assert [table.num_rows for table in tables[:-1]] == [rows] * (sum(lengths) // rows - (sum(lengths) % rows == 0))
    assert pa.concat_tables(tables)["n"].to_pylist() == list(range(sum(lengths)))
