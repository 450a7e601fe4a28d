"""Sample sets and the chips drawn from them: what goes in comes out, splits never leak, epochs are
reproducible.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from torch.utils.data import DataLoader

from configs.errors import RequestError
from configs.records import Level
from configs.stack import decode, encode
from tiles.augment import Augment
from tiles.chips import ChipDataset, Chipping, Origin, SampleSet, Share, Splits
from tiles.cut import Labelled, cut
from tiles.split import UNUSED, bands

BANDS = ("post_B4", "post_NDVI", "slope")
SHAPE = (300, 420)


def world(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return pixels `(band, y, x)` with holes and labels with unknowns."""
    rng = np.random.default_rng(seed)
    pixels = np.stack(
        [rng.uniform(0.01, 0.9, SHAPE), rng.uniform(-1, 1, SHAPE), rng.uniform(0, 60, SHAPE)],
        dtype=np.float32,
    )
    pixels[:, rng.random(SHAPE) < 0.02] = np.nan
    label = np.zeros(SHAPE, np.uint8)
    for row, column in rng.integers(0, (280, 410), (20, 2)):
        label[row : row + 12, column : column + 9] = 1
    label[:, :15] = 255
    return pixels, label


def split() -> Splits:
    return Splits(
        bands(SHAPE, "easting", 3, 16),
        {0: "train", 1: "validation", 2: "test"},
        "three bands, guard 16 px",
    )


def make(out: Path, seed: int = 0, name: str = "there", **changes: Any) -> SampleSet:
    pixels, label = world(seed)
    origin = Origin(
        name=name,
        title="A place",
        sensor="sentinel-2",
        level=Level.TOA,
        resolution_m=10,
        simulated=True,
        attribution=("contains nothing real",),
        licence="CC0-1.0",
        hillshade_azimuth_deg=270,
    )
    geobox = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 4_700_000), "EPSG:32654")
    arguments: dict[str, Any] = {
        "origin": origin,
        "chipping": Chipping(chip_px=48, stride_px=24, seed=1),
        **changes,
    }
    of_raster = {f.name for f in fields(Labelled)} & arguments.keys()
    more = {"bands": BANDS, **{name: arguments.pop(name) for name in of_raster}}
    return cut(Labelled(pixels, geobox, label, split(), **more), out, **arguments)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return make(tmp_path_factory.mktemp("samples") / "there")


def test_what_goes_in_comes_out(samples: SampleSet) -> None:
    pixels, label = world(0)
    opened = SampleSet.open(samples.path)
    for name, band in zip(BANDS, pixels, strict=True):
        np.testing.assert_array_equal(opened.read(name), decode(encode(band, name), name))
    np.testing.assert_array_equal(
        opened.label([0, 1, 2]), np.where(split().numbers == UNUSED, 255, label)
    )
    assert opened.card == samples.card
    assert opened.geobox.affine.e == -10
    text = yaml.safe_load((samples.path / "samples.yaml").read_text())
    assert text["format"] == "coslide/samples/1"
    assert text["origin"]["simulated"] is True
    assert text["split_names"] == {0: "train", 1: "validation", 2: "test"}


def test_the_card_counts_what_is_there(samples: SampleSet) -> None:
    pixels, label = world(0)
    numbers = split().numbers
    for number, name in split().names.items():
        of = (numbers == number) & (label != 255)
        assert samples.card.counts[name].pixels == of.sum()
        assert samples.card.counts[name].positive == (of & (label == 1)).sum()
        for band, values in zip(BANDS, pixels, strict=True):
            stored = decode(encode(values, band), band)[of & np.isfinite(values)].astype(np.float64)
            found = samples.card.statistics[name][band]
            assert found.count == stored.size
            np.testing.assert_allclose(
                (found.minimum, found.maximum, found.mean, found.std),
                (stored.min(), stored.max(), stored.mean(), stored.std()),
                rtol=1e-6,
            )
    used = (label != 255) & (numbers != UNUSED)
    assert samples.card.positive_fraction == pytest.approx((label[used] == 1).mean())


def test_statistics_of_several_splits_are_those_of_their_union(samples: SampleSet) -> None:
    pixels, label = world(0)
    of = np.isin(split().numbers, [0, 1]) & (label != 255) & np.isfinite(pixels[2])
    stored = decode(encode(pixels[2], "slope"), "slope")[of].astype(np.float64)
    found = samples.statistics(["train", "validation"])["slope"]
    np.testing.assert_allclose(
        (found.mean, found.std, found.count), (stored.mean(), stored.std(), stored.size)
    )


def test_the_table_is_what_counting_gives(samples: SampleSet) -> None:
    _, label = world(0)
    numbers, chips = split().numbers, samples.chips
    assert len(chips.rows) == len(set(zip(chips.rows, chips.columns, strict=True)))
    assert chips.rows.max() == SHAPE[0] - 48
    assert chips.columns.max() == SHAPE[1] - 48
    for row, column, number, positive in zip(*chips, strict=True):
        window = slice(row, row + 48), slice(column, column + 48)
        of = (numbers[window] == number) & (label[window] != 255)
        assert of.sum() >= 0.5 * 48 * 48
        assert positive == pytest.approx((label[window][of] == 1).mean())


@pytest.mark.parametrize("share", [0.5, 0.2, 1.0, 0.0])
def test_the_table_can_be_thinned_to_a_positive_share(
    tmp_path: Path, samples: SampleSet, share: float
) -> None:
    thinned = make(tmp_path / "s", chipping=Chipping(48, 24, positive_share=share, seed=3))
    for number in range(3):
        hits = thinned.chips.positive[thinned.chips.splits == number] > 0
        assert len(hits)
        assert hits.mean() == pytest.approx(share, abs=1 / len(hits))
    assert len(thinned.chips.rows) < len(samples.chips.rows)


def test_the_fingerprint_follows_the_pixels(tmp_path: Path, samples: SampleSet) -> None:
    assert make(tmp_path / "a").card.fingerprint == samples.card.fingerprint
    assert make(tmp_path / "b", seed=1).card.fingerprint != samples.card.fingerprint


def test_unobserved_pixels_are_not_learnt_from(tmp_path: Path) -> None:
    observed = np.ones(SHAPE, np.uint8)
    observed[100:200] = 0
    plain = make(tmp_path / "plain", observed=observed)
    blank = make(tmp_path / "blank", observed=observed, blank_unobserved=True)
    assert (plain.label([0, 1, 2])[100:200] == 255).all()
    assert np.isfinite(plain.read("post_B4")[100:200]).any()
    assert np.isnan(blank.read("post_B4")[100:200]).all()
    np.testing.assert_array_equal(blank.read("slope"), plain.read("slope"))


def test_a_chip_is_the_window_it_says_and_knows_no_other_split(samples: SampleSet) -> None:
    numbers = split().numbers
    data = ChipDataset([Share(samples, ("train",))], BANDS[::-1], crop_px=48, shuffle=False)
    assert len(data) == samples.card.counts["train"].chips
    for index in range(len(data)):
        pixels, label = data[index]
        assert pixels.dtype == torch.float32
        assert label.dtype == torch.uint8
        _, chip = data.origin(index)
        row, column = samples.chips.rows[chip], samples.chips.columns[chip]
        window = slice(row, row + 48), slice(column, column + 48)
        np.testing.assert_array_equal(pixels[0].numpy(), samples.read("slope", *window))
        foreign = numbers[window] != 0
        assert (label.numpy()[foreign] == 255).all()
        np.testing.assert_array_equal(label.numpy()[~foreign], world(0)[1][window][~foreign])


def test_alone_leaves_out_chips_that_see_another_split(tmp_path: Path) -> None:
    numbers, samples = split().numbers, make(tmp_path / "s", chipping=Chipping(48, 8))
    all_of, alone = (
        ChipDataset([Share(samples, ("train",), alone=a)], BANDS, crop_px=48) for a in (False, True)
    )

    def strangers(data: ChipDataset) -> list[int]:
        at = [data.origin(i)[1] for i in range(len(data))]
        corners = [(samples.chips.rows[i], samples.chips.columns[i]) for i in at]
        return [int(np.isin(numbers[r : r + 48, c : c + 48], [1, 2]).sum()) for r, c in corners]

    assert max(strangers(all_of)) > 0
    assert max(strangers(alone)) == 0
    assert len(alone) == strangers(all_of).count(0)


@pytest.mark.parametrize(
    "options", [{}, {"length": 40}, {"length": 41, "positive_share": 0.5, "jitter_px": 20}]
)
def test_the_same_seed_gives_the_same_epoch_whoever_reads_it(
    samples: SampleSet, options: dict[str, Any]
) -> None:
    def epoch(seed: int, number: int, workers: int = 0) -> list[bytes]:
        data = ChipDataset(
            [Share(samples, ("train",))],
            BANDS,
            crop_px=40,
            augment=Augment("all", gain=0.1),
            seed=seed,
            **options,
        )
        data.set_epoch(number)
        loader = DataLoader(data, batch_size=7, num_workers=workers)
        return [tensor.numpy().tobytes() for batch in loader for tensor in batch]

    first = epoch(1, 2)
    assert epoch(1, 2) == first
    assert epoch(1, 3) != first
    assert epoch(2, 2) != first
    if options:
        assert epoch(1, 2, workers=1) == first


def test_an_item_does_not_depend_on_those_before_it(samples: SampleSet) -> None:
    data = ChipDataset(
        [Share(samples, ("train",))], BANDS, crop_px=40, length=30, jitter_px=9, augment=Augment()
    )
    late = data[17][0]
    for index in range(17):
        data[index]
    torch.testing.assert_close(data[17][0], late, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(data[17 - 30][0], late, rtol=0, atol=0, equal_nan=True)


def test_domains_mix_by_weight_and_chips_by_share(tmp_path: Path, samples: SampleSet) -> None:
    other = make(tmp_path / "other", seed=7, name="other")
    data = ChipDataset(
        [
            Share(samples, ("train",), weight=500),
            Share(other, ("train", "validation"), weight=200, max_chips=30),
        ],
        BANDS,
        crop_px=48,
        length=700,
        positive_share=0.5,
        seed=5,
    )
    for number in range(2):
        data.set_epoch(number)
        drawn = [data.origin(index) for index in range(700)]
        assert Counter(domain for domain, _ in drawn) == {0: 500, 1: 200}
        for domain, source, half in ((0, samples, 250), (1, other, 100)):
            chips = Counter(chip for d, chip in drawn if d == domain)
            hits = sum(count for chip, count in chips.items() if source.chips.positive[chip] > 0)
            assert hits == half
            for kind in (True, False):  # each pool is gone through whole before a chip comes again
                counts = [
                    c for chip, c in chips.items() if (source.chips.positive[chip] > 0) == kind
                ]
                assert max(counts) - min(counts) <= 1
        assert len({chip for d, chip in drawn if d == 1}) == 30
        assert len({d for d, _ in drawn[:40]}) == 2


def test_a_pool_of_few_chips_is_the_same_every_epoch(samples: SampleSet) -> None:
    data = ChipDataset(
        [Share(samples, ("train",), max_chips=10)], BANDS, crop_px=48, positive_share=0.5
    )
    seen = set()
    for epoch in range(3):
        data.set_epoch(epoch)
        seen.add(frozenset(data.origin(i)[1] for i in range(len(data))))
    assert [len(chips) for chips in seen] == [10]
    assert sum(samples.chips.positive[chip] > 0 for chip in next(iter(seen))) == 5


def test_jitter_moves_crops_but_never_off_the_raster_or_into_another_splits_labels(
    samples: SampleSet,
) -> None:
    still, moved = (
        ChipDataset(
            [Share(samples, ("validation",))], BANDS, crop_px=48, jitter_px=j, shuffle=False
        )
        for j in (0, 24)
    )
    different = 0
    for index in range(len(still)):
        pixels, label = moved[index]
        assert pixels.shape == (3, 48, 48)
        assert label.shape == (48, 48)
        different += not torch.equal(pixels.nan_to_num(), still[index][0].nan_to_num())
        learnt = pixels[2][label != 255]
        everywhere = samples.read("slope")[samples.label([1]) != 255]
        assert np.isin(learnt.numpy(), everywhere).sum() >= torch.isfinite(learnt).sum()
    assert different > 0.9 * len(still)


def test_a_crop_larger_than_the_raster_is_padded_as_unknown(samples: SampleSet) -> None:
    pixels, label = ChipDataset([Share(samples, ("train",))], BANDS, crop_px=512)[0]
    assert pixels.shape == (3, 512, 512)
    assert torch.isnan(pixels[:, 300:]).all()
    assert (label[300:] == 255).all()
    assert (label[:, 420:] == 255).all()


def test_large_sets_are_read_from_disk_and_give_the_same(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [
        x.numpy().tobytes() for x in ChipDataset([Share(samples, ("train",))], BANDS, crop_px=48)[3]
    ]
    monkeypatch.setattr("tiles.chips._HELD_BYTES", 0)
    fresh = SampleSet.open(samples.path)
    lazy = [
        x.numpy().tobytes() for x in ChipDataset([Share(fresh, ("train",))], BANDS, crop_px=48)[3]
    ]
    assert not fresh.hold(["label"], 0)
    assert lazy == held


def test_what_cannot_be_sampled_is_refused(tmp_path: Path, samples: SampleSet) -> None:
    def dataset(
        splits: tuple[str, ...] = ("train",), names: tuple[str, ...] = BANDS, **options: Any
    ) -> ChipDataset:
        return ChipDataset([Share(samples, splits)], names, crop_px=48, **options)

    for call, named in (
        (lambda: SampleSet.open(tmp_path / "none"), "no sample set"),
        (lambda: dataset(splits=("training",)), "no split training"),
        (lambda: dataset(names=("post_B8",)), "no band `post_B8`"),
        (lambda: make(samples.path), "exists already"),
        (lambda: make(tmp_path / "x", bands=BANDS[:2]), "do not agree"),
        (lambda: make(tmp_path / "x", observed=np.zeros(SHAPE, bool)), "no pixel"),
    ):
        with pytest.raises(RequestError, match=named):
            call()
    assert not any(tmp_path.iterdir())


def test_a_malformed_or_newer_card_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "s").path / "samples.yaml"
    text = path.read_text()
    path.write_text(text.replace("coslide/samples/1", "coslide/samples/2"))
    with pytest.raises(RequestError, match="newer"):
        SampleSet.open(path.parent)
    path.write_text(text.replace("chip_px: 48", "chip_px: none"))
    with pytest.raises(RequestError, match="chip_px"):
        SampleSet.open(path.parent)
    content = yaml.safe_load(text)
    del content["statistics"][content["split_names"][0]]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match="no statistics of every band"):
        SampleSet.open(path.parent)


def test_balance_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    barren = make(tmp_path / "s", chipping=Chipping(48, 24, positive_share=0.0))
    with pytest.raises(RequestError, match="no chip with landslides"):
        ChipDataset([Share(barren, ("train",))], BANDS, crop_px=48, length=4, positive_share=0.5)


def test_every_chip_can_be_asked_to_hold_a_landslide(tmp_path: Path) -> None:
    """Chen et al. 2023: each patch with at least one landslide."""
    every = make(tmp_path / "every")
    some = make(
        tmp_path / "some", chipping=Chipping(chip_px=48, stride_px=24, positive_share=1.0, seed=1)
    )
    assert (some.chips.positive > 0).all()
    assert len(some.chips.rows) == (every.chips.positive > 0).sum() < len(every.chips.rows)
    assert some.card.positive_share == 1.0
