"""The rasters of a revision: valid COGs, the mask equal to the polygons, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate
from small_scene import GEOBOX, SHAPE, SmallScene, small_scene

from configs.clean import CleanConfig
from configs.records import ObservationClass
from inventory.colours import OBSERVATION
from inventory.formats.cog import LANDSLIDES, burnt, rounded, write_cog, write_rasters


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


@pytest.fixture
def rasters(scene: SmallScene, tmp_path: Path) -> dict[str, Path]:
    return write_rasters(
        tmp_path, scene.outline(), scene.probability, scene.observation, {"event": "small"}
    )


def test_they_are_valid_cogs_on_the_grid(rasters: dict[str, Path]) -> None:
    for name, path in rasters.items():
        valid, errors, warnings = cog_validate(path, strict=True)
        assert (valid, errors, warnings) == (True, [], []), name
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == 32654
            assert file.transform == GEOBOX.affine
            assert file.shape == SHAPE
            assert file.tags()["event"] == "small"
            assert "STATISTICS_MEAN" in file.tags(1)


def test_the_mask_is_the_inventory(scene: SmallScene, rasters: dict[str, Path]) -> None:
    with rasterio.open(rasters["landslides.tif"]) as file:
        mask, nodata = file.read(1), file.nodata
    assert nodata == 255
    assert 100 * (mask == 1).sum() == scene.outline().landslides["area_m2"].sum()
    unseen = np.isnan(scene.probability) | (scene.observation == 255)
    np.testing.assert_array_equal(mask == 255, unseen)


def test_simplified_outlines_agree_with_the_mask_within_one_percent(
    scene: SmallScene, tmp_path: Path
) -> None:
    found = scene.outline(CleanConfig(simplify_m=15.0))
    mask = burnt(found.landslides, GEOBOX, slice(0, SHAPE[0]))
    assert 100 * mask.sum() == pytest.approx(found.landslides["area_m2"].sum(), rel=0.01)


def test_probability_keeps_three_digits_and_its_side_of_the_threshold(
    scene: SmallScene, rasters: dict[str, Path]
) -> None:
    with rasterio.open(rasters["probability.tif"]) as file:
        stored = file.read(1)
        assert np.isnan(file.nodata)
    np.testing.assert_allclose(stored, scene.probability, atol=5e-4)
    values = np.array([0.4999, 0.5001, 0.5, np.nan, 0.12345], np.float32)
    kept = rounded(values, 0.5)
    np.testing.assert_array_equal(kept >= 0.5, values >= 0.5)
    assert kept[4] == np.float32(0.123)


def test_observation_has_colours_and_names(rasters: dict[str, Path]) -> None:
    path = rasters["observation.tif"]
    with rasterio.open(path) as file:
        colours = file.colormap(1)
        assert file.nodata == 255
    for each, (_, colour) in OBSERVATION.items():
        assert "#{:02x}{:02x}{:02x}".format(*colours[each][:3]) == colour
    names = [
        node.text for node in ET.parse(path.with_name(path.name + ".aux.xml")).iter("Category")
    ]
    assert names == [OBSERVATION[each][0] for each in ObservationClass]


def test_large_rasters_have_overviews_that_keep_classes(tmp_path: Path) -> None:
    grid = GEOBOX.pad(500)
    height, width = grid.shape
    stripes = np.where(np.arange(width) % 2, 1, 255).astype(np.uint8)
    rows = [slice(first, min(first + 512, height)) for first in range(0, height, 512)]
    blocks = ((each, np.tile(stripes, (each.stop - each.start, 1))) for each in rows)
    path = write_cog(tmp_path / "mask.tif", LANDSLIDES, grid, blocks, {})
    with rasterio.open(path, overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= {1, 255}
    assert cog_validate(path, strict=True)[0]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield slice(0, 40), np.zeros((40, SHAPE[1]), np.uint8)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_cog(tmp_path / "mask.tif", LANDSLIDES, GEOBOX, broken(), {})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_gives_the_same_bytes(
    scene: SmallScene, rasters: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "again"
    other.mkdir()
    again = write_rasters(
        other, scene.outline(), scene.probability, scene.observation, {"event": "small"}
    )
    assert all(again[name].read_bytes() == path.read_bytes() for name, path in rasters.items())
