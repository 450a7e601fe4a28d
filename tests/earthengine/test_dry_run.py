"""`--dry-run` against Earth Engine: scenes, dates, cloud shares, requests and megabytes, and not
one pixel.
"""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from configs.area import around
from configs.bands import When
from configs.earthengine import EarthEngineConfig
from earthengine.loopback import Loopback
from flows.cli import main
from gee.earthengine import planning

ASKED = (
    "respond",
    "--epicentre",
    "42.70,141.93",
    "--date",
    "2018-09-05T18:07",
    "--radius-km",
    "1.2",
    "--as-of",
    "2018-12-01",
    "--pre",
    "2017-09-01/2018-09-05",
    "--post",
    "2018-09-05/2018-11-30",
    "--source",
    "earthengine",
    "--dry-run",
)


def test_it_tells_what_would_be_pulled(
    loopback: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*ASKED, "--json"])
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert not loopback.requests("image:computePixels")
    assert 5 <= len(loopback.requests("value:compute")) <= 7
    named = {scene["id"].rsplit("/", 1)[-1]: scene for scene in told["scenes"]}
    assert {"20180915T012000_T54TXN", "20180920T012000_T54TXN", "20181010T012000_T54TXN"} <= set(
        named
    )
    assert "20181205T012000_T54TXN" not in named  # after --as-of
    for index, scene in named.items():
        assert datetime.fromisoformat(scene["acquired"]).strftime("%Y%m%d") == index[:8]
    assert named["20180915T012000_T54TXN"]["clear_fraction"] == pytest.approx(0.5, abs=0.05)
    assert told["requests"] >= 3
    # The 240 px of the area, and the tiles around it without which its edge would be another map.
    assert 3 < told["megabytes"] < 30
    assert told["area_km2"] < 5


def test_its_words_name_dates_and_shares(
    loopback: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*ASKED])
    assert left.value.code == 0
    words = capsys.readouterr().out
    assert "MB in" in words
    line = next(line for line in words.splitlines() if "20180915T012000_T54TXN" in line)
    assert "2018-09-15" in line
    assert "clear" in line
    unscored = next(line for line in words.splitlines() if "20180920T012000_T54TXN" in line)
    assert "% cloud" in unscored, "a scene without Cloud Score+ still has its own cloud share"
    assert not loopback.requests("image:computePixels")


@pytest.mark.parametrize(
    ("side_px", "workers", "expected"),
    [(2560, 40, 512), (2560, 8, 768), (7680, 40, 768), (1000, 40, 256), (256, 40, 768)],
)
def test_blocks_are_chosen_by_arithmetic(side_px: int, workers: int, expected: int) -> None:
    """40 connections: one round of 25 beats one of 16 larger blocks; 8: two rounds of large ones
    beat four of small ones.
    """
    bands = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
    want = planning.Wanted({When.POST: bands}, {}, False, False)
    area = around(42.7, 141.93, 60)
    middle = slice(6000 - side_px // 2, 6000 + side_px // 2)
    grid = area.geobox(10)[middle, middle]
    found = planning.choose_side(grid, area, want, EarthEngineConfig(workers=workers))
    assert found == expected
    fixed = EarthEngineConfig(workers=workers, block_px=512)
    assert planning.choose_side(grid, area, want, fixed) == 512
