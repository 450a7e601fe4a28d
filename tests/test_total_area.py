"""The error-adjusted area: the paper's worked example, what blocks say, and where it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_scene import about, small_scene

from configs.checkpoint import Accuracy, Stratum
from configs.clean import CleanConfig
from configs.records import IGNORED
from flows.learning.accuracy import accuracy_of, counted
from inventory.summary import count_seen, headline, percent, summarise
from inventory.total_area import adjusted, error_adjusted

MADE = Accuracy(
    mapped=Stratum(share=0.6, units=41),
    unmapped=Stratum(share=0.05, units=20),
    mapped_fraction=0.1,
    measured_on="Iburi 2018",
)


def test_the_example_of_the_paper() -> None:
    # Olofsson et al. 2014, section 5: deforestation among four mapped classes of (area in hectares;
    # samples; of them deforestation). By hand: 200 000 · 66/75 + 3 200 000 · 1/165
    # + 6 450 000 · 2/325 = 235 086; the paper gives 235 086 ± 68 418 ha.
    classes = ((200_000, 75, 66), (150_000, 75, 0), (3_200_000, 165, 1), (6_450_000, 325, 2))
    strata = [(area / 100, Stratum(share=hit / n, units=n)) for area, n, hit in classes]
    found = error_adjusted(strata)
    assert found.km2 * 100 == pytest.approx(235_086, abs=1)
    assert (found.high_km2 - found.km2) * 100 == pytest.approx(68_418, abs=5)
    assert found.km2 - found.low_km2 == pytest.approx(found.high_km2 - found.km2)


def test_two_classes_by_hand() -> None:
    # 5 km² of 50 mapped: 5 · 0.6 + 45 · 0.05 = 5.25; variance 25 · 0.24/40 + 2025 · 0.0475/19
    # = 0.15 + 5.0625; 1.96 · 2.2831 = 4.475.
    found = adjusted(5, 50, MADE)
    assert found is not None
    assert found.km2 == pytest.approx(5.25)
    assert found.high_km2 == pytest.approx(9.725, abs=0.001)
    assert found.low_km2 == pytest.approx(0.775, abs=0.001)
    assert found.measured_on == "Iburi 2018"


@pytest.mark.parametrize("mapped_km2", [0, 0.1, 2.4, 10.1, 60])
def test_errors_of_another_kind_of_scene_say_nothing(mapped_km2: float) -> None:
    assert adjusted(mapped_km2, 50, MADE) is None
    assert adjusted(5, 50, None) is None


def test_blocks_are_the_samples_not_pixels() -> None:
    rng = np.random.default_rng(1)
    label = (rng.random((160, 160)) < 0.2).astype(np.uint8)
    mapped = np.zeros(label.shape, bool)
    mapped[:, ::2] = True
    label[:, 80:] = np.kron(rng.random((10, 5)) < 0.2, np.ones((16, 16))).astype(np.uint8)
    pixels, clumps = (
        accuracy_of({("there", "test"): counted(mapped[:, half], label[:, half], 16)})
        for half in (slice(0, 80), slice(80, 160))
    )
    assert pixels is not None
    assert clumps is not None
    # Independent pixels: as many samples as pixels (3 200 in 50 blocks, whose variance is known to
    # a fifth); whole blocks alike: as many as blocks.
    assert pixels.mapped.units == pytest.approx(80 * 160 / 4 * 2, rel=0.6)
    assert clumps.mapped.units == pytest.approx(50, rel=0.1)
    assert pixels.mapped.share == pytest.approx(0.2, abs=0.02)
    assert pixels.mapped_fraction == 0.5


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        rate = rng.beta(2, 8, (2, 40))  # of each block's ground, mapped and not
        blocks = np.zeros((40, 2, 2), np.int64)
        for row, ground in ((0, 900), (1, 100)):
            blocks[:, row, 1] = rng.binomial(ground, rate[row])
            blocks[:, row, 0] = ground - blocks[:, row, 1]
        found = adjusted(4, 40, accuracy_of({("there", "test"): blocks}))
        assert found is not None
        held += found.low_km2 <= 0.2 * 40 <= found.high_km2
    assert 0.88 <= held / 200 <= 0.99  # 0.95 ± three standard errors, 40 blocks are few


def test_too_little_ground_measures_nothing() -> None:
    label = np.full((64, 64), IGNORED, np.uint8)
    none = counted(np.zeros(label.shape, bool), label, 16)
    assert none.shape == (0, 2, 2)
    assert accuracy_of({("there", "test"): none}) is None
    assert accuracy_of({}) is None
    label[:16, :] = 1
    few = counted(np.ones(label.shape, bool), label, 16)
    assert few.sum() == 16 * 64
    assert accuracy_of({("there", "test"): few}) is None


def test_it_is_told_where_the_errors_are_known_and_nowhere_else(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    found = scene.outline(CleanConfig())
    seen = count_seen(scene.probability, scene.observation)
    share = found.landslides["area_m2"].sum() / 1e2 / seen.observed_px
    known = MADE.model_copy(update={"mapped_fraction": share})
    home = about(accuracy=known)
    plain = summarise(found, seen, home).as_plain()["landslide_area_adjusted"]
    assert plain["low_km2"] < plain["km2"] < plain["high_km2"]
    assert plain["measured_on"] == "Iburi 2018"
    assert "Iburi 2018" in " ".join(headline(summarise(found, seen, home)))
    assert "(intervalo del 95 %)" in " ".join(headline(summarise(found, seen, home), "es"))
    for domain in (True, "unknown"):
        away = replace(home, choice=replace(home.choice, out_of_domain=domain))
        summary = summarise(found, seen, away)
        assert summary.as_plain()["landslide_area_adjusted"] is None
        assert "interval" not in " ".join(headline(summary))
    assert summarise(found, seen, about()).total is None


def test_why_there_is_no_interval_is_told(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    found = scene.outline(CleanConfig())
    seen = count_seen(scene.probability, scene.observation)
    share = found.landslides["area_m2"].sum() / 1e2 / seen.observed_px
    sparse = MADE.model_copy(update={"mapped_fraction": share / 5})
    unmeasured, elsewhere = (
        " ".join(headline(summarise(found, seen, about(accuracy=each)))) for each in (None, sparse)
    )
    assert "off was not measured" in unmeasured
    assert f"{percent(share / 5)} where the errors were measured (Iburi 2018)" in elsewhere
