"""Everything wrong with a file is said at once, by the names in the file, in words."""

from __future__ import annotations

from pathlib import Path

import click
import geopandas as gpd
import pyogrio
import pytest
import yaml
from shapely.geometry import box

import flows.cli
from configs.errors import RequestError
from configs.request import Request
from configs.sampling import read_sampling
from configs.service import read_service
from configs.training import read_training
from flows.cli import main
from flows.evaluate import _layers
from flows.resolve import check_drill, make_request, resolve
from flows.service.settings import PRESET
from gee.archive.manifest import read_manifest

_SETTINGS = flows.cli.coslide.context_settings


def test_all_missing_fields_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "samples.yaml"
    path.write_text("format: coslide/sampling/1\nname: two words\n")
    with pytest.raises(RequestError) as wrong:
        read_sampling(path)
    for field in ("title", "bands", "licence", "run", "truth"):
        assert f"{field}: is missing" in wrong.value.message
        assert f"`{field}`" in wrong.value.remedy
    assert "name (line 2): must be letters, digits" in wrong.value.message


def test_what_is_missing_inside_a_part_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "samples.yaml"
    path.write_text(
        "format: coslide/sampling/1\n"
        "title: a valley\n"
        "run:\n"
        "  event: {name: valley, latitude: 200}\n"
        "  source: {archive: images}\n"
        "truth:\n"
        "  kind: polygons\n"
        "  slides:\n"
        "    - file: truth.shp\n"
        "    - layer: slides\n"
    )
    with pytest.raises(RequestError) as wrong:
        read_sampling(path)
    for told in (
        "name: is missing",
        "run.event.time (line 4): is missing",
        "run.event.latitude (line 4): ",
        "run.event.longitude (line 4): is missing",
        "run.source.kind (line 5): is missing",
        "truth.slides.1.file (line 10): is missing",
        "bands: is missing",
        "licence: is missing",
    ):
        assert told in wrong.value.message
    assert "None" not in wrong.value.message


def test_a_manifest_says_in_which_lines_it_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "archive.yaml").write_text(
        "format: coslide/archive/1\nlevel: L1X\nscenes:\n  - id: before\n    bands: {B4: {}}\n"
    )
    with pytest.raises(RequestError) as wrong:
        read_manifest(tmp_path)
    for told in (
        "sensor: is missing",
        "level (line 2): ",
        "scenes.0.acquired (line 4): is missing",
        "scenes.0.bands.B4.file (line 5): is missing",
    ):
        assert told in wrong.value.message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("date", "5.9.2018", "a day, YYYY-MM-DD"),
        ("bounds", "here", "W,S,E,N"),
        ("usgs", "us 6000", "an event id of the USGS"),
        ("pre", "2018", "two days FROM/TO"),
    ],
)
def test_no_regular_expression_is_shown_to_anybody(field: str, value: str, words: str) -> None:
    with pytest.raises(RequestError) as wrong:
        make_request(**{field: value})
    assert words in wrong.value.message
    assert "pattern" not in wrong.value.message
    assert "^" not in wrong.value.message


def test_a_file_of_another_kind_does_not_bury_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("format: coslide/training/1\n" + "".join(f"f{n}: 1\n" for n in range(40)))
    with pytest.raises(RequestError, match=r"and [0-9]+ more") as wrong:
        read_training(path)
    assert len(wrong.value.message) < 2000


def test_layers_with_fields_of_any_name_are_written(tmp_path: Path) -> None:
    columns = {"FID": [7, 7], "fid": [1, 1], "geom": ["a", "b"], "Name": ["x", "y"], "name": [1, 2]}
    shapes = [box(0, 0, 1, 1), box(2, 0, 3, 1)]
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32654")
    _layers(tmp_path / "out.gpkg", {"missed": frame, "false": frame.iloc[:0]})
    back = pyogrio.read_dataframe(tmp_path / "out.gpkg", layer="missed")
    assert len(back) == 2
    assert back["FID_2"].tolist() == [7, 7]
    assert set(back.columns) == {"FID_2", "fid_3", "geom_2", "Name", "name_2", "geometry"}


def test_nobody_gets_the_simulated_earth_for_want_of_a_line() -> None:
    request = Request(latitude=42.7, longitude=142.1, date="2018-09-05")
    with pytest.raises(RequestError, match="no source of imagery is named") as wrong:
        resolve(request, {})
    assert "--source; ready on this machine: " in wrong.value.remedy
    assert "stac:earth-search" in wrong.value.remedy
    simulated = {"source": {"kind": "simulated"}}
    with pytest.raises(RequestError, match="real earthquakes would be mapped on the simulated"):
        check_drill(simulated, drill=False)
    check_drill(simulated, drill=True)


def test_a_service_file_that_is_written_names_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PRESET, "")  # `serve` hands its options on there

    def write(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            main(["serve", "--write-config", "service.yaml", *arguments])
        return left.value.code, capsys.readouterr().err

    code, said = write()
    assert code == 2
    assert "--source; ready on this machine: " in said
    assert not list(tmp_path.iterdir())
    assert write("--source", "archive:mine")[0] == 0
    service = read_service(tmp_path / "service.yaml")
    preset = yaml.safe_load(Path(str(service.preset)).read_text())
    assert preset["source"] == {"kind": "archive", "archive": str(tmp_path / "mine")}
    check_drill(preset, service.drill)
    (tmp_path / "service.yaml").unlink()
    assert "preset.yaml exists" in write("--source", "earthengine")[1]
    assert write("--preset", "preset.yaml")[0] == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["respnd"], "Did you mean `respond`?"),
        (["evalute"], "Did you mean `evaluate`?"),
        (["xyzzy"], "There are: respond, refresh"),
        (["respond", "--magnitud", "6"], "Did you mean '--magnitude'?"),
        (["cards", "--jsn"], "Did you mean '--json'?"),
    ],
)
def test_a_misspelled_command_or_option_is_guessed(
    given: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        flows.cli.main(given)
    assert left.value.code == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize("verb", list(flows.cli.VERBS))
def test_help_names_the_default_of_every_option(verb: str) -> None:
    context = click.Context(flows.cli.coslide, info_name="coslide", **_SETTINGS)
    command = flows.cli.coslide.get_command(context, verb)
    assert command is not None
    inside = click.Context(command, info_name=verb, parent=context)
    for option in command.params:
        if not isinstance(option, click.Option) or option.is_flag or option.multiple:
            continue
        _, words = option.get_help_record(inside) or ("", "")
        default = option.to_info_dict()["default"]
        if default not in (None, ""):
            assert f"default: {default}" in words, option.opts
