"""The fields of a landslide, against shapes whose numbers can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import zarr
from pyproj import Geod, Transformer
from small_scene import LARGE, POST_DAY, PRE_DAY, SmallScene, about, small_scene

from inventory.outline.attributes import FIELDS, confidence_of, shape_fields


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


def test_every_field_of_the_contract_is_there(scene: SmallScene) -> None:
    found = scene.outline()
    contract = [
        "id",
        "area_m2",
        "perimeter_m",
        "length_m",
        "width_m",
        "length_width_ratio",
        "lon",
        "lat",
    ]
    contract += ["probability_mean", "probability_max", "confidence", "slope_mean_deg", "relief_m"]
    contract += ["pre_date", "post_date", "first_seen", "last_seen", "status"]
    assert list(FIELDS)[: len(contract)] == contract
    assert list(found.landslides.columns) == [*FIELDS, "geometry"]
    assert list(found.rejected.columns) == [*FIELDS, "geometry", "reason"]
    assert found.landslides["id"].is_unique
    assert not found.landslides.drop(columns="geometry").isna().any().any()


def test_a_rectangle(scene: SmallScene) -> None:
    first = scene.outline().landslides.iloc[0]
    assert (first["area_m2"], first["perimeter_m"]) == (20 * 30 * 100, 2 * (200 + 300))
    assert (first["length_m"], first["width_m"], first["length_width_ratio"]) == (300, 200, 1.5)
    assert first["probability_mean"] == first["probability_max"] == pytest.approx(0.9, abs=1e-4)
    assert first["slope_mean_deg"] == 20
    assert first["relief_m"] == 2 * 19
    assert (first["status"], first["edge_fraction"]) == ("unreviewed", 0)


def test_dates_span_the_images_under_it(scene: SmallScene) -> None:
    first = scene.outline().landslides.iloc[0]
    day = pd.Timestamp("1970-01-01")
    assert first["pre_date"] == day + pd.Timedelta(days=PRE_DAY), "the oldest image before"
    assert first["post_date"] == day + pd.Timedelta(days=POST_DAY + 5), "the latest image after"
    assert first["first_seen"] == first["last_seen"] == first["post_date"]


def test_the_centroid_is_in_degrees_and_right(scene: SmallScene) -> None:
    first = scene.outline().landslides.iloc[0]
    lon, lat = Transformer.from_crs(32654, 4326, always_xy=True).transform(580000, 4730000)
    rows, columns = LARGE
    middle = ((columns.start + columns.stop) * 5, (rows.start + rows.stop) * 5)
    _, _, metres = Geod(ellps="WGS84").inv(lon, lat, first["lon"], first["lat"])
    assert metres == pytest.approx(np.hypot(*middle), rel=1e-3), "UTM's scale is within 4e-4 of 1"


def test_the_rotated_rectangle_is_rotated() -> None:
    strip = shapely.affinity.rotate(shapely.box(0, 0, 100, 20), 30)
    fields = shape_fields(np.array([strip]), "EPSG:32654")
    assert fields["length_m"][0] == pytest.approx(100, abs=0.01)
    assert fields["width_m"][0] == pytest.approx(20, abs=0.01)


def test_confidence_follows_probability_and_is_capped_out_of_domain() -> None:
    mean = np.array([0.85, 0.65, 0.55])
    assert confidence_of(mean, (0.8, 0.6), False).tolist() == ["high", "medium", "low"]
    for domain in (True, "unknown"):
        assert set(confidence_of(mean, (0.8, 0.6), domain)) == {"low"}


def test_out_of_domain_reaches_the_landslides(scene: SmallScene) -> None:
    choice = replace(about().choice, out_of_domain=True)
    assert "high" in set(scene.outline().landslides["confidence"])
    assert set(scene.outline(choice=choice).landslides["confidence"]) == {"low"}


def test_what_a_fallback_drew_is_as_sure_as_the_fallback(scene: SmallScene) -> None:
    sure = scene.outline(choice=about().choice).landslides
    assert set(sure.loc[sure["card"] == about().choice.fallback, "confidence"]) == {"high"}
    for more in (
        {"choice": replace(about().choice, fallback_out_of_domain="unknown")},
        {"choice": about().choice, "fallback_confidence": None},
    ):
        found = scene.outline(**more).landslides
        filled = found["card"] == about().choice.fallback
        assert set(found.loc[filled, "confidence"]) == {"low"}
        assert "high" in set(found.loc[~filled, "confidence"])


def test_what_the_stack_does_not_have_is_unknown(scene: SmallScene) -> None:
    group = zarr.open_group(scene.stack.path, mode="r+")
    group.attrs["bands"] = ["dem"]
    found = SmallScene(
        scene.probability, scene.observation, type(scene.stack)(scene.stack.path)
    ).outline()
    assert found.landslides["slope_mean_deg"].isna().all()
    assert found.landslides["relief_m"].notna().all()
    assert not found.rejected["reason"].str.contains("slope").any(), (
        "an unknown slope rejects nothing"
    )
