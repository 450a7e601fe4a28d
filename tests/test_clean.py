"""Rules with reasons: each removes what it names, nothing vanishes, and every number matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from small_scene import (
    EDGE,
    FILLED,
    FLAT,
    HOLED,
    LARGE,
    SHAPE,
    STEEP,
    TINY,
    WET,
    SmallScene,
    about,
    make_stack,
    small_scene,
)

from configs.clean import CleanConfig
from configs.errors import RequestError
from configs.stack import encode
from inventory.outline.clean import counted
from inventory.outline.outline import outline
from inventory.outline.words import words_of

OFF = CleanConfig(
    min_area_m2=None, min_slope_deg=None, max_water_fraction=None, max_edge_fraction=None
)


@pytest.fixture
def scene(tmp_path: Path) -> SmallScene:
    return small_scene(tmp_path)


def _pixels(*blocks: tuple[slice, slice]) -> int:
    mask = np.zeros(SHAPE, bool)
    for block in blocks:
        mask[block] = True
    return int(mask.sum())


def test_the_known_answer(scene: SmallScene) -> None:
    found = scene.outline()
    assert found.landslides["area_m2"].tolist() == [
        100 * n for n in (_pixels(LARGE), _pixels(HOLED) - 4, _pixels(FILLED), _pixels(STEEP))
    ]
    reasons = dict(zip(found.rejected["area_m2"], found.rejected["reason"], strict=True))
    assert "below 400" in reasons[100 * _pixels(TINY)]
    assert len(found.rejected) == 4


def test_nothing_is_thrown_away(scene: SmallScene) -> None:
    everything = scene.outline(OFF)
    cleaned = scene.outline()
    assert len(everything.rejected) == 0
    assert len(everything.landslides) == len(cleaned.landslides) + len(cleaned.rejected) == 8
    total = cleaned.landslides["area_m2"].sum() + cleaned.rejected["area_m2"].sum()
    assert everything.landslides["area_m2"].sum() == total
    assert (cleaned.rejected["reason"] != "").all()


@pytest.mark.parametrize(
    ("rule", "words", "where"),
    [
        ({"min_area_m2": 400.0}, "area 200 m² is below 400 m²", TINY),
        ({"min_slope_deg": 5.0}, "mean slope 2.0° is below 5°", FLAT),
        ({"max_water_fraction": 0.5}, "water on 100 % of it, more than 50 %", WET),
        (
            {"max_edge_fraction": 0.5},
            "100 % of its outline borders on what was not observed, more than 50 %",
            EDGE,
        ),
    ],
)
def test_each_rule_alone_removes_its_own(
    scene: SmallScene, rule: dict[str, float], words: str, where: tuple[slice, slice]
) -> None:
    found = scene.outline(OFF.model_copy(update=rule))
    assert found.rejected["reason"].tolist() == [words]
    assert found.rejected["area_m2"].tolist() == [100 * _pixels(where)]


def test_the_length_width_rule(scene: SmallScene) -> None:
    longest = scene.outline(OFF.model_copy(update={"max_length_width_ratio": 4.0})).rejected
    assert longest["length_width_ratio"].tolist() == [5.0]
    assert longest["reason"].tolist() == ["length by width 5.0 is above 4"]


def test_the_bare_rule_spares_what_lost_its_plants(scene: SmallScene, tmp_path: Path) -> None:
    bare = OFF.model_copy(update={"bare_before_ndvi": 0.7})
    assert len(scene.outline(bare).rejected) == 0, "NDVI fell from 0.6 to 0.3: fresh"
    group = zarr.open_group(scene.stack.path, mode="r+")
    group["post_NDVI"][:] = encode(np.full(SHAPE, 0.58, np.float32), "post_NDVI")
    assert scene.outline(bare).rejected["reason"].unique().tolist() == [
        "already bare before the event: NDVI 0.60 is below 0.7"
    ]
    (tmp_path / "other").mkdir()
    without = SmallScene(
        scene.probability, scene.observation, make_stack(tmp_path / "other", ndvi=False)
    )
    assert len(without.outline(bare).rejected) == 0, "without NDVI the rule cannot judge"


def test_two_reasons_are_both_told(scene: SmallScene) -> None:
    found = scene.outline(CleanConfig(min_area_m2=5000.0))
    assert any(";" in reason for reason in found.rejected["reason"])


def test_threshold_and_fallback_threshold(scene: SmallScene) -> None:
    fewer = outline(scene.probability, scene.observation, 0.8, scene.stack, OFF)
    assert len(fewer.landslides) == 6
    strict = outline(
        scene.probability, scene.observation, 0.5, scene.stack, OFF, fallback_threshold=0.95
    )
    assert len(strict.landslides) == 7
    assert not (strict.landslides["card"] == "card-b").any()


def test_the_card_that_drew_it_is_named(scene: SmallScene) -> None:
    found = scene.outline(choice=about().choice)
    assert (
        found.landslides.set_index("area_m2")["card"].to_dict()[100.0 * _pixels(FILLED)] == "card-b"
    )
    assert (found.landslides["card"] == "card-a").sum() == 3


def test_unobserved_and_outside_is_never_a_landslide(scene: SmallScene) -> None:
    probability = np.where(np.isnan(scene.probability), np.float32(0.99), scene.probability)
    probability[scene.observation != 255] = np.nan
    found = outline(probability, scene.observation, 0.5, scene.stack, OFF)
    assert len(found.landslides) == 0
    assert len(found.rejected) == 0


@pytest.mark.parametrize("strip_rows", [1, 7, 45, 512])
def test_strips_do_not_matter(scene: SmallScene, strip_rows: int) -> None:
    whole, cut = scene.outline(), scene.outline(strip_rows=strip_rows)
    assert whole.landslides.equals(cut.landslides)
    assert whole.rejected.equals(cut.rejected)


def test_rasters_of_another_shape_are_refused(scene: SmallScene) -> None:
    with pytest.raises(RequestError, match="not on one grid"):
        outline(scene.probability[:-1], scene.observation, 0.5, scene.stack, OFF)


def test_reasons_are_counted_by_rule(scene: SmallScene) -> None:
    everything = CleanConfig(
        min_area_m2=1e9,
        max_length_width_ratio=1.0,
        min_slope_deg=80,
        max_water_fraction=0.0,
        bare_before_ndvi=0.9,
        bare_min_drop=2,
        max_edge_fraction=0.0,
    )
    rejected = scene.outline(everything).rejected["reason"]
    found = counted(rejected)
    assert sum(found.values()) == rejected.str.split("; ").map(len).sum()
    assert found["area is below 1e+09 m²"] == len(rejected)
    assert found["mean slope is below 80°"] == len(rejected)
    assert "more than 0 % of its outline borders on what was not observed" in found
    assert len(found) == len(words_of()["rules"]) == 6
    assert counted(pd.Series(["a person's own words", "a person's own words"])) == {
        "a person's own words": 2
    }
