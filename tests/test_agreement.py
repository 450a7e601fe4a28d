"""A threshold from the scene itself: it follows the order of the probabilities, not their level,
and says where it comes from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cards import make_card
from numpy.typing import NDArray
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.records import Choice, Domain, Level
from flows.cli import main
from flows.commands.respond import configure
from models.inference.agreement import Agreement, agreement
from models.registry import Candidates, Checkpoint
from models.selection.threshold import of_scene

GIVEN: dict[str, Any] = {
    "source": "simulated",
    "epicentre": "42.7,142.0",
    "date": "2018-09-05",
    "radius_km": 3.0,
}
Rasters = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def scene(share: float = 0.06) -> tuple[Rasters, NDArray[np.bool_]]:
    """Return (probability, red, green) of a scene, 200 × 300 px, and where it is bare."""
    rng = np.random.default_rng(3)
    bare = np.zeros((200, 300), bool)
    bare[: round(200 * share * 2), 50:200] = True
    green = 0.08 + 0.01 * rng.normal(size=bare.shape)
    red = 0.8 * green + 0.05 * bare + 0.004 * rng.normal(size=bare.shape)
    logit = -3 + 4 * bare + rng.normal(size=bare.shape)
    probability = 1 / (1 + np.exp(-logit))
    found = tuple(part.astype(np.float32) for part in (probability, red, green))
    return (found[0], found[1], found[2]), bare


def found(rasters: Rasters, rows: int = 64) -> Agreement:
    firsts = range(0, len(rasters[0]), rows)
    one = agreement(lambda: [tuple(r[i : i + rows] for r in rasters) for i in firsts])  # type: ignore[misc]
    assert one is not None
    return one


def test_the_bare_ground_of_the_scene_is_what_is_called() -> None:
    rasters, bare = scene()
    called = rasters[0] >= found(rasters).threshold
    assert (called & bare).sum() / (called | bare).sum() > 0.8
    assert found(rasters).kappa > 0.8


@pytest.mark.parametrize("shift", [-3.0, -1.0, 1.5])
def test_a_checkpoint_that_is_too_shy_or_too_bold_here_calls_the_same(shift: float) -> None:
    rasters, _ = scene()
    usual = rasters[0] >= found(rasters).threshold
    logit = np.log(rasters[0] / (1 - rasters[0])) + shift
    moved = (1 / (1 + np.exp(-logit)), rasters[1], rasters[2])
    called = moved[0] >= found(moved).threshold
    assert (called != usual).mean() < 0.01
    assert (rasters[0] >= 0.3).sum() != (moved[0] >= 0.3).sum()


def test_gain_and_offset_of_the_light_and_the_strips_change_nothing() -> None:
    rasters, _ = scene()
    lit = (rasters[0], 3 * rasters[1] + 0.2, 2 * rasters[2] - 0.01)
    assert found(lit).threshold == pytest.approx(found(rasters).threshold, abs=2e-3)
    assert found(rasters, rows=17).threshold == pytest.approx(found(rasters).threshold, abs=1e-4)


def test_what_is_not_known_does_not_count() -> None:
    rasters, _ = scene()
    red = rasters[1].copy()
    red[100:, :40] = np.nan
    probability = rasters[0].copy()
    probability[100:, :40] = 0.999
    assert found((probability, red, rasters[2])).threshold == pytest.approx(
        found((np.where(np.isnan(red), np.nan, probability), red, rasters[2])).threshold
    )


def test_without_colours_there_is_no_agreement() -> None:
    rasters, _ = scene()
    flat = np.full_like(rasters[1], 0.1)
    assert agreement(lambda: [(rasters[0], flat, rasters[2])]) is None
    assert agreement(lambda: [(rasters[0], rasters[2], rasters[2])]) is None
    assert agreement(lambda: [(np.full_like(flat, np.nan), rasters[1], rasters[2])]) is None


def test_the_choice_is_part_of_a_request_only_where_it_is_made() -> None:
    plain, usual, ours = (
        configure(**GIVEN, settings=settings)
        for settings in ((), ("model.threshold=auto",), ("model.threshold=agreement",))
    )
    assert plain.request_id == usual.request_id != ours.request_id


@pytest.mark.parametrize(
    ("asked", "relative", "out_of_domain", "by_scene"),
    [
        ("auto", True, "unknown", True),
        ("auto", True, True, True),
        ("auto", True, False, False),
        ("auto", False, "unknown", False),
        ("card", True, True, False),
        ("agreement", False, False, True),
    ],
)
def test_relative_brightness_away_from_home_takes_the_scenes_threshold(
    asked: str, relative: bool, out_of_domain: Domain, by_scene: bool
) -> None:
    card = make_card(("post_B4", "post_B3", "post_B2"))
    if relative:
        normalisation = card.normalisation.model_copy(update={"adapt": "scene"})
        card = card.model_copy(update={"level": Level.DISPLAY, "normalisation": normalisation})
    cards = Candidates((Checkpoint(Path("nowhere"), card),))
    choice = Choice(card.name, None, (), out_of_domain, None, "")
    run = configure(**GIVEN, settings=(f"model.threshold={asked}",))
    assert of_scene(run, cards, choice) is by_scene
    named = configure(**GIVEN, settings=(f"model.threshold={asked}", "clean.threshold=0.4"))
    assert not of_scene(named, cards, choice)


def respond(ground: Path, name: str, capsys: pytest.CaptureFixture[str], **model: Any) -> Any:
    preset = ground / f"{name}.yaml"
    make_preset(preset, ground / "cards", "post")
    content = yaml.safe_load(preset.read_text())
    content["clean"]["threshold"] = None
    preset.write_text(yaml.safe_dump({**content, "model": content["model"] | model}))
    words = ["-q", "respond", *RUN, *AREA, "--config", str(preset), "--json"]
    words += ["--source", f"archive:{ground / 'archive'}", "--out", str(ground / "out")]
    with pytest.raises(SystemExit):
        main([*words, "--name", name])
    return json.loads(capsys.readouterr().out)


def test_a_run_says_that_its_threshold_is_the_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_archive(tmp_path / "archive")
    make_cards(tmp_path / "cards")
    own, ours = (respond(tmp_path, kind, capsys, threshold=kind) for kind in ("card", "agreement"))
    used = [
        json.loads(Path(one["products"]["provenance.json"]).read_text())["threshold"]
        for one in (own, ours)
    ]
    assert used[0] != used[1]
    assert not any("found on this scene" in line for line in own["warnings"])
    said = [line for line in ours["warnings"] if "found on this scene" in line]
    assert len(said) == 1
    assert f"{used[1]:.3g}" in said[0]
