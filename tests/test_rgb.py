"""Pictures of any resolution (Li et al. 2024, 003): an archive of 8-bit red, green, blue goes from
files to inventory.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.warp
import yaml
from affine import Affine
from calls import call
from cards import make_card, save_card
from fake_source import an_event
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import shapes
from shapely.geometry import shape
from small_archive import make_preset

from configs.area import around
from configs.checkpoint import BandStatistics, CardTiles, Normalisation
from configs.errors import RequestError
from configs.event import default_windows
from configs.records import Level
from configs.stack import Stack
from flows.learning.samples import make_samples
from gee.archive import ArchiveSource
from gee.stack import assemble
from models.reference import Reference
from tiles.samples import SampleSet

BANDS = ("post_B4", "post_B3", "post_B2")
WEST, NORTH, CRS = 590_000.0, 4_730_000.0, "EPSG:32654"
CENTRE = (42.7165, 142.1005)


def picture(side: int = 320) -> NDArray[np.uint8]:
    """Return `(band, y, x)`: dark green with brown scars and a black corner."""
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(level, 6, (side, side)) for level in (60, 90, 50)])
    for top, left in ((60, 70), (150, 160), (230, 90)):
        image[:, top : top + 40, left : left + 24] += np.array([90, 50, 40])[:, None, None]
    image[:, :20, :20] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def write_archive(folder: Path, image: NDArray[np.uint8], pixel_m: float, **layer: Any) -> Path:
    folder.mkdir(parents=True)
    affine = Affine(pixel_m, 0, WEST, 0, -pixel_m, NORTH)
    with rasterio.open(
        folder / "rgb.tif",
        "w",
        driver="GTiff",
        height=image.shape[1],
        width=image.shape[2],
        count=3,
        dtype="uint8",
        crs=CRS,
        transform=affine,
    ) as file:
        file.write(image)
    bands = {
        name: {"file": "rgb.tif", "band": n + 1, **layer}
        for n, name in enumerate(("B4", "B3", "B2"))
    }
    content = {
        "format": "coslide/archive/1",
        "sensor": "aerial-rgb",
        "level": "display",
        "scenes": [{"id": "flight", "acquired": "2018-09-20", "bands": bands}],
    }
    (folder / "archive.yaml").write_text(yaml.safe_dump(content))
    return folder


def write_card(folder: Path, pixel_m: float, **changes: Any) -> Path:
    statistics = {name: BandStatistics(minimum=0, maximum=1, mean=0.3, std=0.1) for name in BANDS}
    values = np.random.default_rng(1).normal(0.3, 0.1, (400, 3)).astype(np.float32)
    block, domain = np.repeat(np.arange(4, dtype=np.int32), 100), np.zeros(400, np.int32)
    card = make_card(
        BANDS,
        **{
            "name": "rgb",
            "sensor": "aerial-rgb",
            "level": Level.DISPLAY,
            "resolution_m": pixel_m,
            "tiles": CardTiles(size=64, mode="core", halo=56),
            "normalisation": Normalisation(method="zscore", statistics=statistics),
        }
        | changes,
    )
    save_card(
        card, folder / "rgb", reference=Reference(BANDS, values, block, domain, ("here",), 0.0)
    )
    return folder


def respond(
    folder: Path, capsys: pytest.CaptureFixture[str], place: str, radius_km: float
) -> tuple[int, dict[str, Any]]:
    preset = make_preset(folder / "run.yaml", folder / "cards")
    words = [
        "--epicentre",
        place,
        "--date",
        "2018-09-05",
        "--as-of",
        "2018-12-01",
        "--radius-km",
        str(radius_km),
    ]
    source = [
        "--source",
        f"archive:{folder / 'archive'}",
        "--out",
        str(folder / "out"),
        "--name",
        "q",
    ]
    return call(capsys, "respond", *words, "--config", preset, *source)


@pytest.mark.parametrize(("pixel_m", "radius_km"), [(3.0, 0.3), (0.59, 0.07)])
def test_a_card_of_its_own_resolution_maps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pixel_m: float, radius_km: float
) -> None:
    write_archive(tmp_path / "archive", picture(), pixel_m, scale=1 / 255)
    write_card(tmp_path / "cards", pixel_m)
    longitude, latitude = rasterio.warp.transform(
        CRS, "EPSG:4326", [WEST + 160 * pixel_m], [NORTH - 160 * pixel_m]
    )
    code, told = respond(tmp_path, capsys, f"{latitude[0]:.6f},{longitude[0]:.6f}", radius_km)
    assert code == 0, told
    assert told["checkpoint"] == "rgb"
    assert told["observed_fraction"] > 0.95
    with rasterio.open(tmp_path / "out" / "q" / "r001" / "landslides.tif") as file:
        assert file.transform.a == pytest.approx(pixel_m)


def test_numbers_become_brightness_and_black_is_seen(tmp_path: Path) -> None:
    image = picture()
    source = ArchiveSource(write_archive(tmp_path / "archive", image, 3.0, scale=1 / 255))
    assert source.offer().level is Level.DISPLAY
    assert source.offer().resolution_m == pytest.approx(3.0)
    event = an_event()
    area = around(*CENTRE, 0.3)
    grid = GeoBox((320, 320), Affine(3, 0, WEST, 0, -3, NORTH), CRS)
    windows = default_windows(event, datetime(2018, 12, 1, tzinfo=UTC), 200, 80)
    plan = source.plan(area, grid, event, windows, BANDS)
    stack = assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    red = Stack(stack.path).read("post_B4")
    np.testing.assert_allclose(red[30:], image[0, 30:] / 255, atol=1.1e-4)
    assert np.isfinite(red[:20, :20]).all()  # black, not unseen


def test_a_picture_without_a_scale_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"scale: 0\.0039"):
        ArchiveSource(write_archive(tmp_path / "archive", picture(64), 3.0))


def test_a_card_of_reflectance_does_not_map_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive(tmp_path / "archive", picture(), 3.0, scale=1 / 255)
    write_card(tmp_path / "cards", 3.0, level=Level.TOA)
    code, told = respond(tmp_path, capsys, f"{CENTRE[0]},{CENTRE[1]}", 0.2)
    assert code == 2
    assert "level" in told["message"]


def test_real_pictures_become_samples(tmp_path: Path, real: Path) -> None:
    """A Bijie picture of 0.8 m, laid at a place of ours (it has none): its mask as truth, one
    command to a sample set.
    """
    names = sorted((real / "patches" / "bijie" / "images").glob("*.png"))
    sizes = {name: rasterio.open(name).shape for name in names[:12]}
    name = max(sizes, key=lambda one: min(sizes[one]))
    with rasterio.open(name) as file:
        image = file.read()[:3]
    with rasterio.open(real / "patches" / "bijie" / "masks" / name.name) as file:
        mask = file.read(1) > 127
    write_archive(tmp_path / "archive", image, 0.8, scale=1 / 255)
    _write_truth(tmp_path / "truth.gpkg", mask, 0.8)
    height, width = mask.shape
    west, south, east, north = rasterio.warp.transform_bounds(
        CRS, "EPSG:4326", WEST + 4, NORTH - height * 0.8 + 4, WEST + width * 0.8 - 4, NORTH - 4
    )
    config = {
        "format": "coslide/sampling/1",
        "name": "bijie-one",
        "title": "one Bijie picture",
        "run": {
            "event": {
                "name": "bijie",
                "time": "2018-09-05T18:00:00Z",
                "latitude": (south + north) / 2,
                "longitude": (west + east) / 2,
            },
            "area": f"{west},{south},{east},{north}",
            "windows": {"as_of": "2018-12-01"},
            "source": {"kind": "archive", "archive": "archive"},
            "resolution_m": 0.8,
        },
        "bands": list(BANDS),
        "truth": {"kind": "polygons", "slides": [{"file": "truth.gpkg"}]},
        "split": {"kind": "blocks", "block_px": 64, "guard_px": 0},
        "chip_px": 32,
        "stride_px": 32,
        "licence": "research use",
    }
    (tmp_path / "samples.yaml").write_text(yaml.safe_dump(config))
    card = make_samples(tmp_path / "samples.yaml", tmp_path / "set").card
    assert card.origin.level is Level.DISPLAY
    assert card.positive_fraction == pytest.approx(mask.mean(), abs=0.05)
    assert SampleSet.open(tmp_path / "set").card.counts["train"].chips > 0


def _write_truth(path: Path, mask: NDArray[np.bool_], pixel_m: float) -> None:
    affine = Affine(pixel_m, 0, WEST, 0, -pixel_m, NORTH)
    polygons = [
        shape(geometry)
        for geometry, value in shapes(mask.astype(np.uint8), transform=affine)
        if value == 1
    ]
    gpd.GeoDataFrame(geometry=polygons, crs=CRS).to_file(path, engine="pyogrio")
