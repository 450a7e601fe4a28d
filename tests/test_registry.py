"""The registry: which checkpoints exist, which a source can feed, and what it says when none or not
this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import BANDS, make_card, save_card

from configs.checkpoint import BandTarget, CheckpointCard, TrainingDomain
from configs.errors import RequestError
from configs.records import Level, Offer
from flows.publishing import other_level
from models import registry

PRE = ("pre_B4", *BANDS)
SIMULATED = (TrainingDomain(name="karst", simulated=True, samples=5),)


def offer(bands: tuple[str, ...] = PRE, **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "source": "archive",
        "sensor": "sentinel-2",
        "level": Level.TOA,
        "resolution_m": 10.0,
        "bands": frozenset(bands),
        "simulated": False,
    }
    return Offer(**(fields | changes))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of checkpoints: two real, two simulated, one of another sensor, one of
    another pixel size.
    """
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    folder = tmp_path / "own"
    for card in (
        make_card(name="real-post"),
        make_card(PRE, name="real-both"),
        make_card(name="made-post", domains=SIMULATED),
        make_card(PRE, name="made-both", domains=SIMULATED),
        make_card(name="landsat", sensor="landsat-8"),
        make_card(name="coarse", resolution_m=30),
    ):
        save_card(card, folder / card.name)
    return folder


def names(found: registry.Candidates) -> list[str]:
    return [one.card.name for one in found]


def test_auto_gives_real_cards_to_real_events_and_simulated_ones_to_simulated_events(
    shelf: Path,
) -> None:
    real = registry.candidates("auto", offer(), [shelf])
    assert names(real) == ["real-both", "real-post"]
    assert (real.bands, real.resolution_m, real.sensor, real.level) == (
        PRE,
        10,
        "sentinel-2",
        Level.TOA,
    )
    assert real.warnings == ()
    assert names(registry.candidates("auto", offer(simulated=True), [shelf])) == [
        "made-both",
        "made-post",
    ]


def test_auto_leaves_out_what_cannot_be_fed(shelf: Path) -> None:
    assert names(registry.candidates("auto", offer(BANDS), [shelf])) == ["real-post"]
    assert names(registry.candidates("auto", offer(sensor="landsat-8"), [shelf])) == ["landsat"]
    assert names(registry.candidates("auto", offer(resolution_m=30.0), [shelf])) == ["coarse"]
    assert names(registry.candidates("auto", offer(resolution_m=3.0), [shelf])) == [
        "real-both",
        "real-post",
    ]
    with pytest.raises(RequestError, match=r"no checkpoint fits.*real-post: needs slope"):
        registry.candidates("auto", offer(("post_B4", "post_B3")), [shelf])
    with pytest.raises(RequestError, match="made for level L1C, the source has L2A"):
        registry.candidates("auto", offer(level=Level.SURFACE), [shelf])


def test_a_stranger_is_only_taken_where_nothing_else_fits_and_says_so(
    tmp_path: Path, shelf: Path
) -> None:
    other = tmp_path / "simulated-only"
    save_card(make_card(name="made", domains=SIMULATED), other / "made")
    found = registry.candidates("auto", offer(), [other])
    assert names(found) == ["made"]
    assert "simulated" in found.warnings[0]
    assert "made" in found.warnings[0]
    save_card(make_card(name="real"), tmp_path / "real-only" / "real")
    back = registry.candidates("auto", offer(simulated=True), [tmp_path / "real-only"])
    assert "no simulated checkpoint fits" in back.warnings[0]


def test_a_named_card_is_always_allowed_with_its_doubts(shelf: Path) -> None:
    found = registry.candidates("made-post", offer(), [shelf])
    assert found.named == names(found)[0] == "made-post"
    assert "simulated" in found.warnings[0]
    both = registry.candidates("real-both", offer(), [shelf])
    assert names(both) == ["real-both", "real-post"]  # ranked beside it: needs no band more
    assert both.bands == PRE
    assert names(registry.candidates("real-post", offer(), [shelf])) == ["real-post"]
    assert "made for landsat-8" in registry.candidates("landsat", offer(), [shelf]).warnings[0]


def test_a_named_card_that_cannot_work_says_why(shelf: Path) -> None:
    with pytest.raises(RequestError, match="there is no checkpoint `nonsense`") as unknown:
        registry.candidates("nonsense", offer(), [shelf])
    assert "real-post" in unknown.value.remedy
    with pytest.raises(
        RequestError, match="`real-both` needs pre_B4, which archive does not offer"
    ):
        registry.candidates("real-both", offer(BANDS), [shelf])


def test_finds_shipped_and_own_cards_and_refuses_doubles(tmp_path: Path, shelf: Path) -> None:
    assert len(registry.find([shelf])) == 6
    save_card(make_card(name="real-post", title="shipped"), registry.SHIPPED / "real-post")
    assert [card.title for _, card in registry.find() if card.name == "real-post"] == ["shipped"]
    assert [card.title for _, card in registry.find([shelf]) if card.name == "real-post"] != [
        "shipped"
    ]
    save_card(make_card(name="real-post"), tmp_path / "more" / "real-post")
    with pytest.raises(RequestError, match="two checkpoints are called `real-post`"):
        registry.find([shelf, tmp_path / "more"])
    with pytest.raises(RequestError, match="no such folder of checkpoints"):
        registry.find([tmp_path / "nowhere"])
    (tmp_path / "more" / "real-post" / "card.yaml").write_text("format: coslide/card/1\nname: x\n")
    with pytest.raises(RequestError, match="title: is missing"):
        registry.find([tmp_path / "more"])
    single = registry.find([shelf / "coarse"])
    assert "coarse" in [card.name for _, card in single]  # the folder of one checkpoint


def test_shipped_cards_are_whole() -> None:
    for found in registry.find():
        predictor = found.load("cpu")
        assert predictor.bands == found.card.bands
        reference = found.reference()
        assert reference.bands == found.card.bands
        assert np.isfinite(reference.values).all()
        assert sum(f.stat().st_size for f in found.folder.iterdir()) < 5.5e6
        assert isinstance(found.card, CheckpointCard)


def test_loads_the_network_and_refuses_tampered_files(shelf: Path) -> None:
    found = registry.candidates("real-post", offer(), [shelf]).by_name("real-post")
    assert found.load("cpu")(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 64, 64)
    with pytest.raises(RequestError, match="has no reference sample"):
        found.reference()
    (found.folder / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(RequestError, match="weights of checkpoint `real-post` are not those"):
        found.load("cpu")
    with pytest.raises(RequestError, match="`other` is not among the candidates"):
        registry.candidates("auto", offer(), [shelf]).by_name("other")


def adaptive(name: str, **changes: Any) -> CheckpointCard:
    plain = make_card(name=name, **changes)
    toward = {
        band: BandTarget(mean=0.1, std=0.05, quantiles=(0.0, 0.1, 0.3))
        for band in plain.bands
        if "_B" in band
    }
    normalisation = plain.normalisation.model_copy(update={"adapt": "scene", "toward": toward})
    return plain.model_copy(update={"normalisation": normalisation})


def test_another_level_is_no_obstacle_where_scenes_are_adapted(tmp_path: Path) -> None:
    for card in (make_card(name="plain"), adaptive("adaptive")):
        save_card(card, tmp_path / card.name)
    surface, display = offer(level=Level.SURFACE), offer(level=Level.DISPLAY)
    assert names(registry.candidates("auto", offer(), [tmp_path])) == ["adaptive", "plain"]
    assert names(registry.candidates("auto", surface, [tmp_path])) == ["adaptive"]
    both = registry.candidates("auto", surface, [tmp_path], adapts=True)
    assert names(both) == ["adaptive", "plain"]
    assert both.warnings == ()
    with pytest.raises(RequestError, match="made for level L1C, the source has display"):
        registry.candidates("auto", display, [tmp_path], adapts=True)
    (doubt,) = registry.candidates("plain", surface, [tmp_path]).warnings
    assert "made for level L1C, the source has L2A" in doubt
    assert "--set model.adapt=scene" in doubt
    assert not registry.candidates("plain", surface, [tmp_path], adapts=True).warnings
    assert not registry.candidates("adaptive", surface, [tmp_path]).warnings


def test_the_product_says_what_another_level_costs() -> None:
    surface, same = offer(level=Level.SURFACE), offer()
    (words,) = other_level(adaptive("adaptive"), surface)
    assert "was trained on L1C and the source has L2A" in words
    assert "not measured" in words
    assert not other_level(adaptive("adaptive"), same)
    assert not other_level(adaptive("relative", level=Level.DISPLAY), surface)
    assert not other_level(make_card(name="plain"), surface), "the registry doubts it already"
