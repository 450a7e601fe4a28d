"""Units of the joint MMD: patches are whole, observed and spread as pixels are; the default changes
nothing; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import make_card, save_card
from pydantic import ValidationError
from scenes import landscape, make_stack
from small_samples import small_samples

from configs.bands import When
from configs.errors import RequestError
from configs.records import ObservationClass
from configs.selection import BandSetCalibration, SelectionConfig
from configs.stack import Stack
from configs.training import TrainingConfig
from flows.learning import train
from models import reference, units
from models.reference import Reference
from models.registry import Found
from models.sampling import Patches, Usable
from models.selection import choose

BANDS = ("post_B4", "post_B3", "slope")
QUICK = SelectionConfig(pixels=600, bootstraps=40, permutations=40, block_m=320, patches=120)
MEAN = QUICK.model_copy(update={"unit": "patch_mean", "unit_px": 4})
VECTOR = QUICK.model_copy(update={"unit": "patch_vector", "unit_px": 4})


def clear(stack: Stack) -> Usable:
    return lambda rows, columns: (
        stack.observation(When.POST, rows, columns) == ObservationClass.CLEAR
    )


def patched(stack: Stack, settings: SelectionConfig, slope_min_deg: float = 5.0) -> Patches:
    found = units.patches(
        stack, BANDS, clear(stack), settings, resolution_m=10, slope_min_deg=slope_min_deg
    )
    assert found is not None
    return found


def sampled(stack: Stack, settings: SelectionConfig, **changes: Any) -> Reference:
    options: dict[str, Any] = {
        "domain": "d",
        "resolution_m": 10,
        "count": 600,
        "block_m": 320,
        "slope_min_deg": 5,
    }
    drawn = reference.sample(stack, BANDS, clear(stack), **(options | changes))
    alike = units.patches(stack, BANDS, clear(stack), settings, resolution_m=10, slope_min_deg=5)
    return replace(drawn, patches=alike)


def card_of(
    folder: Path, name: str, world: dict[str, np.ndarray], settings: SelectionConfig
) -> Found:
    drawn = sampled(make_stack(folder / f"{name}.zarr", world), settings)
    return Found(
        folder / name, save_card(make_card(BANDS, name=name), folder / name, reference=drawn)
    )


def test_patches_are_whole_windows_of_the_grid_observed_throughout_and_half_sloping(
    tmp_path: Path,
) -> None:
    world = landscape(3, (300, 330))
    world["post_B4"][40:90, 10:200] = np.nan
    stack = make_stack(tmp_path / "scene.zarr", world)
    drawn = patched(stack, VECTOR)
    pixels = np.stack([stack.read(name) for name in BANDS])
    height, width = (side // 4 * 4 for side in pixels.shape[1:])
    grid = (
        pixels[:, :height, :width]
        .reshape(3, height // 4, 4, width // 4, 4)
        .transpose(1, 3, 0, 2, 4)
        .reshape(-1, 48)
    )
    known = {tuple(one) for one in grid.tolist()}
    assert 100 < len(drawn) <= 120
    assert all(tuple(one) in known for one in drawn.values.reshape(len(drawn), -1).tolist())
    assert np.isfinite(drawn.values).all()
    assert ((drawn.values[:, 2] >= 5).mean(axis=(1, 2)) >= 0.5).all()
    assert len(np.unique(drawn.block)) > 40
    again = patched(stack, VECTOR)
    assert (again.values == drawn.values).all()


def test_of_even_patches_the_mean_is_the_pixel_and_the_vector_repeats_it(tmp_path: Path) -> None:
    coarse = landscape(1, (60, 60))
    world = {
        name: np.kron(values, np.ones((4, 4), values.dtype)) for name, values in coarse.items()
    }
    stack = make_stack(tmp_path / "scene.zarr", world)
    drawn = sampled(stack, MEAN)
    mean, vector = (units.observations(drawn, BANDS, settings) for settings in (MEAN, VECTOR))
    assert mean.shape == (len(drawn.patches or ()), 3, 1)
    assert vector.shape == (*mean.shape[:2], 16)
    assert vector == pytest.approx(np.repeat(mean, 16, axis=2), abs=1e-6)
    pixels = np.stack([stack.read(name) for name in BANDS], axis=-1).reshape(-1, 3)
    known = {tuple(one) for one in np.round(pixels.astype(np.float64), 5)}
    assert {tuple(one) for one in np.round(mean[:, :, 0], 5)} <= known


def test_pixels_ask_for_no_patches_and_old_references_stay_what_they_were(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "scene.zarr", landscape(2))
    assert (
        units.patches(stack, BANDS, clear(stack), QUICK, resolution_m=10, slope_min_deg=5) is None
    )
    drawn = sampled(stack, QUICK)
    with_patches = sampled(stack, MEAN)
    assert (units.observations(drawn, BANDS, QUICK)[:, :, 0] == drawn.values).all()
    plain = drawn.save(tmp_path / "plain.safetensors")
    assert replace(with_patches, patches=None).save(tmp_path / "again.safetensors") == plain
    with_patches.save(tmp_path / "patches.safetensors")
    loaded = Reference.load(tmp_path / "patches.safetensors").patches
    assert loaded is not None
    assert with_patches.patches is not None
    assert (loaded.values == with_patches.patches.values).all()
    assert (loaded.block == with_patches.patches.block).all()
    assert Reference.load(tmp_path / "plain.safetensors").patches is None


def test_a_mixture_mixes_patches_as_it_mixes_pixels(tmp_path: Path) -> None:
    parts = [
        sampled(make_stack(tmp_path / f"{i}.zarr", landscape(i)), MEAN, domain=f"d{i}")
        for i in range(2)
    ]
    mixed = reference.mixture([(parts[0], 3), (parts[1], 1)], 400).patches
    assert mixed is not None
    first, second = np.bincount(mixed.domain)
    assert first / (first + second) == pytest.approx(0.75, abs=0.02)
    assert not set(mixed.block[mixed.domain == 0]) & set(mixed.block[mixed.domain == 1])
    bare = replace(parts[1], patches=None)
    assert reference.mixture([(parts[0], 1), (bare, 1)], 400).patches is None


@pytest.mark.parametrize("settings", [MEAN, VECTOR])
def test_the_nearest_card_by_patches_is_chosen_and_no_calibration_of_pixels_is_claimed(
    tmp_path: Path, settings: SelectionConfig
) -> None:
    cards = [
        card_of(tmp_path, name, landscape(i, brightness=b), settings)
        for i, (name, b) in enumerate([("dark", 0.08), ("middle", 0.15), ("bright", 0.3)])
    ]
    scene = make_stack(tmp_path / "scene.zarr", landscape(9, brightness=0.15))
    pixels = choose.choose(cards, scene, settings=QUICK)
    known = BandSetCalibration(bands=BANDS, alarm=1e-6)
    choice = choose.choose(
        cards, scene, settings=settings.model_copy(update={"calibrations": (known,)})
    )
    assert choice.card == pixels.card == "middle"
    assert not choice.out_of_domain
    by_name = {one.card: one for one in choice.ranking}
    assert by_name["bright"].distance > by_name["middle"].distance + 0.3
    assert all(one.standard_error >= 0 for one in choice.ranking)
    assert (
        by_name["bright"].distance != {one.card: one.distance for one in pixels.ranking}["bright"]
    )
    for one in pixels.ranking:  # band by band it is every pixel, whatever the joint unit
        assert by_name[one.card].per_band == one.per_band


def test_a_training_keeps_patches_of_its_own_splits_where_the_settings_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = small_samples(tmp_path / "valley")
    config = TrainingConfig.model_validate({"name": "a", "samples": [{"path": str(samples.path)}]})
    assert train.reference_of(config, [samples], BANDS).patches is None
    monkeypatch.setattr(train, "read_selection", lambda: MEAN)
    drawn = train.reference_of(config, [samples], BANDS).patches
    assert drawn is not None
    label = samples.label(samples.numbers(("train",)))
    rows = np.flatnonzero((label != 255).any(axis=1))
    inside = np.stack([samples.read(name, slice(rows[0], rows[-1] + 1)) for name in BANDS])
    values = {tuple(np.round(one, 5)) for one in inside.reshape(3, -1).T.astype(float)}
    first = drawn.values[:, :, 0, 0].astype(float)
    assert {tuple(np.round(one, 5)) for one in first} <= values  # nothing of another split


def test_a_card_without_patches_is_refused_with_the_remedy(tmp_path: Path) -> None:
    bare = card_of(tmp_path, "bare", landscape(0), QUICK)
    other = card_of(tmp_path, "other", landscape(0), MEAN)
    scene = make_stack(tmp_path / "scene.zarr", landscape(9))
    with pytest.raises(RequestError, match=r"patches of 4 px.*holds none") as raised:
        choose.choose([bare], scene, settings=MEAN)
    assert "unit: pixel" in str(raised.value.remedy)
    with pytest.raises(RequestError, match="holds patches of 4 px"):
        choose.choose([other], scene, settings=MEAN.model_copy(update={"unit_px": 8}))
    with pytest.raises(RequestError, match="larger than blocks"):
        patched(scene, MEAN.model_copy(update={"unit_px": 64}))
    with pytest.raises(ValidationError, match="power of two"):
        SelectionConfig(unit="patch_mean", unit_px=6)
