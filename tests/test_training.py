"""Training: learns, repeats itself, survives being killed, and keeps what the recipe says."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from pydantic import ValidationError
from safetensors.torch import load_file

from configs.checkpoint import Score, TrainingDomain, read_card
from configs.errors import RequestError
from configs.records import Level
from configs.training import OptimiserConfig, ScheduleConfig, TrainingConfig, read_training
from models.inference.normalise import Normaliser, fit
from models.inference.predict import Predictor, pick_precision
from models.metrics import Confusion, Sweep
from models.reference import Reference, from_chips
from models.training import curves, state
from models.training.batches import Batches, Order
from models.training.board import BOARD
from models.training.loop import Trained, learning_rate, pick_training_precision, train
from models.training.write_card import Facts, scored, write_checkpoint

BANDS = ("post_B4", "slope")


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw curves only where they are looked at: drawing takes longer than these trainings."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(curves, "draw", lambda folder, title: folder)


def chips(count: int = 12, side: int = 24, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return chips in which a landslide is where it is bright *and* steep, with holes and
    unlabelled pixels.
    """
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        coarse = rng.random((2, 4, 4))
        x = coarse.repeat(side // 4, 1).repeat(side // 4, 2) * np.array([0.4, 60])[:, None, None]
        y = ((x[0] > 0.2) & (x[1] > 25)).astype(np.uint8)
        if number % 3 == 2:
            y[:] = 0
            x[1] = 5
        x = x + rng.normal(0, (0.01, 1.0), (side, side, 2)).transpose(2, 0, 1)
        x[:, :2, :3] = np.nan
        y[-3:] = 255
        made.append((x.astype(np.float32), y))
    return made


def recipe(**changes: Any) -> TrainingConfig:
    fields: dict[str, Any] = {
        "name": "t",
        "samples": [{"path": "x"}],
        "architecture": "resu_net",
        "arguments": {"width": 8},
        "batch": 4,
        "steps": 12,
        "optimiser": OptimiserConfig(learning_rate=0.01),
        "average": 0.5,
        "validate_every": 4,
        "save_every": 5,
        "device": "cpu",
    }
    return TrainingConfig(**(fields | changes))


def run(config: TrainingConfig, folder: Path, **more: Any) -> Trained:
    return train(config, chips(), chips(4, seed=9), BANDS, folder, **more)


def table(folder: Path) -> list[dict[str, float]]:
    """Return the rows of a training's CSV table, cells that hold something."""
    with (folder / curves.TABLE).open(encoding="utf-8", newline="") as file:
        return [
            {name: float(cell) for name, cell in row.items() if cell}
            for row in csv.DictReader(file)
        ]


def test_tensorboard_shows_what_the_table_says(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    def stopped(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    config = recipe(tensorboard=True)
    assert config.identity == recipe().identity, "it changes no weight"
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path, advance=stopped)
    run(config, tmp_path)
    shown: dict[str, dict[int, float]] = {}
    for path in sorted((tmp_path / BOARD).iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = value.tensor.float_val[0]
                shown.setdefault(value.tag, {})[event.step] = number
    written = table(tmp_path)
    for tag, column in (("loss/training", "loss"), ("validation F1", "validation_f1")):
        expected = {int(row["step"]): row[column] for row in written if column in row}
        assert shown[tag] == pytest.approx(expected, rel=1e-6), tag
        assert expected


def test_the_page_logs_the_table_into_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import csv.*?)```", page, re.DOTALL)
    assert code
    curves.rewind(tmp_path, 0)
    curves.append(tmp_path, [{"step": 1, "loss": 0.5, "learning_rate": 0.1}])
    curves.append(tmp_path, [{"step": 2, "validation_loss": 0.4, "validation_f1": 0.6}])
    mlflow = MagicMock()  # MLflow itself wants other versions of what coslide pins
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setattr(sys, "argv", ["log_curves.py", "valley", str(tmp_path / curves.TABLE)])
    exec(compile(code[1], "docs/training.md", "exec"), {})
    assert mlflow.set_tracking_uri.call_args.args == ("sqlite:///mlflow.db",)
    logged = [call.args for call in mlflow.log_metrics.call_args_list]
    assert [step for _, step in logged] == [1, 2]
    assert logged[0][0] == {"loss": 0.5, "learning_rate": 0.1}
    assert logged[1][0] == {"validation_loss": 0.4, "validation_f1": 0.6}


def test_a_recipe_that_wants_tensorboard_says_so_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RequestError, match="TensorBoard, which is not installed") as wrong:
        run(recipe(tensorboard=True), tmp_path)
    assert "coslide[tensorboard]" in wrong.value.remedy


def test_it_learns_a_rule_and_leaves_a_picture(tmp_path: Path) -> None:
    trained = run(recipe(steps=60, loss={"dice": 1, "bce": 1}, normalisation="zscore"), tmp_path)
    records = curves.read(tmp_path)
    losses = [r["loss"] for r in records if "loss" in r]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert max(r["validation_f1"] for r in records if "validation_f1" in r) > 0.8
    assert trained.progress.step == 60
    assert not trained.module.training
    assert (tmp_path / curves.PICTURE).read_bytes()[:4] == b"\x89PNG"


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)  # the caller's own generator must not matter, nor be disturbed
        before = torch.get_rng_state()
        run(
            recipe(seed=seed, augmentation={"jitter": 0.1, "noise": 0.05}, crop_px=16),
            tmp_path / name,
        )
        assert torch.equal(torch.get_rng_state(), before)
    a, b, c = (curves.read(tmp_path / name) for name in "abc")
    assert a == b
    assert next(r["loss"] for r in a if "loss" in r) != next(r["loss"] for r in c if "loss" in r)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_cut_off_and_started_again_it_ends_the_same(tmp_path: Path, optimiser: str) -> None:
    config = recipe(
        optimiser={"name": optimiser, "learning_rate": 0.01}, schedule={"name": "cosine"}
    )
    whole = run(config, tmp_path / "whole")

    def cut_at(stop: int) -> Any:
        def advance(done: int, total: int) -> None:
            if done == stop:
                raise KeyboardInterrupt

        return advance

    for stop in (4, 8):  # before and after the first state on disk
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "cut", advance=cut_at(stop))
    again = run(config, tmp_path / "cut")
    for (name, a), b in zip(
        whole.module.state_dict().items(), again.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert curves.read(tmp_path / "whole") == curves.read(tmp_path / "cut")
    whole_table = (tmp_path / "whole" / curves.TABLE).read_text()
    assert whole_table == (tmp_path / "cut" / curves.TABLE).read_text()
    assert table(tmp_path / "cut") == curves.read(tmp_path / "cut")
    steps = []
    run(config, tmp_path / "cut", advance=lambda done, total: steps.append(done))
    assert steps == []  # finished: nothing is done again


KILLED = """
import os, signal, sys
from pathlib import Path
from test_training import recipe, run
def advance(done, total):
    if done == 7: os.kill(os.getpid(), signal.SIGKILL)
run(recipe(), Path(sys.argv[1]), advance=advance)
"""


def test_sigkill_loses_no_more_than_the_steps_since_the_last_state(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        env={"PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1", "PATH": ""},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with (tmp_path / "killed" / curves.CURVES).open("a") as file:
        file.write('{"step": 6, "lo')  # a line torn by the kill
    steps: list[int] = []
    killed = run(recipe(), tmp_path / "killed", advance=lambda done, total: steps.append(done))
    whole = run(recipe(), tmp_path / "whole")
    assert steps[0] == 6
    assert curves.read(tmp_path / "killed") == curves.read(tmp_path / "whole")
    for a, b in zip(
        killed.module.state_dict().values(), whole.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_an_unfinished_training_is_only_continued_by_its_own_recipe(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    with pytest.raises(RequestError, match="another recipe"):
        run(recipe(seed=5), tmp_path)
    run(recipe(title="the words may change"), tmp_path)
    (tmp_path / state.STATE).write_bytes(b"torn")
    with pytest.raises(RequestError, match="cannot be read"):
        run(recipe(), tmp_path)


def test_keeps_best_or_last_plain_or_average(tmp_path: Path) -> None:
    best = run(recipe(optimiser={"learning_rate": 0.05}, steps=20), tmp_path / "best")
    losses = {
        r["step"]: r["validation_loss"]
        for r in curves.read(tmp_path / "best")
        if "validation_loss" in r
    }
    assert best.progress.best_step == min(losses, key=losses.__getitem__)
    last = run(recipe(keep="last"), tmp_path / "last")
    plain = run(recipe(keep="last", average=0), tmp_path / "plain")
    saved = {
        n: t for n, t in load_file(tmp_path / "last" / state.STATE).items() if "/head.weight" in n
    }
    assert torch.equal(last.module.state_dict()["head.weight"], saved["average/head.weight"])
    assert torch.equal(plain.module.state_dict()["head.weight"], saved["model/head.weight"])
    assert not torch.equal(saved["average/head.weight"], saved["model/head.weight"])
    none = train(recipe(), chips(), None, BANDS, tmp_path / "none")
    assert none.progress.best_loss is None


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle", "poly"])
def test_schedules_stay_within_the_peak(name: str) -> None:
    schedule = ScheduleConfig(name=name, warmup=0.2)  # type: ignore[arg-type]
    rates = [learning_rate(schedule, 0.1, step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert min(rates) >= 0
    assert rates[:20] == sorted(rates[:20])
    if name == "constant":
        assert rates[20:] == [0.1] * 80
    else:
        assert rates[20:] == sorted(rates[20:], reverse=True)
        assert rates[-1] < 0.003
    flat = ScheduleConfig(name="poly", power=0.9)
    # Xu et al. (preprint)
    assert learning_rate(flat, 0.007, 50, 100) == pytest.approx(0.007 * 0.5**0.9)


def numbers(order: Order, steps: int) -> np.ndarray:
    return np.array([number for step in range(steps) for _, number in order.of(step)])


def test_every_pass_shows_every_chip_once_unless_balanced() -> None:
    order = Order(10, 4, seed=3)
    seen = numbers(order, 5)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert Order(10, 4, seed=3).of(4) == order.of(4)  # no history needed
    assert [number for number, _ in order.of(2)] == [0, 0, 1, 1]
    positive = np.arange(10) < 2
    seen = numbers(Order(10, 5, 3, 0.5, positive), 4)
    assert positive[seen].mean() == 0.5
    assert set(seen) == set(range(10))
    assert sorted(numbers(Order(10, 5, 3, 0.5, np.zeros(10, bool)), 2)) == list(range(10))


def test_a_set_that_changes_each_pass_is_told_the_pass(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    class Changing(list[tuple[np.ndarray, np.ndarray]]):
        epoch = -1

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __getitem__(self, index: Any) -> Any:
            told.append((self.epoch, index))
            return super().__getitem__(index)

    changing = Changing(chips(6))
    train(
        recipe(steps=3, batch=4),
        changing,
        None,
        BANDS,
        tmp_path,
        normalisation=fit(chips(), BANDS, "none"),
    )
    assert [epoch for epoch, _ in told] == [0] * 6 + [1] * 6
    assert sorted(index for _, index in told) == sorted([*range(6)] * 2)


def test_jitter_changes_seen_reflectance_only() -> None:
    samples = chips(4)
    normaliser = Normaliser.of(fit(samples, BANDS, "zscore"), BANDS)
    plain = Batches(samples, BANDS, Order(4, 4, 0), normaliser, recipe().augmentation)
    varied = Batches(
        samples,
        BANDS,
        Order(4, 4, 0),
        normaliser,
        recipe(augmentation={"jitter": 0.2}).augmentation,
    )
    (a, _), (b, _) = plain.at(0), varied.at(0)
    assert torch.equal(a[:, 1], b[:, 1])
    assert torch.equal(a[:, :, :2, :3], torch.zeros(4, 2, 2, 3))
    assert torch.equal(b[:, 0, :2, :3], torch.zeros(4, 2, 3))
    assert (a[:, 0] - b[:, 0]).abs().mean() > 0.05
    assert torch.equal(varied.at(3)[0], varied.at(3)[0])


def test_blur_softens_seen_reflectance_only() -> None:
    samples = chips(4)
    normaliser = Normaliser.of(fit(samples, BANDS, "zscore"), BANDS)
    plain = Batches(samples, BANDS, Order(4, 4, 0), normaliser, recipe().augmentation)
    blurred = Batches(
        samples, BANDS, Order(4, 4, 0), normaliser, recipe(augmentation={"blur_px": 2}).augmentation
    )
    (a, _), (b, _) = plain.at(0), blurred.at(0)
    assert torch.equal(a[:, 1], b[:, 1])
    assert b[:, 0].diff(dim=-1).abs().mean() < 0.9 * a[:, 0].diff(dim=-1).abs().mean()
    assert torch.equal(b[:, 0, :2, :3], torch.zeros(4, 2, 3))


def test_geometry_comes_from_outside_with_the_steps_own_generator(tmp_path: Path) -> None:
    drawn: list[float] = []

    def augment(
        x: np.ndarray, y: np.ndarray, names: Any, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        assert tuple(names) == BANDS
        drawn.append(rng.random())
        return x[..., ::-1], y[..., ::-1]

    run(recipe(steps=2), tmp_path, augment=augment)
    assert len(set(drawn)) == 8


def test_refuses_what_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no training sample"):
        train(recipe(), [], None, BANDS, tmp_path)
    with pytest.raises(RequestError, match=r"sample \d+ has shape"):
        train(
            recipe(normalisation="none"),
            chips(),
            None,
            (*BANDS, "dem"),
            tmp_path,
            normalisation=fit(chips(), BANDS, "none"),
        )
    with pytest.raises(RequestError, match="cannot be cropped to 32"):
        run(recipe(crop_px=32), tmp_path)
    with pytest.raises(RequestError, match="different sizes"):
        train(recipe(steps=1), chips(2) + chips(2, 16), None, BANDS, tmp_path / "sizes")
    with pytest.raises(RequestError, match="diverged"):
        run(recipe(optimiser={"name": "sgd", "learning_rate": 1e30}), tmp_path / "wild")
    with pytest.raises(ValidationError, match="not both"):
        recipe(epochs=3)


def test_reads_a_recipe_and_names_the_field_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("format: coslide/training/1\nname: a\nsamples: [{path: s}]\n")
    found = read_training(path)
    assert (found.optimiser.learning_rate, found.batch, found.loss.dice, found.keep) == (
        1e-4,
        5,
        1.0,
        "best",
    )
    assert found.length(100) == 1000  # 50 passes in batches of 5
    path.write_text("format: coslide/training/1\nname: a\nsamples: [{path: s}]\nbatch: many\n")
    with pytest.raises(RequestError, match="batch"):
        read_training(path)


def reference_of(samples: list[tuple[np.ndarray, np.ndarray]]) -> Reference:
    return from_chips(samples, BANDS, domain="here", count=200, slope_min_deg=5)


FACTS = Facts(
    "sentinel-2", Level.TOA, 10.0, (TrainingDomain(name="here", simulated=False, samples=12),), 24
)


def test_a_card_says_what_its_stored_weights_do(tmp_path: Path) -> None:
    validation = chips(4, seed=9)
    config = recipe(
        name="made",
        steps=40,
        loss={"dice": 1, "bce": 1},
        calibration="platt",
        normalisation="zscore",
    )
    trained = train(config, chips(), validation, BANDS, tmp_path / "work")
    asked: list[Predictor] = []

    def score(predictor: Predictor) -> list[Score]:
        asked.append(predictor)
        return [
            scored("far", Confusion(5, 1, 2, 90), simulated=False),
            scored("none", Confusion(0, 0, 0, 9), simulated=False),
        ]

    found = write_checkpoint(
        trained,
        tmp_path / "made",
        FACTS,
        reference_of(chips()),
        validation,
        score=score,
        device="cpu",
    )
    card = read_card(tmp_path / "made")
    assert card == found.card
    assert len(asked) == 1
    assert asked[0].card.threshold == card.threshold
    assert (card.calibration.method, card.tiles.mode, card.tiles.halo) == ("platt", "core", 56)
    assert [s.values["f1"] for s in card.scores if "f1" in s.values] == [10 / 13]
    loaded = found.load("cpu")
    x, y = np.stack([c[0] for c in validation]), np.stack([c[1] for c in validation])
    probability = loaded(x)
    own = Confusion.from_masks(probability >= card.threshold, y)
    assert own.f1 == pytest.approx(card.validation_f1, abs=2e-3)  # the sweep's steps of 0.001
    assert own.f1 == pytest.approx(Sweep.of(probability, y).best()[1].f1, abs=2e-3)
    assert own.f1 > 0.7
    assert asked[0](x) == pytest.approx(probability, abs=1e-6)
    assert found.reference().bands == BANDS
    assert all(
        file.stat().st_mode & 0o044 == 0o044 for file in (tmp_path / "made").iterdir()
    )  # others may read it
    assert card.training["steps"] == 40
    assert read_training(tmp_path / "made" / "training.yaml") == config


def test_no_half_a_card_is_left_behind(tmp_path: Path) -> None:
    trained = run(recipe(name="made", steps=2), tmp_path / "work")

    def score(predictor: Predictor) -> list[Score]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(
            trained,
            tmp_path / "made",
            FACTS,
            reference_of(chips()),
            None,
            score=score,
            device="cpu",
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["work"]
    first = write_checkpoint(
        trained, tmp_path / "made", FACTS, reference_of(chips()), None, device="cpu"
    )
    assert (first.card.threshold, first.card.validation_f1) == (0.5, None)
    with pytest.raises(RequestError, match="already a checkpoint"):
        write_checkpoint(trained, tmp_path / "made", FACTS, reference_of(chips()), None)
    again = write_checkpoint(
        trained, tmp_path / "made", FACTS, reference_of(chips()), None, overwrite=True, device="cpu"
    )
    assert again.card == first.card
    other = from_chips(
        [(x[:1], y) for x, y in chips()], BANDS[:1], domain="d", count=9, slope_min_deg=0
    )
    with pytest.raises(RequestError, match="reference sample has bands post_B4"):
        write_checkpoint(trained, tmp_path / "other", FACTS, other, None)


@pytest.mark.parametrize(
    ("known", "wanted"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"avx512_f": True}, torch.float32)],
)
def test_a_cpu_trains_in_half_precision_only_where_it_has_the_instructions(
    known: dict[str, bool], wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    cpu = torch.device("cpu")
    assert pick_training_precision("auto", cpu) == wanted
    assert pick_training_precision("bfloat16", cpu) == torch.bfloat16
    assert pick_training_precision("float32", cpu) == torch.float32
    assert pick_precision("auto") == torch.float32
