"""One contract for every Earth: whatever answers `Source`, the steps behind it may rely on this."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from fake_source import an_event, small_world
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.bands import BANDS, DERIVED, TERRAIN, When, inputs_of, parse_band
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows, default_windows
from configs.records import ObservationClass
from configs.stack import CHUNK_PX
from gee.archive import ArchiveSource
from gee.derive import MARGIN_PX, terrain
from gee.simulated.source import SimulatedSource
from gee.source import Plan, Source
from gee.stack import assemble

EVENT = an_event()
AREA = around(EVENT.latitude, EVENT.longitude, 2.6)
AS_OF = datetime(2018, 12, 1, tzinfo=UTC)
WINDOWS = default_windows(EVENT, AS_OF, 200, 80)


class SourceContract:
    """What every source keeps. Subclasses give the source and the bands to ask for."""

    bands: tuple[str, ...] = ("pre_B4", "post_B4", "post_B2", "slope", "hillshade")
    lacking: str = "post_B9"
    """A band it does not have."""
    event: Event = EVENT
    area: Area = AREA
    windows: Windows = WINDOWS

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Source:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def plan(cls, source: Source) -> Plan:
        return source.plan(cls.area, cls.area.geobox(10), cls.event, cls.windows, cls.bands)

    def test_the_offer_is_made_of_known_bands_and_their_inputs(self, source: Source) -> None:
        offer = source.offer()
        assert offer.source == source.name
        assert offer.resolution_m > 0
        assert set(self.bands) <= offer.bands
        for name in offer.bands:
            parsed = parse_band(name)
            if parsed.band.name in DERIVED and name not in TERRAIN:
                assert set(inputs_of((name,))) <= offer.bands, (
                    f"{name} is offered without what it is derived from"
                )

    def test_blocks_are_whole_chunks(self, source: Source) -> None:
        assert source.block_px > 0
        assert source.block_px % CHUNK_PX == 0
        assert source.workers >= 1

    def test_the_extent_holds_the_area(self, source: Source) -> None:
        extent = source.extent()
        assert extent is None or extent.intersects(self.area.polygon)

    def test_the_plan_covers_the_bands_and_nothing_derived(self, plan: Plan) -> None:
        assert plan.bands == tuple(name for name in inputs_of(self.bands) if name != "dem")
        assert plan.needs_elevation
        assert not any(parse_band(name).band.name in DERIVED for name in plan.bands)

    def test_scenes_lie_in_their_windows_and_ids_are_unique(self, plan: Plan) -> None:
        assert {scene.when for scene in plan.scenes} == {When.PRE, When.POST}
        for scene in plan.scenes:
            assert self.windows.holds(scene.when, scene.acquired, self.event)
            assert scene.clear_fraction is None or 0 <= scene.clear_fraction <= 1
        keys = [(scene.when, scene.id) for scene in plan.scenes]
        assert len(set(keys)) == len(keys)

    def test_a_plan_is_the_same_twice(self, source: Source, plan: Plan) -> None:
        again = source.plan(self.area, self.area.geobox(10), self.event, self.windows, self.bands)
        assert again.scenes == plan.scenes
        assert dict(again.details) == dict(plan.details)

    def test_as_of_hides_later_scenes_and_nothing_else(self, source: Source, plan: Plan) -> None:
        posts = sorted(scene.acquired for scene in plan.scenes if scene.when is When.POST)
        middle = posts[0] + timedelta(hours=1)
        earlier = self.windows.model_copy(update={"as_of": middle})
        found = source.plan(self.area, self.area.geobox(10), self.event, earlier, self.bands)
        assert {scene.id for scene in found.scenes} == {
            scene.id for scene in plan.scenes if scene.acquired <= middle
        }
        before = self.windows.model_copy(update={"as_of": posts[0] - timedelta(hours=1)})
        with pytest.raises(NothingToSeeError, match="post"):
            source.plan(self.area, self.area.geobox(10), self.event, before, self.bands)

    def test_a_window_nobody_reads_may_be_empty(self, source: Source) -> None:
        day = self.event.time.date()
        no_pre = self.windows.model_copy(
            update={"pre": self.windows.pre.model_copy(update={"first": day, "last": day})}
        )
        posts = tuple(name for name in self.bands if not name.startswith("pre_"))
        found = source.plan(self.area, self.area.geobox(10), self.event, no_pre, posts)
        assert {scene.when for scene in found.scenes} == {When.POST}
        with pytest.raises(NothingToSeeError, match="pre"):
            source.plan(self.area, self.area.geobox(10), self.event, no_pre, self.bands)

    def test_a_band_it_does_not_have_is_refused_by_name(self, source: Source) -> None:
        with pytest.raises(RequestError, match=self.lacking):
            source.plan(self.area, self.area.geobox(10), self.event, self.windows, (self.lacking,))

    def test_a_block_is_the_crop_of_a_larger_one_bit_for_bit(
        self, source: Source, plan: Plan
    ) -> None:
        large = plan.geobox[100:340, 130:400]
        whole = source.pull(plan, large)
        for rows, columns in (
            (slice(0, 70), slice(0, 80)),
            (slice(101, 240), slice(59, 270)),
            (slice(5, 6), slice(7, 8)),
        ):
            part = source.pull(plan, large[rows, columns])
            for name in plan.bands:
                np.testing.assert_array_equal(
                    part.bands[name], whole.bands[name][rows, columns], err_msg=name
                )
            for when in When:
                np.testing.assert_array_equal(
                    part.observation[when], whole.observation[when][rows, columns]
                )
                np.testing.assert_array_equal(part.date[when], whole.date[when][rows, columns])

    def test_what_is_pulled_agrees_with_itself(self, source: Source, plan: Plan) -> None:
        pulled = source.pull(plan, plan.geobox)
        shape = tuple(plan.geobox.shape)
        assert set(pulled.bands) == set(plan.bands)
        days = {
            when: {
                (one.acquired.date() - datetime(1970, 1, 1).date()).days
                for one in plan.scenes
                if one.when is when
            }
            for when in When
        }
        for when in When:
            seen, date = pulled.observation[when], pulled.date[when]
            assert (seen.shape, date.shape) == (shape, shape)
            assert seen.dtype == np.uint8
            assert set(np.unique(seen)) <= set(ObservationClass) - {ObservationClass.NO_PRE}
            np.testing.assert_array_equal(date == 0, seen == ObservationClass.NOT_IMAGED)
            assert set(np.unique(date)) - {0} <= days[when]
            assert (seen == ObservationClass.CLEAR).any()
        for name, values in pulled.bands.items():
            assert values.shape == shape
            assert values.dtype == np.float32
            parsed = parse_band(name)
            if parsed.when is not None:
                seen = pulled.observation[parsed.when]
                assert np.isnan(values[seen == ObservationClass.NOT_IMAGED]).all()
                assert np.isfinite(values[seen == ObservationClass.CLEAR]).all()
            known = values[np.isfinite(values)]
            assert (known >= parsed.band.low).all()
            assert (known <= parsed.band.high).all()

    def test_terrain_has_no_seams(self, source: Source, plan: Plan) -> None:
        large = plan.geobox[60:330, 90:300]
        names = sorted(TERRAIN)
        whole = terrain(source.elevation(plan, large, MARGIN_PX), large, names)
        for rows, columns in (
            (slice(0, 70), slice(0, 80)),
            (slice(101, 270), slice(59, 210)),
            (slice(5, 6), slice(7, 8)),
        ):
            block = large[rows, columns]
            part = terrain(source.elevation(plan, block, MARGIN_PX), block, names)
            for name in names:
                np.testing.assert_array_equal(part[name], whole[name][rows, columns], err_msg=name)
        assert np.isfinite(whole["slope"]).all()
        assert whole["slope"].std() > 0

    def test_elevation_covers_the_block_and_its_margin(self, source: Source, plan: Plan) -> None:
        block = plan.geobox[200:264, 200:264]
        tight, wide = (
            source.elevation(plan, block, margin) for margin in (MARGIN_PX, MARGIN_PX + 5)
        )
        assert tight.values.dtype == np.float32
        assert tight.values.shape == tuple(tight.geobox.shape)
        assert wide.geobox.shape[0] >= tight.geobox.shape[0] + 10
        outline = tight.geobox.extent.to_crs(block.crs).geom
        assert outline.contains(block.extent.geom)
        known = tight.values[np.isfinite(tight.values)]
        assert known.size
        assert (known > BANDS["dem"].low).all()

    def test_its_stack_does_not_depend_on_the_blocks(
        self, source: Source, plan: Plan, tmp_path: Path
    ) -> None:
        corner = replace(plan, geobox=plan.geobox[: CHUNK_PX + 70, : CHUNK_PX + 50])
        one, many = (
            assemble(source, replace(corner, block_px=side), self.bands, tmp_path / f"{side}.zarr")
            for side in (2 * CHUNK_PX, CHUNK_PX)
        )
        for when in {parse_band(name).when for name in self.bands} - {None}:
            np.testing.assert_array_equal(one.observation(when), many.observation(when))
        whole = source.pull(corner, corner.geobox)
        np.testing.assert_allclose(many.read("post_B4"), whole.bands["post_B4"], atol=0.51e-4)
        seen = many.observation(When.POST)
        # The terrain's shadow is found afterwards, in clear ground and in what is shadow anyway.
        dark = seen == ObservationClass.CAST_SHADOW
        np.testing.assert_array_equal(seen[~dark], whole.observation[When.POST][~dark])
        assert set(np.unique(whole.observation[When.POST][dark])) <= {
            ObservationClass.CLEAR,
            ObservationClass.SHADOW,
        }


class TestFake(SourceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Source:
        return small_world(AREA, EVENT)


class TestSimulated(SourceContract):
    lacking = "water"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Source:
        return SimulatedSource("tephra-hills", seed=3)


class TestArchive(SourceContract):
    bands = ("pre_B4", "post_B4", "post_B2", "post_NDVI", "slope", "hillshade")

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Source:
        folder = tmp_path_factory.mktemp("archive")
        grid, random, scenes = cls.area.geobox(10), np.random.default_rng(0), []
        step = 1e-4
        west, south, east, north = cls.area.polygon.buffer(0.004).bounds
        size = int((north - south) / step) + 1, int((east - west) / step) + 1
        native = GeoBox(size, Affine(step, 0, west, 0, -step, north), "EPSG:4326")
        for name, day in (
            ("before", "2018-08-01"),
            ("after", "2018-09-25"),
            ("later", "2018-10-25"),
        ):
            bands = {}
            for base in ("B2", "B4", "B8"):
                numbers = random.integers(200, 4000, size).astype(np.uint16)
                numbers[:60, :80] = 0
                _write(folder / f"{name}_{base}.tif", numbers, native)
                bands[base] = {"file": f"{name}_{base}.tif", "scale": 1e-4, "nodata": 0}
            _write(
                folder / f"{name}_mask.tif", (random.random(size) < 0.3).astype(np.uint8), native
            )
            mask = {"file": f"{name}_mask.tif", "cloud": [1]}
            scenes.append({"id": name, "acquired": day, "bands": bands, "cloud_mask": mask})
        heights = (300 + 80 * random.random((250, 250))).astype(np.float32)
        dem = GeoBox(
            (250, 250),
            Affine(30.0, 0, grid.affine.c - 700, 0, -30.0, grid.affine.f + 700),
            grid.crs,
        )
        _write(folder / "dem.tif", heights, dem)
        content = {
            "format": "coslide/archive/1",
            "sensor": "sentinel-2",
            "level": "L1C",
            "resolution_m": 10,
        }
        static = {"dem": {"file": "dem.tif"}}
        (folder / "archive.yaml").write_text(
            yaml.safe_dump(content | {"scenes": scenes, "static": static})
        )
        return ArchiveSource(folder)


def _write(path: Path, values: np.ndarray, geobox: GeoBox) -> None:
    height, width = values.shape
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": values.dtype,
        "height": height,
        "width": width,
    }
    with rasterio.open(path, "w", crs=str(geobox.crs), transform=geobox.affine, **profile) as file:
        file.write(values, 1)


class TestIburi(SourceContract):
    """The real pair, by its manifest: elevation of another grid, a pre image cut by the orbit,
    dates assumed.
    """

    bands = ("pre_B4", "post_B4", "post_B2", "slope", "hillshade")
    area = around(42.715, 141.925, 2.6)

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory, real: Path) -> Source:
        manifest = Path(__file__).parent.parent / "configs" / "archives" / "iburi-2018.yaml"
        return ArchiveSource(manifest, real / "iburi-2018")
