"""The index: colour alone, beside every network; `auto` maps with it only where no network fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from calls import answered
from cards import make_card, save_card
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.errors import RequestError
from configs.records import Level, Offer
from models import registry
from models.architectures import ARCHITECTURES, INDEX, architecture_of, build

RGB = ("post_B4", "post_B3", "post_B2")


def test_it_is_a_weighted_sum_that_reaches_two_pixels() -> None:
    network = build(INDEX, 3)
    with torch.no_grad():
        network.get_submodule("sum").weight[:] = torch.tensor([1.0, -1.0, 0.5]).view(1, 3, 1, 1)
    flat = torch.tensor([2.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 9, 11)
    torch.testing.assert_close(network(flat), torch.full((1, 1, 9, 11), 2.0))
    one = torch.zeros(1, 3, 9, 9)
    one[0, 0, 4, 4] = 1
    answer = network(one)[0, 0]
    assert answer.sum().item() == pytest.approx(1)
    assert (answer > 0).sum() == 25
    assert answer[4, 4] == answer.max()


def test_it_is_no_network_and_yet_a_checkpoint_may_hold_it() -> None:
    assert INDEX not in ARCHITECTURES
    assert architecture_of(INDEX).stride == 1
    assert sum(p.numel() for p in build(INDEX, 3).parameters()) == 4
    with pytest.raises(RequestError, match="there is no network"):
        architecture_of("indexx")


def test_auto_takes_it_where_nothing_else_real_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "none")
    save_card(make_card(RGB, name="index", architecture=INDEX, arguments={}), tmp_path / "index")
    save_card(make_card((*RGB, "slope"), name="net"), tmp_path / "net")

    def chosen(*bands: str) -> list[str]:
        offer = Offer(
            source="archive",
            sensor="sentinel-2",
            level=Level.TOA,
            resolution_m=10.0,
            bands=frozenset(bands),
            simulated=False,
        )
        return [found.card.name for found in registry.candidates("auto", offer, [tmp_path])]

    assert chosen(*RGB) == ["index"]
    assert chosen(*RGB, "slope") == ["net"]


def respond(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """Return the answer of a request."""
    preset = make_preset(folder / "preset.yaml", folder / "cards", "post")
    if not (folder / "cards").exists():
        make_cards(folder / "cards")
    where = ("--out", str(folder / "out"), "--name", "quake")
    return answered(capsys, "respond", *RUN, *AREA, "--config", str(preset), *where, *more)


def test_every_real_map_says_what_colour_alone_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--source", f"archive:{make_archive(tmp_path / 'archive')}")
    answer = respond(tmp_path, capsys, *source)
    index = answer["index"]
    assert index["landslide_count"] > 0
    assert index["shared_km2"] <= min(index["landslide_area_km2"], answer["landslide_area_km2"])
    told = [words for words in answer["words"] if "colour alone" in words]
    assert len(told) == 1
    assert f"maps {index['landslide_count']} landslides" in told[0]
    again = respond(tmp_path, capsys, *source, "--checkpoint", "index")
    assert again["index"] is None, "it is the map itself"
    for key in ("landslide_count", "landslide_area_km2"):
        assert again[key] == pytest.approx(index[key], abs=5e-4)  # rounded


def test_the_simulated_earth_has_no_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert respond(tmp_path, capsys, "--source", "simulated:tephra-hills")["index"] is None
