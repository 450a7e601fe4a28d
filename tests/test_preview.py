"""The preview: a picture of the right place, with the landslides on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_scene import LARGE, SHAPE, SmallScene, about, small_scene

from configs.bands import When
from inventory.colours import CONFIDENCE, rgb
from inventory.footprints import step_for
from inventory.report.pictures import (
    SMALLEST_PX,
    as_address,
    heat,
    natural,
    unseen,
    within,
    write_preview,
)
from inventory.report.relief import terrain
from inventory.report.statistics import ground


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


def test_landslides_are_drawn_where_they_are(scene: SmallScene, tmp_path: Path) -> None:
    path = write_preview(
        tmp_path / "preview.png", scene.outline(), scene.probability, scene.observation, scene.stack
    )
    image = Image.open(path).convert("RGB")
    scale = image.width / SHAPE[1]
    assert (image.width, image.height) == (SMALLEST_PX, round(SMALLEST_PX * SHAPE[0] / SHAPE[1]))
    rows, columns = LARGE
    pixels = np.asarray(image).astype(int)
    inside = pixels[round(scale * (rows.start + 5)), round(scale * (columns.start + 5))]
    edge = pixels[round(scale * rows.start), round(scale * (columns.start + 5))]
    outside = pixels[round(scale * 3), round(scale * 60)]
    assert tuple(edge) == rgb(CONFIDENCE["high"])
    assert inside[0] - inside[1] > 40 > abs(outside[0] - outside[1])


def test_without_imagery_the_terrain_is_shown(scene: SmallScene) -> None:
    assert natural(scene.stack, When.PRE, 50) is not None
    assert terrain(scene.stack, 50).size == (40, 30)


def test_pictures_are_means_of_whole_blocks(scene: SmallScene) -> None:
    image = natural(scene.stack, When.POST, 40)
    assert image is not None
    assert image.size == (40, 30)


@pytest.mark.parametrize("largest_px", [7, 17, 18, 33, 59, 500])
def test_all_pictures_of_a_run_lie_on_one_grid(scene: SmallScene, largest_px: int) -> None:
    step = step_for(SHAPE, largest_px)
    size = (-(-SHAPE[1] // step), -(-SHAPE[0] // step))
    rasters = scene.probability, scene.observation
    photo = natural(scene.stack, When.POST, largest_px)
    assert photo is not None
    pictures = (
        photo,
        terrain(scene.stack, largest_px),
        heat(*rasters, largest_px),
        unseen(*rasters, largest_px),
    )
    assert {picture.size for picture in pictures} == {size}
    on = ground(scene.stack, *rasters, about().event)
    assert len(on.distance_km) == np.isfinite(scene.probability).sum()


def test_probability_is_clear_where_low_or_unknown(scene: SmallScene) -> None:
    low = np.full(SHAPE, 0.01, np.float32)
    low[:10], low[10:20] = np.nan, 0.9
    alpha = np.asarray(heat(low, scene.observation, 500).convert("RGBA"))[..., 3]
    assert (alpha[:10] == 0).all()
    assert (alpha[10:20] == 200).all()
    assert (alpha[20:] == 0).all()


def test_what_was_not_observed_is_veiled(scene: SmallScene) -> None:
    alpha = np.asarray(unseen(scene.probability, scene.observation, 500).convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha > 0, np.isnan(scene.probability))


def test_pictures_fit_their_budget() -> None:
    noise = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (640, 640, 3), dtype=np.uint8)
    )
    assert len(as_address(noise, 82)) > 100_000
    assert len(within(noise, 100_000)) <= 100_000
