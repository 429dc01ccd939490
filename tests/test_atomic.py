"""Files that appear only when they are whole, whoever else writes them."""

import pytest

from revoskit.atomic import whole


def test_two_writers_of_a_file_do_not_write_into_each_others(tmp_path):
    path = tmp_path / "shard.tar"
    with whole(path) as slow:
        slow.write(b"slow, ")
        with whole(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b"and whole")
    assert path.read_bytes() == b"slow, and whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("old")
    with pytest.raises(TypeError), whole(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
