"""The index: colour alone, beside every network; `auto` maps with it only where no network fits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cards import make_card, save_card

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
