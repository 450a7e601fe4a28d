"""The face for programs: a run from request to landslides in plain Python, and whose packages these
are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_archive import make_archive, make_cards, make_preset

import coslide
from configs.errors import RequestError
from coslide import packages

THRESHOLD = 0.4
"""An untrained network's probabilities lie around one half."""


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    ground = tmp_path_factory.mktemp("face")
    preset = make_preset(ground / "preset.yaml", make_cards(ground / "cards"), "post")
    quake = coslide.Request(
        latitude=42.70,
        longitude=142.11,
        date="2018-09-05",
        radius_km=1.2,
        as_of="2018-12-01",
        name="quake",
    )
    source = f"archive:{make_archive(ground / 'archive')}"
    content = yaml.safe_load(preset.read_text())
    content["clean"]["threshold"] = THRESHOLD
    return coslide.respond(quake, source=source, out=ground / "out", preset=content)


def test_a_run_opens_as_rasters_on_one_grid_and_a_table(answer: dict[str, object]) -> None:
    products = answer["products"]
    assert isinstance(products, dict)
    run = coslide.open_run(products["landslides.gpkg"])
    assert len(run.landslides) == answer["landslide_count"]
    assert run.data.rio.crs == run.landslides.crs
    assert {"probability", "mask", "observation", "post_B4", "slope"} <= set(run.data)
    assert all(variable.dims == ("y", "x") for variable in run.data.values())
    mapped = run.data.probability.where(run.data["mask"] == 1)
    assert mapped.notnull().any()
    assert float(mapped.min()) >= THRESHOLD
    assert float(run.data.post_B4.max()) < 1
    assert run.provenance["event"] == "quake"
    assert coslide.open_run(run.folder).data.sizes == run.data.sizes


def test_what_is_no_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is no revision"):
        coslide.open_run(tmp_path)


def test_it_hands_on_what_it_promises() -> None:
    assert set(coslide.__all__) <= {*dir(coslide), "Event", "Request"}
    assert {card.name for card in coslide.checkpoints()} >= {"iburi-post", "sim-mixed"}
    assert coslide.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute `nothing`"):
        _ = coslide.nothing


@pytest.mark.parametrize(
    ("name", "heavy"),
    [
        ("coslide", {"torch", "prefect", "ee", "rasterio"}),
        ("flows.service.deployments", {"torch", "matplotlib", "ee"}),
    ],
)
def test_what_only_starts_work_loads_nothing_heavy(name: str, heavy: set[str]) -> None:
    code = f"import {name}, sys; print({heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["configs", "models", "flows"])
def test_a_package_of_somebody_else_before_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    ours = Path(coslide.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ours}"}
    done = subprocess.run(
        [sys.executable, "-m", "coslide", "cards", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path.parent,
    )
    assert done.returncode == 2, done.stderr
    told = json.loads(done.stdout)
    assert f"`{name}` in {tmp_path / name}" in told["message"]
    assert "PYTHONPATH" in told["remedy"]
    environment["PYTHONPATH"] = str(ours)
    fine = subprocess.run(
        [sys.executable, "-m", "coslide", "cards", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path.parent,
    )
    assert json.loads(fine.stdout)["status"] == "ok"


def test_strangers_are_told_in_json_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "strangers", lambda: [("configs", "elsewhere/configs")])
    for argv, as_json in ((["coslide", "cards", "--json"], True), (["coslide", "cards"], False)):
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as left:
            packages.main()
        assert left.value.code == 2
        said = capsys.readouterr()
        assert "`configs` in elsewhere/configs" in said.out + said.err
        assert not as_json or json.loads(said.out)["remedy"].startswith("Start coslide from")
