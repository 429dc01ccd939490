"""What is measured of one mask on one frame, on pictures where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from revoskit.checking import mask_fit
from revoskit.frames import FrameFile

HEIGHT, WIDTH = 120, 200


def disk(y: float, x: float, radius: float = 25, shape=(HEIGHT, WIDTH)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def picture(mask: np.ndarray, contrast: float = 40, noise: float = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = 110 + contrast * mask[..., None] + rng.normal(0, noise, (*mask.shape, 3))
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
    assert (cut.places[:, cut.places.shape[1] // 2] % WIDTH).min() >= 2


def test_a_moved_outline_stays_in_the_frame():
    outline = mask_fit.outline(disk(20, 30, 10))
    moved = mask_fit.moved(outline, (HEIGHT, WIDTH), HEIGHT // 2, WIDTH // 2)
    assert moved.places.min() >= 0
    assert moved.places.max() < HEIGHT * WIDTH
    assert np.intersect1d(outline.places, moved.places).size == 0
    back = mask_fit.moved(moved, (HEIGHT, WIDTH), HEIGHT // 2, WIDTH // 2)
    assert (back.places == outline.places).all()
    assert (back.blocks == outline.blocks).all()


def textured(y: int, x: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    backdrop = rng.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    texture = rng.integers(0, 255, (20, 20, 3)).repeat(4, 0).repeat(4, 1)
    frame, mask = backdrop.copy(), disk(y, x)
    frame[mask] = texture[np.argwhere(mask)[:, 0] - y + 40, np.argwhere(mask)[:, 1] - x + 40]
    return frame.astype(np.uint8)


def test_motion_fits_where_the_image_goes_with_the_mask():
    places = mask_fit.patch(disk(50, 60), disk(58, 76))
    assert places.distance == pytest.approx(2 * np.hypot(8, 16))
    assert mask_fit.motion_fit(textured(50, 60), textured(58, 76), places) > 0.7


def test_motion_does_not_fit_where_the_image_stands_still():
    places = mask_fit.patch(disk(50, 60), disk(58, 76))
    assert mask_fit.motion_fit(textured(50, 60), textured(50, 60), places) < 0.2


def test_frames_are_read_reduced_and_brought_to_a_shape(tmp_path):
    Image.new("RGB", (1280, 720)).save(tmp_path / "a.jpg")
    frame = FrameFile(str(tmp_path / "a.jpg"))
    assert mask_fit.read_frame(frame).shape == (180, 320, 3)
    assert mask_fit.read_frame(frame, (90, 160)).shape == (90, 160, 3)


def test_a_mask_is_resized_by_its_nearest_pixels():
    assert (mask_fit.resized(np.eye(4, dtype=np.uint8).repeat(2, 0).repeat(2, 1), (4, 4)) == np.eye(4)).all()
