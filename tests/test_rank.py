"""`coslide rank`: the table of the choice, a user's own checkpoints beside those of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import answered
from cards import make_card
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.errors import RequestError
from models.registry import Candidates, Checkpoint, read_from


@pytest.mark.slow
def test_own_checkpoints_are_ranked_beside_those_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards = make_cards(tmp_path / "cards")
    preset = make_preset(tmp_path / "preset.yaml", cards / "post", "post")
    source = f"archive:{make_archive(tmp_path / 'archive')}"
    given = ("--config", str(preset), "--source", source, "--out", str(tmp_path / "out"))
    answered(capsys, "respond", *RUN, *AREA, *given, "--name", "valley")
    revision = str(tmp_path / "out" / "valley" / "r001")
    before = {row["card"] for row in answered(capsys, "rank", revision)["ranking"]}
    assert "post" in before, "the run's own folders count"
    answer = answered(capsys, "rank", revision, "--card-dir", str(cards))  # `post` is in both
    ranked = {row["card"] for row in answer["ranking"]}
    assert ranked | {row["card"] for row in answer["left_out"]} == before | {"both"}
    assert answer["chosen"] in ranked


def test_what_the_stack_lacks_is_told_of_each_checkpoint() -> None:
    every = tuple(
        Checkpoint(Path(name), make_card(bands, name=name))
        for name, bands in (("slope", ("post_B4", "slope")), ("both", ("pre_B4", "post_B4")))
    )
    able, left_out = read_from(Candidates(every), ("post_B4", "post_B3", "slope"))
    assert [found.card.name for found in able] == ["slope"]
    assert left_out == {"both": ("pre_B4",)}
    with pytest.raises(RequestError, match="no checkpoint reads what the stack holds: post_B3"):
        read_from(Candidates(every), ("post_B3",))
