"""`--set section.key=value`: over any configuration, checked by its model, kept with products."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import yaml
from conftest import REPOSITORY

import flows.cli
from configs.errors import RequestError
from configs.kit import read_kit
from configs.overrides import overlaid
from configs.run import RunConfig, read_run
from configs.sampling import read_sampling
from configs.service import read_service
from configs.studying import read_study
from configs.training import read_training
from flows.commands.respond import configure
from flows.refresh import _changed
from flows.resolve import make_request, resolve
from flows.service import settings as service_settings

TAKE_A_CONFIGURATION = (
    "respond", "refresh", "demo", "watch", "serve", "study", "freeze", "samples", "train",
)  # fmt: skip


def _run(*settings: str, **options: object) -> RunConfig:
    given = {"epicentre": "42.7,142.0", "date": "2018-09-05", "radius_km": 3.0}
    return configure(**{"source": "simulated", **given, **options}, settings=settings)


def _event_run() -> RunConfig:
    request = make_request(latitude=42.7, longitude=142.0, date="2018-09-05", radius_km=3)
    now = datetime(2018, 10, 1, tzinfo=UTC)
    return resolve(request, {"source": {"kind": "simulated"}}, now=now)


def test_settings_are_kept_in_the_file_beside_the_products(tmp_path: Path) -> None:
    run = _run("model.batch=2", "product.map.language=es", "clean.threshold=0.6", "keep=none")
    run.write(tmp_path / "run.yaml")
    back = read_run(tmp_path / "run.yaml")
    assert back.model.batch == 2
    assert back.product.map.language == "es"
    assert back.clean.threshold == 0.6
    assert back.keep == "none"
    assert back.model.choose_by == "mmd"  # the others as before


def test_the_file_gives_way_and_the_options_win(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("format: coslide/run/1\nmodel: {batch: 8, device: cpu}\nout: there\n")
    run = _run("model.batch=2", "out=elsewhere", config=path)
    assert (run.model.batch, run.model.device, run.out) == (2, "cpu", "elsewhere")
    assert _run("out=elsewhere", "model.choose_by=study", config=path, out="here").out == "here"
    assert yaml.safe_load(path.read_text())["model"] == {"batch": 8, "device": "cpu"}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.batch=none at all", "model.batch: must be a whole number"),
        ("product.map.sheets=a4", "must be a list, [a, b]"),
        ("model.subtract_pre=perhaps", "must be true or false"),
        ("clean.min_area_m2=much", "must be a number"),
        ("product.map.language=english", "must be 'en' or 'es'"),
        ("model.runtime=opnvino", "Did you mean `openvino`"),
        ("model.batsh=2", "Did you mean `batch`"),
        ("modle.batch=2", "Did you mean `model`"),
        ("model.batch", "is not SECTION.KEY=VALUE"),
        (".batch=2", "is not SECTION.KEY=VALUE"),
        *((f"{name}=2", f"`{name}`") for name in ("model", "source", "look", "windows")),
        ("keep.it=1", "keep"),
        ("out.folder=x", "out"),
        ("model.batch=[1,", "no value of a setting"),
        ("event.magnitude=7", "--set event"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(setting: str, told: str) -> None:
    with pytest.raises(RequestError) as wrong:
        _run(setting, out=None)
    words = f"{wrong.value.message} {wrong.value.remedy}"
    assert told in words, words
    for private in (
        "Extra inputs",
        "Input should",
        "dict",
        "tuple",
        "NoneType",
        "pattern",
        "yaml.",
    ):
        assert private not in words, words


def test_a_value_is_no_section() -> None:
    with pytest.raises(RequestError, match="`out` is a value, not a section"):
        overlaid({"out": "runs"}, ["out.folder=x"])
    assert overlaid({"a": None}, ["a.b.c=[1, 2]"]) == {"a": {"b": {"c": [1, 2]}}}


def test_an_event_takes_settings_on_and_keeps_what_it_is() -> None:
    run = _event_run()
    assert _changed(run, None, ()) is run
    changed = _changed(run, "iburi-post", ["refresh.policy=latest"])
    assert changed.refresh.policy == "latest"
    assert changed.model.checkpoint == "iburi-post"
    assert (changed.area, changed.windows, changed.event) == (run.area, run.windows, run.event)
    for setting in ("event.magnitude=7", "area=x", "windows.as_of=2020-01-01", "out=x"):
        with pytest.raises(RequestError, match="an event keeps it"):
            _changed(run, None, [setting])
    with pytest.raises(RequestError, match=r"event\.yaml"):
        _changed(run, None, ["refresh.coverage_target=0.5"])


def test_a_service_and_its_processes_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["runs.at_once=3", "watch.poll_minutes=2"]
    assert read_service(None, settings).runs.at_once == 3
    monkeypatch.setenv(service_settings.SETTINGS, "\n".join(settings))
    assert service_settings.service().watch.poll_minutes == 2
    with pytest.raises(RequestError, match="Did you mean `retries`"):
        read_service(None, ["runs.retrys=1"])


def test_a_study_takes_them() -> None:
    before, _ = read_study("quick")
    after, _ = read_study("quick", ["recipe.steps=7"])
    assert after.recipe == {**before.recipe, "steps": 7}


def test_recipes_sampling_files_and_kits_take_them() -> None:
    folder = REPOSITORY / "configs"
    recipe = folder / "recipes" / "resu-senet.yaml"
    assert read_training(recipe, ["seed=41"]).seed == 41
    sampling = folder / "samples" / "iburi-post.yaml"
    assert read_sampling(sampling, ["chip_px=64"]).chip_px == 64
    assert read_kit("rehearsal", ["title=mine"]).title == "mine"
    for read, what in ((read_training, recipe), (read_sampling, sampling), (read_kit, "rehearsal")):
        with pytest.raises(RequestError, match="there is no such setting"):
            read(what, ["titel.x=1"])  # type: ignore[operator]


SAID_TWICE = {
    "respond": [
        ("--out=a", "out=b"), ("--engine=plain", "engine=x"),
        ("--choose-by=mmd", "model.choose_by=study"),
        ("--checkpoint=a", "model.checkpoint=b"), ("--checkpoint=a", "model={checkpoint: b}"),
        ("--as-of=2020-01-01", "windows.as_of=2021-01-01"),
        ("--source=simulated", "source.kind=archive"),
        ("--source=simulated:x", "source.landscape=y"), ("--area=1,2,3,4", "area.kind=x"),
        ("--radius-km=3", "area={}"), ("--date=2020-01-01", "event.time=x"),
        ("--name=a", "event.name=b"),
    ],
    "refresh": [("--checkpoint=a", "model.checkpoint=b"), ("--engine=plain", "engine=x")],
    "demo": [("--out=a", "out=b")],
    "serve": [("--limit=1", "runs.at_once=2"), ("--preset=a", "preset=b")],
    "watch": [("--feed=a", "watch.feed=b")],
    "train": [("--seed=1", "seed=2"), ("--steps=1", "steps=2"), ("--fold=1", "splits={}")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "option", "setting"),
    [(verb, *pair) for verb, pairs in SAID_TWICE.items() for pair in pairs],
)
def test_an_option_and_a_setting_that_say_the_same_are_refused(
    verb: str, option: str, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"refresh": ["runs/x"], "train": ["first"]}.get(verb, [])
    with pytest.raises(SystemExit) as left:
        flows.cli.main([verb, *place, option, "--set", setting])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert f"{option.split('=')[0]} and --set {setting.split('=')[0]} say the same thing" in told


def test_a_setting_goes_before_the_quick_variant_too() -> None:
    recipe = REPOSITORY / "configs" / "recipes" / "resu-senet.yaml"
    settings = ["batch=3", "quick.steps=7"]
    quick = read_training(recipe, settings).quickened(settings)
    assert (quick.steps, quick.batch) == (7, 3)


@pytest.mark.parametrize("verb", TAKE_A_CONFIGURATION)
def test_every_verb_that_takes_a_configuration_has_it(verb: str) -> None:
    command = flows.cli.coslide.get_command(click.Context(flows.cli.coslide), verb)
    assert command is not None
    assert "--set" in [option for parameter in command.params for option in parameter.opts]
