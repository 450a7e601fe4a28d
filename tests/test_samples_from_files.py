"""A sample set from what lies in a folder: what is left out is taken from the rasters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from calls import answered
from own_ground import BANDS, DAYS, export
from small_archive import NORTH, SIDE, WEST, make_archive, write

from configs.bands import When
from configs.errors import RequestError
from configs.records import Level
from configs.sampling import SamplingConfig, read_sampling
from flows.cli import main
from flows.learning.describing import describe_samples
from flows.learning.samples import plan_of, run_of
from gee.archive import read_manifest
from gee.sources import make_source

MANIFEST_OF = "set.archive.yaml"
EVENT = {"name": "valley", "time": "2018-09-05", "latitude": 42.7, "longitude": 142.11}


def test_area_and_resolution_come_from_the_rasters_where_left_out(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive")
    config = SamplingConfig.model_validate(
        {
            "name": "valley",
            "title": "a small valley",
            "run": {
                "event": {**EVENT, "magnitude": 6.6},
                "windows": {"as_of": "2018-12-01"},
                "source": {"kind": "archive", "archive": "archive"},
            },
            "bands": ["pre_B4", "post_B4"],
            "truth": {"kind": "simulated"},
            "licence": "none",
        }
    )
    run = run_of(config, tmp_path)
    geobox = plan_of(config, run, make_source(run.source)).geobox
    assert run.place.origin == "extent of the rasters"
    assert geobox.resolution.x == 10
    west, south, east, north = geobox.boundingbox
    slack = 10  # corners are rounded to a centimetre: the grid may have a pixel more on each side
    for found, meant in ((west, WEST), (north, NORTH)):
        assert abs(found - meant) <= slack
    for found, meant in ((east, WEST + SIDE * 10), (south, NORTH - SIDE * 10)):
        assert abs(found - meant) <= slack


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a student's folder: images, elevation, shapefile; sampled once."""
    return export(tmp_path_factory.mktemp("own"), radius_km=1.0)


def describe(own: Path, out: Path, **changes: Any) -> Path:
    files = {"dem": own / "dem.tif"} | changes
    images = files.pop("images", own / "images")
    return describe_samples(images, str(own / "landslides.shp"), "2018-09-05", out, **files)


def test_files_become_samples_and_the_file_written_makes_the_same_again(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--images", str(own / "images"), "--dem", str(own / "dem.tif"))
    truth = ("--truth", str(own / "landslides.shp"), "--date", "2018-09-05")
    written = str(tmp_path / "valley.yaml")
    found = []
    for given, out in (((*files, *truth), "valley"), ((written,), "again")):
        answer = answered(capsys, "samples", *given, "--out", tmp_path / out)
        assert answer["configuration"] == written
        found.append(answer)
    assert found[0]["fingerprint"] == found[1]["fingerprint"]
    assert found[0]["bands"] == [
        *(f"pre_{band}" for band in BANDS),
        *(f"post_{band}" for band in BANDS),
        *("slope", "hillshade"),
    ]
    assert 0.005 < found[0]["positive_fraction"] < 0.2
    assert found[0]["origin"]["simulated"] is False, "coslide knows no more than the files say"


def test_dates_tell_before_and_after_and_stand_in_the_manifest(own: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for file in (own / "images").iterdir():
        day, band = file.stem.split("_")
        shutil.copy(file, images / f"T54TWN_{day}T012701_B0{band[1:]}_10m.tif")
    manifest = read_manifest(describe(own, tmp_path / "set", images=images).with_name(MANIFEST_OF))[
        0
    ]
    assert [(scene.when, f"{scene.acquired:%Y%m%d}") for scene in manifest.scenes] == [
        (When.PRE, DAYS[When.PRE]),
        (When.POST, DAYS[When.POST]),
    ]
    assert not any(scene.date_assumed for scene in manifest.scenes)
    assert all(set(scene.bands) == set(BANDS) for scene in manifest.scenes)


def test_bands_of_one_file_are_told_by_their_names_or_asked_for(own: Path, tmp_path: Path) -> None:
    for named in (True, False):
        folder = tmp_path / ("named" if named else "bare")
        folder.mkdir()
        for when, day in DAYS.items():
            parts = [own / "images" / f"{day}_{band}.tif" for band in BANDS]
            _stacked(
                parts, folder / f"{when}.tif", ("blue", "green", "red", "nir") if named else ()
            )
    manifest = read_manifest(
        describe(own, tmp_path / "set", images=tmp_path / "named").with_name(MANIFEST_OF)
    )[0]
    assert {name: layer.band for name, layer in manifest.scenes[0].bands.items()} == {
        "B2": 1,
        "B3": 2,
        "B4": 3,
        "B8": 4,
    }
    with pytest.raises(RequestError, match="which bands the 4 of") as wrong:
        describe(own, tmp_path / "other", images=tmp_path / "bare")
    assert "--channels" in wrong.value.remedy
    describe(own, tmp_path / "third", images=tmp_path / "bare", channels=BANDS)
    with pytest.raises(RequestError, match="no band B99"):
        describe(own, tmp_path / "fourth", images=tmp_path / "bare", channels=("B99",))


def _stacked(parts: list[Path], out: Path, titles: tuple[str, ...]) -> None:
    with rasterio.open(parts[0]) as file:
        profile = file.profile | {"count": len(parts)}
    with rasterio.open(out, "w", **profile) as file:
        for number, part in enumerate(parts, 1):
            with rasterio.open(part) as one:
                file.write(one.read(1), number)
        file.descriptions = titles or (None,) * len(parts)


def test_pictures_of_eight_bits_and_classes_of_the_ground(own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder / "post_red.tif", np.full((40, 40), 90, np.uint8), nodata=None)
    write(folder / "post_green.tif", np.full((40, 40), 80, np.uint8), nodata=None)
    write(folder / "post_SCL_20m.tif", np.full((20, 20), 4, np.uint8), 20.0)
    path = describe(own, tmp_path / "set", images=folder, dem=None)
    manifest = read_manifest(path.with_name(MANIFEST_OF))[0]
    (scene,) = manifest.scenes
    assert manifest.level is Level.DISPLAY
    assert scene.bands["B4"].scale == pytest.approx(1 / 255)
    assert scene.cloud_mask is not None
    assert scene.cloud_mask.cloud == (8, 9, 10)
    assert read_sampling(path).bands == ("post_B4", "post_B3")[::-1]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), "holds no image"),
        (("B4.tif",), "before or after"),
        (("post_picture.tif",), "which bands the 1 of"),
        (("pre_B4.tif",), "no image after the event"),
        (("post_B4.tif", "post_red.tif"), "are both B4 of one image"),
    ],
)
def test_what_the_files_do_not_tell_is_asked_for(
    own: Path, tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in names:
        write(folder / name, np.full((40, 40), 900, np.uint16))
    with pytest.raises(RequestError, match=told):
        describe(own, tmp_path / "set", images=folder, dem=None)


def test_what_somebody_has_edited_is_not_overwritten(own: Path, tmp_path: Path) -> None:
    path = describe(own, tmp_path / "set")
    assert describe(own, tmp_path / "set") == path, "an interrupted call goes on"
    path.write_text(path.read_text() + "seed: 3\n")
    with pytest.raises(RequestError, match="says something else"):
        describe(own, tmp_path / "set")


def test_images_that_have_a_manifest_keep_it(own: Path, tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive")
    truth, out = str(own / "landslides.shp"), tmp_path / "set"
    config = read_sampling(describe_samples(folder, truth, "2018-09-05", out))
    assert config.run is not None
    assert config.run.source.model_dump()["archive"] == "archive/archive.yaml"
    assert not (tmp_path / MANIFEST_OF).exists()
    with pytest.raises(RequestError, match=r"archive\.yaml says what the files are"):
        describe(own, tmp_path / "other", images=folder)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "--images, --truth, --date"),
        (["--images", "a"], "missing: --truth, --date"),
        (["a.yaml", "--dem", "b.tif"], "--dem does not go with a.yaml"),
        (["--images", "a", "--truth", "b.shp", "--date", "5.9.2018"], "is not a date"),
        (["--images", "a", "--truth", "b.shp", "--date", "2018-09-05"], "no such file: b.shp"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["samples", *given, "--out", str(tmp_path / "set")])
    assert left.value.code == 2
    assert told in capsys.readouterr().err
