"""What is measured of one mask on one frame, on pictures where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from revoskit.checking import mask_fit
from revoskit.frames import FrameFile
from revoskit.masks.rle import MaskSequence

HEIGHT, WIDTH = 120, 200


def disk(y: float, x: float, radius: float = 25, shape=(HEIGHT, WIDTH)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def picture(mask: np.ndarray, contrast: float = 40, noise: float = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = 110 + contrast * mask + rng.normal(0, noise, (3, *mask.shape))
    return pixels.clip(0, 255).astype(np.uint8)


def fits(frame: np.ndarray, outline: mask_fit.Outline) -> np.ndarray:
    return mask_fit.edge_fits(mask_fit.edge_profile(mask_fit.Changes.of(frame), outline))


def middle(values: np.ndarray) -> float:
    return float(values[len(values) // 2])


def test_an_outline_on_its_edge_fits_and_one_beside_it_does_not():
    frame = picture(disk(60, 90))
    on = middle(fits(frame, mask_fit.outline(disk(60, 90))))
    beside = middle(fits(frame, mask_fit.outline(disk(60, 96))))
    assert on > 0.3
    assert beside < on - 0.2


@pytest.mark.parametrize("grown", [-5, -3, 0, 4, 5])
def test_the_edge_is_found_inside_of_an_outline_that_is_too_large_and_outside_of_one_too_small(grown):
    shape = (360, 480)  # outlines reach further in wider frames
    frame = picture(disk(180, 240, 60, shape))
    found = fits(frame, mask_fit.outline(disk(180, 240, 60 + grown, shape)))
    assert int(found.argmax()) - len(found) // 2 == pytest.approx(-grown, abs=1)


def test_outlines_reach_two_percent_of_the_width_to_both_sides():
    frame, outline = picture(disk(60, 90)), mask_fit.outline(disk(60, 90))
    assert fits(frame, outline).shape == (2 * mask_fit.reach(WIDTH) + 1,)
    assert mask_fit.reach(WIDTH) >= 0.02 * WIDTH


def test_edges_are_about_as_strong_everywhere_where_there_is_only_noise():
    outline = mask_fit.outline(disk(60, 90))
    found = [fits(picture(disk(60, 90), contrast=0, seed=i), outline) for i in range(20)]
    assert np.abs(np.mean(found, axis=0)).max() < 0.02


def test_the_edge_fit_hardly_depends_on_contrast():
    outline = mask_fit.outline(disk(60, 90))
    weak, strong = (middle(fits(picture(disk(60, 90), contrast, noise=0), outline)) for contrast in (40, 120))
    assert weak == pytest.approx(strong, rel=0.25)


def test_what_a_frame_cuts_off_is_no_edge_and_small_masks_have_no_outline():
    assert mask_fit.outline(np.ones((HEIGHT, WIDTH), bool)) is None
    assert mask_fit.outline(np.zeros((HEIGHT, WIDTH), bool)) is None
    assert mask_fit.outline(disk(60, 90, 1)) is None
    cut = mask_fit.outline(disk(60, 0, 50))
    assert cut.columns[len(cut.columns) // 2].min() >= 2


def test_a_moved_outline_comes_in_again_where_it_leaves_the_frame():
    outline = mask_fit.outline(disk(20, 30, 10))
    moved = mask_fit.moved(outline, HEIGHT // 2, WIDTH - 10)
    assert (moved.rows == outline.rows + HEIGHT // 2).all()
    assert (moved.columns == (outline.columns - 10) % WIDTH).all()
    back = mask_fit.moved(moved, -HEIGHT // 2, 10 - WIDTH)
    assert (back.changes == outline.changes).all()
    assert (back.blocks == outline.blocks).all()


def test_joined_outlines_count_alike_however_long_they_are():
    frame = picture(disk(60, 90), noise=20)
    outlines = [mask_fit.outline(mask) for mask in (disk(60, 90), disk(30, 40, 4), disk(80, 150, 9))]
    assert len({len(outline.shares) for outline in outlines}) > 1
    joined = mask_fit.Outline.joined(outlines)
    assert joined.masks == 3
    mean = np.mean([fits(frame, outline) for outline in outlines], axis=0)
    assert fits(frame, joined) == pytest.approx(mean, abs=1e-5)


def test_changes_are_those_of_the_channel_that_changes_most_between_the_pixels_on_both_sides():
    frame = np.random.default_rng(0).integers(0, 256, (3, 19, 30), np.uint8)
    along = mask_fit.Changes.of(frame).along
    signed = frame.astype(int)
    for found, (down, right) in zip(along, [(0, 1), (1, 0), (1, 1), (1, -1)], strict=True):
        for y, x in [(1, 1), (9, 14), (17, 28)]:
            change = signed[:, y + down, x + right] - signed[:, y - down, x - right]
            assert found[y, x] == np.abs(change).max()
        border = found.copy()
        border[1:-1, 1:-1] = 0
        assert not border.any()


def test_a_halved_frame_has_the_rounded_means_of_two_by_two_pixels():
    frame = np.random.default_rng(0).integers(0, 256, (3, 19, 31), np.uint8)
    four = frame[:, :18, :30].reshape(3, 9, 2, 15, 2).astype(int).sum((2, 4))
    assert (mask_fit.halved(frame) == (four + 2) // 4).all()


def textured(y: int, x: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    backdrop = rng.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    texture = rng.integers(0, 255, (20, 20, 3)).repeat(4, 0).repeat(4, 1)
    frame, mask = backdrop.copy(), disk(y, x)
    frame[mask] = texture[np.argwhere(mask)[:, 0] - y + 40, np.argwhere(mask)[:, 1] - x + 40]
    return frame.astype(np.uint8).transpose(2, 0, 1)


def moving(y: int, x: int) -> mask_fit.Small:
    return mask_fit.Small.of(disk(y, x))


def test_motion_fits_where_the_image_goes_with_the_mask():
    places = mask_fit.patch(moving(50, 60), moving(58, 76))
    assert places.distance == pytest.approx(2 * np.hypot(8, 16))
    assert mask_fit.motion_fit(textured(50, 60), textured(58, 76), places) > 0.7


def test_motion_does_not_fit_where_the_image_stands_still():
    places = mask_fit.patch(moving(50, 60), moving(58, 76))
    assert mask_fit.motion_fit(textured(50, 60), textured(50, 60), places) < 0.2


def test_frames_are_read_reduced_and_brought_to_a_shape(tmp_path):
    Image.new("RGB", (1280, 720)).save(tmp_path / "a.jpg")
    frame = FrameFile(str(tmp_path / "a.jpg"))
    assert mask_fit.read_frame(frame).shape == (3, 180, 320)
    assert mask_fit.read_frame(frame, (90, 160)).shape == (3, 90, 160)


def test_masks_are_resized_by_their_nearest_pixels():
    masks = MaskSequence.encode(np.eye(4, dtype=np.uint8).repeat(2, 0).repeat(2, 1)[None])
    assert (mask_fit.resized(masks, (4, 4)) == np.eye(4)).all()
