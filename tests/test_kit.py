"""Kits: which mixtures the inventories that are there make, what they would take, and two simulated
events from beginning to end.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import yaml
from calls import answered, call
from shapely import box

from configs.area import from_bounds
from configs.checkpoint import read_card
from configs.errors import MachineError, NothingToSeeError, RequestError
from configs.kit import KITS, read_kit
from configs.published import published
from configs.selection import read_selection
from flows.learning.inventories import check
from flows.study import kit as kits
from flows.study import pool
from models.selection.home import trained_on


def traced(folder: Path, name: str, width_deg: float = 0.02) -> Path:
    """Write an inventory of small squares about its event's epicentre."""
    event = published(name).earthquake
    step = width_deg / 20
    squares = [
        box(x, y, x + step / 2, y + step / 2)
        for x, y in (
            (event.longitude + step * i, event.latitude + step * j)
            for i in range(20)
            for j in range(20)
        )
    ]
    path = folder / f"{name}.gpkg"
    gpd.GeoDataFrame(geometry=squares, crs="EPSG:4326").to_file(path)
    return path


def simulated_kit(folder: Path, **changes: Any) -> Path:
    """Return a kit without stand-ins: polygons over simulated imagery."""
    content = yaml.safe_load((KITS / "rehearsal.yaml").read_text(encoding="utf-8"))
    del content["stand_ins"]
    path = folder / "kit.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False), encoding="utf-8")
    return path


def run_kit(name: str | Path, folder: Path, **options: Any) -> dict[str, Any]:
    options = {"given": {}, "folder": folder, **options}
    return kits.train_kit(str(name), folder / "cards", folder / "work", **options)


def test_the_paper_mixtures_and_every_event_left_out_of_those_that_are_there() -> None:
    kit = read_kit("yang2024")
    two = {
        made.name: made.chips(kit.total) for made in kit.mixtures(("iburi-2018", "jiuzhaigou-2017"))
    }
    assert list(two) == ["Ib700", "J700", "Ib200J500", "Ib350J350", "Ib500J200"]
    assert all(sum(chips.values()) == kit.total for chips in two.values())
    assert two["Ib200J500"] == {"iburi-2018": 50, "jiuzhaigou-2017": 125}
    four = ("iburi-2018", "palu-2018", "kaikoura-2016", "porgera-2018")
    made = {one.name: set(one.domains) for one in kit.mixtures(four)}
    assert made == {"Ib700": {"iburi-2018"}} | {
        f"without-{one}-of-4": {*four} - {one} for one in four
    }


def test_a_mixture_of_doubtful_terms_says_so_in_its_licence() -> None:
    kit = read_kit("yang2024")
    events = ("kaikoura-2016", "noto-2024", "iburi-2018")
    study = kit.study(events, simulated=False)
    licences = {made.name: study.training(made, 0).licence for made in study.compositions}
    assert "iburi-2018" in licences["Ib700"]
    assert licences["without-iburi-2018-of-3"] == "Apache-2.0"
    assert "iburi-2018" in licences["without-noto-2024-of-3"]
    assert "kaikoura" not in " ".join(licences.values())
    stand_ins = kit.study(events, simulated=True)
    assert {stand_ins.training(one, 0).licence for one in stand_ins.compositions} == {"Apache-2.0"}


def test_one_more_inventory_leaves_what_is_trained_as_it_is() -> None:
    kit = read_kit("yang2024")
    two = kit.mixtures(("iburi-2018", "jiuzhaigou-2017"))
    three = kit.mixtures(("iburi-2018", "jiuzhaigou-2017", "kaikoura-2016"))
    assert {one.name for one in two} < {one.name for one in three}
    assert [one for one in three if one.name in {made.name for made in two}] == list(two)


def test_where_authors_looked_and_could_not_see_is_part_of_the_samples(tmp_path: Path) -> None:
    name = "iburi-2018"
    found = check(str(traced(tmp_path, name)), published(name))
    kit = read_kit("yang2024")
    assert set(kits.sampling_of(kit, found, tmp_path)["truth"]) == {"kind", "slides"}
    for part in ("extent", "hidden"):
        shutil.copy(tmp_path / f"{name}.gpkg", tmp_path / f"{name}.{part}.gpkg")
    truth = kits.sampling_of(kit, found, tmp_path)["truth"]
    assert truth["inside"]["file"].endswith("iburi-2018.extent.gpkg")
    assert truth["ignore"][0]["file"].endswith("iburi-2018.hidden.gpkg")


def test_a_kit_that_names_what_is_not_published_is_refused(tmp_path: Path) -> None:
    for change, says in (
        ({"compositions": [{"name": "a", "shares": {"atlantis": 1}}]}, "no inventory atlantis"),
        ({"recipe": {"bands": ["post_B4"]}}, "leaves `bands`"),
        ({"recipe": {"stepp": 3}}, "stepp"),
    ):
        with pytest.raises(RequestError, match=says):
            read_kit(str(simulated_kit(tmp_path, **change)))
    with pytest.raises(RequestError, match="yang2024"):
        read_kit("nothing")


def test_a_dry_run_tells_what_it_would_take_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traced(tmp_path, "iburi-2018")
    file = traced(tmp_path, "luding-2022").rename(tmp_path / "elsewhere.gpkg")
    arguments = ["train", "--kit", str(simulated_kit(tmp_path, largest_km2=2)), "--dry-run"]
    arguments += ["--inventories", str(tmp_path), "--inventory", f"luding-2022={file}"]
    told = answered(capsys, *arguments, "--work", tmp_path / "work")
    events = {row["name"]: row for row in told["estimate"]["events"]}
    assert set(events) == {"iburi-2018", "luding-2022"}
    assert all(0 < row["km2"] <= 2.1 and row["scenes"] for row in events.values())
    assert told["estimate"]["checkpoints"] == 2  # Ib700 is what leaves Luding out
    assert told["estimate"]["hours"] > 0
    assert told["estimate"]["disk_gigabytes"] > 0
    assert not any(path.is_dir() for path in (tmp_path / "work").rglob("samples/*"))
    assert "requests" in "\n".join(told["estimate"]["words"])


@pytest.mark.parametrize("largest_km2", [1.0, 30.0, 3000.0])
def test_an_area_is_no_larger_than_allowed_and_about_the_middle(
    tmp_path: Path, largest_km2: float
) -> None:
    found = check(str(traced(tmp_path, "iburi-2018", 0.2)), published("iburi-2018"))
    area = from_bounds(kits.area_of(found, largest_km2))
    assert area.km2 <= 1.02 * largest_km2
    assert area.polygon.contains(box(*found.middle * 2).centroid)
    if largest_km2 == 3000:
        assert area.polygon.contains(box(*found.bounds))
    aside = replace(found, middle=(found.bounds[0], found.bounds[1]))
    assert from_bounds(kits.area_of(aside, largest_km2)).km2 <= 1.02 * largest_km2


def test_what_cannot_make_a_kit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = simulated_kit(tmp_path)
    with pytest.raises(RequestError, match="0 inventories are there"):
        run_kit(kit, tmp_path)
    traced(tmp_path, "iburi-2018")
    with pytest.raises(RequestError, match="needs two"):
        run_kit(kit, tmp_path)
    traced(tmp_path, "kaikoura-2016").rename(tmp_path / "palu-2018.gpkg")
    with pytest.raises(RequestError, match="wrong event"):
        run_kit(kit, tmp_path)
    (tmp_path / "palu-2018.gpkg").unlink()
    with pytest.raises(RequestError, match="no inventory `atlantis`"):
        run_kit(kit, tmp_path, given={"atlantis": "x.gpkg"})
    traced(tmp_path, "luding-2022")
    monkeypatch.setattr(kits.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(MachineError, match="free"):
        run_kit(kit, tmp_path)


def test_an_event_before_sentinel_2_is_left_out_with_the_reason(tmp_path: Path) -> None:
    traced(tmp_path, "gorkha-2015")
    content = yaml.safe_load((KITS / "rehearsal.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "kit.yaml"
    path.write_text(
        yaml.safe_dump({**content, "source": {"kind": "earthengine"}}), encoding="utf-8"
    )
    told = run_kit(path, tmp_path, dry_run=True)
    assert "no Sentinel-2 image" in told["left_out"]["gorkha-2015"]
    assert "gorkha-2015" in kits.words(told)


@pytest.mark.slow
def test_two_simulated_events_become_checkpoints_and_a_killed_kit_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        trained: list[str] = []

        def stop(config: Any, *rest: Any) -> Any:
            if len(trained) == 2:
                raise KeyboardInterrupt
            trained.append(config.name)
            return train_card(config, *rest)

        train_card = pool.train_card
        killed.setattr(pool, "train_card", stop)
        with pytest.raises(KeyboardInterrupt):
            run_kit("rehearsal", tmp_path)
    assert not (tmp_path / "cards").exists()
    samples = tmp_path / "work" / "rehearsal" / "samples"
    before = {path: path.stat().st_mtime_ns for path in samples.rglob("*") if path.is_file()}

    again: list[str] = []

    def counted(config: Any, *rest: Any) -> Any:
        again.append(config.name)
        return train_card(config, *rest)

    monkeypatch.setattr(pool, "train_card", counted)
    found = run_kit("rehearsal", tmp_path)
    assert set(again).isdisjoint(trained)
    assert sorted([*again, *trained]) == sorted(found["checkpoints"])
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {p for p in before if before[p] != after[p]} <= set(samples.glob("*.yaml"))

    assert [name.removesuffix("-s0") for name in found["checkpoints"]] == [
        "Ib700", "J700", "Ib200J500", "Ib350J350", "Ib500J200",
    ]  # fmt: skip
    card = read_card(tmp_path / "cards" / "Ib200J500-s0")
    assert {domain.name: domain.samples for domain in card.domains} == {
        "iburi-2018": 4,
        "jiuzhaigou-2017": 10,
    }
    assert card.simulated
    assert "tephra-hills for Hokkaido Eastern Iburi, Japan 2018 (simulated)" in trained_on(card)
    config = read_kit("rehearsal")
    calibrated = read_selection(Path(found["selection"])).calibration(config.bands, simulated=True)
    assert calibrated is not None
    report = Path(found["report"]).read_text(encoding="utf-8")
    assert "Simulated throughout" in report
    assert "none of them in any training" not in report, "they are judged on their own test blocks"
    assert "nan" not in report
    assert "5 checkpoints" in kits.words(found)

    once_more = run_kit("rehearsal", tmp_path)
    assert len(again) + len(trained) == 5
    assert once_more["study"] == found["study"]
    assert all(row["done"] for row in once_more["estimate"]["events"])

    content = yaml.safe_load((KITS / "rehearsal.yaml").read_text(encoding="utf-8"))
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**content, "chip_px": 40}), encoding="utf-8")
    with pytest.raises(RequestError, match="cut by another kit"):
        run_kit(other, tmp_path)


def test_no_imagery_is_said_before_anything_is_made(tmp_path: Path) -> None:
    traced(tmp_path, "iburi-2018")
    traced(tmp_path, "luding-2022")
    (tmp_path / "empty").mkdir()
    with pytest.raises((RequestError, NothingToSeeError)):
        run_kit(
            simulated_kit(tmp_path, source={"kind": "archive", "archive": str(tmp_path / "empty")}),
            tmp_path,
        )
    assert not (tmp_path / "cards").exists()


def test_kit_and_recipe_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["train"], "give a recipe or a kit"),
        (["train", "x.yaml", "--kit", "rehearsal"], "one of them"),
        (["train", "--kit", "rehearsal", "--steps", "3"], "--steps does not go with --kit"),
        (["train", "--kit", "rehearsal", "--inventory", "x.gpkg"], "is not NAME=FILE"),
    ):
        code, answer = call(capsys, *arguments)
        assert code == 2
        assert says in answer["message"]
