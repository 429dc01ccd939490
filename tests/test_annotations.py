"""The official files become records to the letter, or an error that says what is wrong and where."""

import contextlib
import gzip
import io
import json
import pickle
import zipfile

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.expressions import read_expressions
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, TRACKS, Layout
from revoskit.dataset.records import Expression, ExpressionType, Video
from revoskit.errors import AnnotationError, RevosError


def everything(root, split="train"):
    """Read all there is of a split, as a builder would."""
    annotations = open_annotations(Layout.at(root), split)
    for video in annotations:
        masks = annotations.masks(video)
        masks.foreground()
        for expression in video.expressions:
            masks.of(expression)
    return annotations


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("content.json", content)
    return file.getvalue()


def test_records_hold_what_the_files_say(miniature):
    entry = json.loads((miniature.root / EXPRESSIONS["train"]).read_text(encoding="utf-8"))["videos"]
    annotations = everything(miniature.root)
    assert list(annotations.videos) == list(entry)
    for video in annotations:
        wanted = entry[video.video_id]
        assert (video.height, video.width) == (wanted["height"], wanted["width"])
        assert list(video.frame_names) == wanted["frames"]
        for expression, (key, value) in zip(video.expressions, wanted["expressions"].items(), strict=True):
            assert (expression.expression_id, expression.text) == (key, value["exp"])
            assert list(expression.object_ids) == value["obj_id"]
            assert list(expression.annotation_ids) == value["anno_id"]
            assert expression.type == value["type_id"]


def test_texts_keep_their_spaces_unicode_and_markup(miniature):
    video = everything(miniature.root).video("LV-VIS/train/01020")
    assert video.expressions[-1].text.startswith("das  ")
    assert "“<b>oben</b>” & links 🪁 " in video.expressions[-1].text


def test_masks_are_exactly_the_pixels_that_were_drawn(miniature):
    for split in EXPRESSIONS:
        annotations = everything(miniature.root, split)
        for video in annotations:
            masks = annotations.masks(video)
            for expression in video.expressions:
                wanted = np.zeros((len(video.frame_names), video.height, video.width), bool)
                for i in expression.annotation_ids:
                    wanted |= miniature.pixels[i]
                assert (masks.of(expression).decode() == wanted).all()
                assert None not in list(masks.of(expression))


def test_a_track_keeps_its_nulls_where_the_object_is_away(miniature):
    annotations = everything(miniature.root, "validation")
    video = annotations.video("OVIS/train/00e92ab4")
    track = annotations.masks(video).track(video.annotation_ids[2])
    assert [mask is None for mask in track] == [not frame.any() for frame in miniature.pixels[video.annotation_ids[2]]]
    assert None in list(track)


def test_the_foreground_is_read_and_where_it_is_absent_computed(own_miniature):
    read = everything(own_miniature.root)
    from_file = {video.video_id: read.masks(video).foreground().decode() for video in read}
    (own_miniature.root / FOREGROUND).unlink()
    computed = everything(own_miniature.root)
    for video in computed:
        assert (computed.masks(video).foreground().decode() == from_file[video.video_id]).all()


def test_equal_sets_of_tracks_are_united_once(miniature):
    annotations = everything(miniature.root)
    masks = annotations.masks(next(iter(annotations)))
    ids = annotations.video("LV-VIS/train/01020").annotation_ids
    assert masks.union(ids) is masks.union(list(reversed(ids)))


def test_annotations_travel_to_other_processes_as_a_place_to_read(miniature):
    annotations = everything(miniature.root)
    packed = pickle.dumps(annotations)
    assert len(packed) < 1000
    assert pickle.loads(packed).videos == annotations.videos


def test_files_are_read_once_until_they_change(own_miniature, edit_json):
    layout = Layout.at(own_miniature.root)
    before = open_annotations(layout, "train")
    assert open_annotations(layout, "train") is before
    edit_json(layout.split("train").expressions, lambda content: content["videos"].popitem())
    assert len(open_annotations(layout, "train").videos) == len(before.videos) - 1


def test_the_order_of_frames_in_the_file_is_kept(own_miniature, edit_json):
    def unsort(content):
        content["videos"]["LV-VIS/train/01020"]["frames"].reverse()

    edit_json(own_miniature.root / EXPRESSIONS["train"], unsort)
    assert everything(own_miniature.root).video("LV-VIS/train/01020").frame_names == (
        "00003",
        "00002",
        "00001",
        "00000",
    )


def test_the_object_of_a_track_is_what_the_first_expression_that_names_it_says():
    def expression(*pairs):
        objects, tracks = zip(*pairs, strict=True)
        return Expression("0", "x", ExpressionType.REFERRING, objects, tracks)

    video = Video("a", 1, 1, ("0",), (expression((1, 7)), expression((2, 7), (3, 8)), expression((4, 8))))
    assert [video.object_id(track) for track in (7, 8, 9)] == [1, 3, None]
    assert video.objects() == {7: 1, 8: 3}
    longer = Expression("0", "x", ExpressionType.REFERRING, (1,), (7, 9, 7))
    assert msgspec.structs.replace(video, expressions=(longer,)).objects() == {7: 1, 9: None}


def test_an_object_id_goes_up_to_what_its_column_holds(own_miniature, edit_json):
    def first_object(number):
        def change(content):
            expressions = content["videos"][VIDEO]["expressions"].values()
            entry = next(e for e in expressions if e["obj_id"])
            entry["obj_id"][0] = number

        return change

    edit_json(own_miniature.root / EXPRESSIONS["train"], first_object(2**31 - 1))
    named = {
        i
        for e in open_annotations(Layout.at(own_miniature.root), "train").video(VIDEO).expressions
        for i in e.object_ids
    }
    assert 2**31 - 1 in named
    edit_json(own_miniature.root / EXPRESSIONS["train"], first_object(2**31))
    with pytest.raises(AnnotationError, match="int"):
        open_annotations(Layout.at(own_miniature.root), "train")


VIDEO = "LV-VIS/train/01020"
MANY = {
    str(number): {
        "exp": "x",
        "obj_id": list(range(5001)),
        "anno_id": [5001 * number + i for i in range(5001)],
        "type_id": 0,
    }
    for number in range(2)
}
ADVICE = "Correct the file or get it anew"


def at_expression(**changes):
    def change(content):
        entry = content["videos"][VIDEO]["expressions"]["0"]
        for key, value in changes.items():
            if value is None:
                del entry[key]
            else:
                entry[key] = value

    return change


def at_video(**changes):
    return lambda content: content["videos"][VIDEO].update(changes)


def rename_video(name):
    return lambda content: content["videos"].update({name: content["videos"].pop(VIDEO)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at_expression(type_id=3), r"LV-VIS/train/01020', expression '0': Expected `int` <= 2 - at `\$.type_id`"),
        (at_expression(type_id="first"), r"expression '0'.*type_id"),
        (at_expression(exp=5), r"Expected `str`, got `int` - at `\$.exp`"),
        (at_expression(exp=None), r"expression '0'.*missing required field `exp`"),
        (at_expression(anno_id=["3003000a"]), r"Expected `int`, got `str` - at `\$.anno_id\[0\]`"),
        (at_expression(anno_id=[7]), r"no track '7', which expression '0' of video 'LV-VIS/train/01020' names"),
        (at_video(height="180"), r"Expected `int | null`, got `str` - at `\$.height`"),
        (at_video(height=0), r"height"),
        (at_video(height=35), r"frame '00000' \(number 0\): its size is \[36, 64\], expected \[35, 64\]"),
        (at_video(frames=list("abcde")), r"has 4 masks, expected one for each of the video's 5 frames"),
        (at_video(frames=[]), r"frames"),
        (at_expression(anno_id=[7] * 10_001), r"expression '0' names 10,001 tracks. At most 10,000 are read"),
        (at_expression(anno_id=list(range(10_001))), r"expression '0' names 10,001 tracks. At most 10,000 are read"),
        (at_video(expressions=MANY), r"LV-VIS/train/01020' names 10,002 tracks. At most 10,000 are read"),
        (at_video(frames=["../a", "b", "c", "d"]), r"frame '../a' is not a plain relative path"),
        (at_video(expressions=[]), r"Expected `object`, got `array`|expressions"),
        (at_video(expressions={"0": "a dog"}), r"expression '0': expected an object, found str"),
        (rename_video("../../etc"), r"video id '../../etc' is not a plain relative path"),
        (rename_video("/etc"), r"video id '/etc'"),
        (lambda content: content.pop("videos"), r"'videos': expected an object, found nothing"),
        (lambda content: content.update(videos=[]), r"'videos': expected an object, found list"),
    ],
)
def test_wrong_expressions_are_an_error_that_says_where(own_miniature, edit_json, change, message):
    file = own_miniature.root / EXPRESSIONS["train"]
    edit_json(file, change)
    with pytest.raises(AnnotationError, match=message) as error:
        everything(own_miniature.root)
    assert ".json" in str(error.value)
    assert str(error.value).count(ADVICE) == 1


def at_track(value):
    return lambda content: content.update({"3003000": value})


def cut_counts(content):
    content["3003000"][2]["counts"] = content["3003000"][2]["counts"][:-2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at_track([None] * 3), r"track 3003000 of video 'LV-VIS/train/01020' has 3 masks"),
        (at_track(5), r"track 3003000.*Expected `array`, got `int`"),
        (
            at_track([{"size": [36, 64], "counts": [2303]}] * 4),
            r"mask 0: its counts add up to 2303 pixels, expected 36x64",
        ),
        (at_track([[[1, 2, 3, 4, 5, 6]]] * 4), r"Expected `object | null`, got `array` - at `\$\[0\]`"),
        (at_track([None, {"size": [36, 64], "counts": ""}, None, None]), r"frame '00001' \(number 1\).*empty"),
        (cut_counts, r"frame '00002' \(number 2\)"),
        (lambda content: content.pop("3003000"), r"no track '3003000'.*SHA-256"),
    ],
)
def test_wrong_tracks_are_an_error_that_says_where(own_miniature, edit_json, change, message):
    edit_json(own_miniature.root / TRACKS, change)
    with pytest.raises(AnnotationError, match=message) as error:
        everything(own_miniature.root)
    assert TRACKS in str(error.value)
    assert str(error.value).count(ADVICE) == 1


@pytest.mark.parametrize("name", [EXPRESSIONS["train"], TRACKS])
@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>", lambda b: b + b"}"])
def test_a_broken_file_is_named_with_its_size_and_what_to_do(own_miniature, name, spoil):
    file = own_miniature.root / name
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(AnnotationError, match=rf"(?s){name} is not valid JSON.*bytes are here.*SHA-256.*{ADVICE}"):
        everything(own_miniature.root)


@pytest.mark.parametrize("name", ["mask_dict.json", EXPRESSIONS["train"]])
@pytest.mark.parametrize("pack", [gzip.compress, zipped], ids=["gzip", "zip"])
def test_a_compressed_file_is_called_so(own_miniature, name, pack):
    path = own_miniature.root / name
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(AnnotationError, match=rf"{name} is compressed, where plain JSON is expected: unpack it"):
        everything(own_miniature.root)


def test_a_folder_in_place_of_expressions_is_told_of_and_never_a_split_less(own_miniature):
    path = own_miniature.root / EXPRESSIONS["train"]
    path.unlink()
    path.mkdir()
    assert "train" in Layout.at(own_miniature.root).splits()
    with pytest.raises(AnnotationError, match="is a folder, where a file of JSON is expected"):
        everything(own_miniature.root)


@pytest.mark.parametrize("name", [EXPRESSIONS["train"], TRACKS])
def test_nesting_without_end_is_an_error_not_a_crash(own_miniature, name):
    (own_miniature.root / name).write_bytes(b'{"videos":' + b"[" * 200_000)
    with pytest.raises(AnnotationError, match="not valid JSON"):
        everything(own_miniature.root)


def test_a_number_without_end_is_an_error(tmp_path):
    file = tmp_path / EXPRESSIONS["train"]
    file.write_text('{"videos": ' + "1" * 10_000 + "}")
    with pytest.raises(AnnotationError, match="not valid JSON"):
        read_expressions(Layout.at(file.parent).split("train"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"videos": {"a/b": 1, "a/b": 2}}', r"'videos' has the key 'a/b' twice"),
        ('{"videos": {"a": {"height": 1, "height": 2}}}', r"video 'a' has the key 'height' twice"),
        (
            '{"videos": {"a": {"height": 1, "width": 1, "frames": ["0"], "expressions": {"0": 1, "0": 2}}}}',
            r"video 'a': 'expressions' has the key '0' twice",
        ),
        ('{"videos": {}, "videos": {}}', r"has the key 'videos' twice"),
        (r'{"videos": {"a": {"height": 1, "h\u0065ight": 1}}}', r"video 'a' has the key 'height' twice"),
        (r'{"videos": {"a": {"height": 1, "height": 1, "said": "\u003a"}}}', r"video 'a' has the key 'height' twice"),
    ],
)
def test_duplicate_keys_in_expressions_are_refused(tmp_path, text, message):
    file = tmp_path / EXPRESSIONS["train"]
    file.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_expressions(Layout.at(file.parent).split("train"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"videos"', '"version": NaN, "videos"', 1),
        lambda text: text.replace('"videos"', '"said": "12\\u003a30", "videos"', 1),
        lambda text: text.replace('"exp": "', '"said": "half: \\ud800", "exp": "', 1),
        lambda text: text.replace('"exp": "', '"said": {"a": 1, "a": 2}, "exp": "', 1),
    ],
    ids=["byte order mark", "not a number", "an escaped colon", "half a character", "a key twice that nobody reads"],
)
def test_what_only_the_lenient_parser_reads_gives_the_same_videos(own_miniature, change):
    files = Layout.at(own_miniature.root).split("train")
    sound = read_expressions(files)
    text = files.expressions.read_text(encoding="utf-8")
    assert change(text) != text
    files.expressions.write_text(change(text), encoding="utf-8")
    assert read_expressions(files) == sound


def every_track(root):
    for split in EXPRESSIONS:
        annotations = open_annotations(Layout.at(root), split)
        for video in annotations:
            annotations.masks(video).union(video.annotation_ids)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_duplicate_keys_among_tracks_are_refused(own_miniature, place):
    file = own_miniature.root / TRACKS
    members = json.loads(file.read_text())
    key = {"first": next(iter(members)), "middle": list(members)[3], "last": list(members)[-1]}[place]
    parts = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in members.items()]
    for position in (0, len(parts) // 2, len(parts)):
        doubled = parts[:position] + [f'"{key}" : []'] + parts[position:]
        file.write_text("{ " + " ,\n".join(doubled) + "}")
        with pytest.raises(AnnotationError, match=rf"track {key} .*there twice, .* at byte \d+ and at byte \d+"):
            every_track(own_miniature.root)


def test_half_a_surrogate_pair_is_refused(own_miniature):
    file = own_miniature.root / EXPRESSIONS["train"]
    file.write_text(file.read_text(encoding="utf-8").replace("every shape", "\\ud83e every shape"), encoding="utf-8")
    with pytest.raises(AnnotationError, match="surrogate"):
        everything(own_miniature.root)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(JSON | st.builds(lambda v: {"videos": v}, JSON) | st.builds(lambda v: {"videos": {"a": v}}, JSON))
def test_wild_expression_files_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / EXPRESSIONS["train"]
    file.write_text(json.dumps(content))
    try:
        videos = read_expressions(Layout.at(file.parent).split("train"))
    except RevosError:
        return
    assert all(video.frame_names for video in videos.values())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.integers(0, 10_000))
def test_a_tracks_file_with_foreign_bytes_is_read_or_refused(own_miniature, junk, position):
    file = own_miniature.root / TRACKS
    good = file.with_suffix(".good")
    if not good.exists():
        good.write_bytes(file.read_bytes())
    content = good.read_bytes()
    position %= len(content)
    file.write_bytes(content[:position] + junk + content[position + len(junk) :])
    with contextlib.suppress(AnnotationError):
        everything(own_miniature.root)


def test_types_have_the_names_that_the_field_uses():
    assert [kind.label for kind in ExpressionType] == ["referring", "reasoning", "nonexistent"]
