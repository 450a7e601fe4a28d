"""The report: one page, nothing from outside, nothing from inside that could run; and in a real
browser it works.
"""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image
from small_scene import SmallScene, about, publish, small_scene

from configs.product import ProductConfig
from configs.records import Scene
from inventory.outline.words import numeral, words_of
from inventory.report.charts import _powers
from inventory.report.statistics import area_density, power_law_tail
from inventory.summary import count_seen, headline, percent, summarise

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def _write(folder: Path, scene: SmallScene, **more: Any) -> Path:
    provenance = {"weights": {"sha256": "ab" * 32}, "versions": ["1.0", "</script><b>"]}
    done = publish(folder, scene, about(**more), provenance=provenance)
    return done.products["report.html"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallScene:
    return small_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def report(scene: SmallScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = about()
    hostile = run.event.model_copy(update={"title": HOSTILE})
    choice = replace(run.choice, out_of_domain=True, reason=HOSTILE)
    return _write(
        tmp_path_factory.mktemp("report") / "r001",
        scene,
        event=hostile,
        choice=choice,
        warnings=(HOSTILE,),
    )


def test_what_comes_from_outside_is_text(report: Path) -> None:
    html = report.read_text()
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(1)" in html
    assert html.count("</script>") == 2, (
        "the data and the viewer, and nothing that could end them early"
    )


def test_nothing_comes_from_elsewhere(report: Path) -> None:
    html = report.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")
    assert not re.search(r'(?:src|href)="(?!data:)(?:[a-z]+:)?//', html)
    assert not re.search(r"@import|url\(", html)


def test_a_wide_table_scrolls_within_the_page(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert page.count("<table") == len(re.findall(r'<div class="scroll[^"]*"><table', page)) > 2
    style = resources.files("inventory") / "templates" / "report.css"
    shade = re.search(r"\.scroll \{([^}]+)\}", style.read_text(encoding="utf-8"))
    assert shade
    assert "overflow-x: auto" in shade[1]
    assert "linear-gradient" in shade[1]


def test_warnings_come_first(report: Path) -> None:
    html = report.read_text()
    words = words_of()
    order = [html.index(words[key][:15]) for key in ("simulated", "out_of_domain")]
    assert order == sorted(order)
    assert order[-1] < html.index('class="cards"') < html.index('id="map"')


def _spanish(folder: Path, scene: SmallScene) -> str:
    product = ProductConfig.model_validate({"exports": [], "map": {"language": "es", "sheets": []}})
    return publish(folder, scene, product=product).products["report.html"].read_text()


def test_a_report_in_spanish_has_no_english_left(scene: SmallScene, tmp_path: Path) -> None:
    html = _spanish(tmp_path / "r001", scene)
    assert '<html lang="es">' in html
    assert "Deslizamientos simulados encontrados: 4" in html
    shown = html[: html.index('id="data"')]
    assert "Magnitud 6,6" in shown
    assert not re.findall(r">[^<>]*\d\.\d{1,2} ?(?:%|ha|km|±)|(?:Magnitud|A\^-)\s*\d\.\d", shown)
    assert "el área es menor de 400 m²" in shown
    english, spanish = words_of("en"), words_of("es")
    for key, words in english.items():
        if isinstance(words, str) and words != spanish.get(key) and " " in words:
            assert words not in shown, key


def test_numbers_are_written_as_in_the_language(scene: SmallScene) -> None:
    assert numeral("1,090.5 km²", "es") == "1.090,5 km²"
    assert numeral("1,090.5 km²") == "1,090.5 km²"
    seen = count_seen(scene.probability, scene.observation)
    summary = replace(
        summarise(scene.outline(), seen, about()), landslide_count=1090, landslide_area_km2=11.6
    )
    assert "1.090, 11,6 km²" in " ".join(headline(summary, "es"))
    assert "1,090 landslides were found, 11.6 km²" in " ".join(
        headline(replace(summary, simulated=False))
    )


def test_the_relief_lies_under_the_images_where_heights_are_known(report: Path) -> None:
    html = report.read_text()
    assert 'id="show-relief" checked' in html
    assert _data(report)["images"]["relief"]["address"].startswith("data:image/webp")


def test_no_warnings_no_box(scene: SmallScene, tmp_path: Path) -> None:
    assert (
        'class="beware"'
        not in _write(tmp_path / "r", scene, simulated=False, warnings=()).read_text()
    )


def _data(report: Path) -> dict[str, Any]:
    text = re.search(r'id="data">(.*?)</script>', report.read_text(), re.DOTALL)
    assert text is not None
    return dict(json.loads(text[1]))


def test_the_map_draws_what_the_inventory_holds(report: Path, scene: SmallScene) -> None:
    data = _data(report)
    inventory = scene.outline()
    assert [row[0] for row in data["rows"]] == inventory.landslides["id"].tolist()
    for rings, area in zip(data["rings"], inventory.landslides["area_m2"], strict=True):
        total = 0.0
        for ring in rings:
            xy = np.cumsum(np.array(ring).reshape(-1, 2), axis=0)
            x, y = xy.T
            total += 0.5 * float(np.sum(np.roll(x, -1) * y - x * np.roll(y, -1)))
        assert abs(total) * 100 == area


def test_an_empty_inventory_has_a_report(scene: SmallScene, tmp_path: Path) -> None:
    nothing = replace(
        scene, probability=np.where(np.isnan(scene.probability), np.nan, np.float32(0.1))
    )
    html = _write(tmp_path / "r", nothing).read_text()
    assert "No simulated landslide was found." in html
    assert words_of()["none"] in html


def test_what_is_not_known_is_a_dash_and_without_a_pre_image_there_is_no_swipe(
    tmp_path: Path,
) -> None:
    scene = small_scene(tmp_path)
    zarr.open_group(scene.stack.path, mode="r+").attrs["bands"] = [
        "dem",
        "post_B4",
        "post_B3",
        "post_B2",
    ]
    scene = replace(scene, stack=type(scene.stack)(scene.stack.path))
    report = _write(tmp_path / "r", scene)
    data = _data(report)
    assert "pre" not in data["images"]
    assert {row[data["columns"].index("slope_mean_deg")] for row in data["rows"]} == {None}
    assert words_of()["no_before"] in report.read_text()
    assert 'role="slider"' not in report.read_text()


def test_the_same_run_gives_the_same_page(report: Path, scene: SmallScene, tmp_path: Path) -> None:
    first, second = (_write(tmp_path / name, scene).read_bytes() for name in ("a", "b"))
    assert first == second


def _a_year_of_scenes() -> tuple[Scene, ...]:
    first = about().scenes
    return (
        *first,
        *(
            replace(first[0], id=f"never-{i}", acquired=first[0].acquired - timedelta(days=i))
            for i in range(1, 90)
        ),
    )


def test_scenes_that_were_used_come_first_and_the_others_are_folded_away(
    scene: SmallScene, tmp_path: Path
) -> None:
    html = _write(tmp_path / "r", scene, scenes=_a_year_of_scenes()).read_text()
    shown, folded = html.split("<details>")
    assert all(each.id in shown for each in about().scenes)
    assert "never-1<" not in shown
    assert "never-89<" in folded
    assert words_of()["unused"].format(count="89") in html


def test_no_word_is_missing() -> None:
    template = (resources.files("inventory") / "templates" / "report.html.j2").read_text()
    for path in re.findall(r"\bw((?:\.\w+)+)", template):
        words: Any = words_of()
        for name in path.strip(".").split("."):
            if name in ("format", "items"):
                break
            words = words[name]


def test_all_products_are_small_enough_to_mail(report: Path) -> None:
    assert report.stat().st_size < 5e6


# ---- numbers


@pytest.mark.parametrize("alpha", [1.8, 2.4, 3.0])
def test_a_power_law_is_found_again(alpha: float) -> None:
    rng = np.random.default_rng(3)
    tail = 900 * (1 - rng.random(4000)) ** (-1 / (alpha - 1))
    small = rng.uniform(100, 900, 3000)
    found = power_law_tail(np.concatenate([small, tail]))
    assert found is not None
    assert found.alpha == pytest.approx(alpha, abs=4 * found.standard_error + 0.03)
    assert 700 < found.x_min_m2 < 4000


def test_too_few_landslides_have_no_tail() -> None:
    assert power_law_tail(np.arange(1.0, 20)) is None
    assert power_law_tail(np.full(100, 400.0)) is None


def test_the_density_integrates_to_one() -> None:
    areas = np.random.default_rng(0).lognormal(7, 1, 3000)
    density = area_density(areas, 12)
    order = np.argsort(density.area_m2)
    x, y = density.area_m2[order], density.density[order]
    assert np.trapezoid(y * x, np.log(x)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.9996, "99.96 %"), (0.5, "50 %"), (0.0, "0 %"), (0.0004, "0.04 %")],
)
def test_percentages_never_round_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_the_headline_says_what_was_not_seen(scene: SmallScene) -> None:
    run = about()
    seen = count_seen(scene.probability, scene.observation)
    summary = summarise(scene.outline(), seen, run)
    land = 90 * 116 - 36
    assert summary.observed_fraction == round((land - 160) / land, 4)
    assert any("nothing is said" in sentence for sentence in headline(summary))
    assert "simulated" in headline(summary)[0]
    assert math.isclose(
        summary.landslide_area_km2, scene.outline().landslides["area_m2"].sum() / 1e6
    )


# ---- in a real browser


def _chromium() -> str | None:
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if _chromium() is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as play:
        engine = play.chromium.launch(
            executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield engine
        engine.close()


class Visit:
    """A page opened without a network, and everything it tried."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        self.page = browser.new_context(offline=True, **options).new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(dialog.message))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("#map[data-ready=yes]", timeout=60_000)

    def changed(self, before: np.ndarray[Any, Any], patience_s: float = 10) -> float:
        """Return which share of the map's values differs from before, as soon as any does."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            share = float((self.pixels() != before).mean())
            if share > 0:
                return share
        return 0.0

    def pixels(self) -> np.ndarray[Any, Any]:
        """Return the map as it is shown, `(y, x, 3)`."""
        return np.asarray(
            Image.open(io.BytesIO(self.page.locator("#map").screenshot())).convert("RGB")
        ).astype(int)


@pytest.mark.browser
@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 1280, "height": 900}},
        {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    ],
    ids=["desktop", "phone"],
)
def test_no_request_leaves_and_nothing_fails(
    browser: Any, report: Path, options: dict[str, Any]
) -> None:
    visit = Visit(browser, report, **options)
    assert [url for url in visit.requests if not url.startswith("data:")] == [report.as_uri()]
    assert visit.messages == []
    assert visit.page.locator("h1").inner_text() == HOSTILE
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_the_swipe_changes_what_is_under_it(
    browser: Any, scene: SmallScene, tmp_path: Path
) -> None:
    visit = Visit(browser, _write(tmp_path / "r", scene), viewport={"width": 1000, "height": 800})
    for name in ("landslides", "unseen"):
        visit.page.locator(f"#show-{name}").uncheck()
    width = visit.page.locator("#map").bounding_box()["width"]
    swiped = {share: _swiped(visit, share * width) for share in (0.01, 0.3, 0.99)}
    after, both, before = (swiped[share] for share in (0.01, 0.3, 0.99))
    clear = slice(60, 500)  # below the words in the corners
    left, right = (
        slice(30, round(0.3 * width) - 30),
        slice(round(0.3 * width) + 30, round(0.95 * width) - 60),
    )
    np.testing.assert_array_equal(both[clear, left], before[clear, left])
    np.testing.assert_array_equal(both[clear, right], after[clear, right])
    middle = slice(round(0.4 * width), round(0.6 * width))
    assert (before[clear, middle] != after[clear, middle]).mean() > 0.3
    assert visit.page.locator("#swipe").get_attribute("aria-valuenow") == "99"


def _swiped(visit: Visit, x: float) -> np.ndarray[Any, Any]:
    """Return the map after its handle was dragged to `x` pixels from its left edge."""
    page = visit.page
    page.locator("#map").scroll_into_view_if_needed()
    handle, frame = page.locator("#swipe").bounding_box(), page.locator("#map").bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, frame["y"] + 40)
    page.mouse.down()
    page.mouse.move(frame["x"] + x, frame["y"] + 40, steps=3)
    page.mouse.up()
    now = round(100 * x / frame["width"])  # told by the drawing itself, once it is done
    page.wait_for_selector(f"#swipe[aria-valuenow='{now}']")
    return visit.pixels()


@pytest.mark.browser
def test_overlays_show_and_hide(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, viewport={"width": 1000, "height": 800})
    for name in ("landslides", "unseen", "probability", "rejected", "relief"):
        before = visit.pixels()
        visit.page.locator(f"#show-{name}").click()
        assert visit.changed(before) > 0, name


@pytest.mark.browser
def test_a_row_flies_to_its_landslide_and_headings_sort(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, viewport={"width": 1000, "height": 800}, reduced_motion="reduce")
    rows = visit.page.locator("#slides tbody tr")
    assert rows.count() == 4
    before = visit.pixels()
    rows.nth(1).click()
    assert visit.changed(before) > 0.2
    assert rows.nth(1).get_attribute("data-id") in visit.page.locator("#about").inner_text()
    visit.page.locator("#slides th button").nth(1).click()
    areas = [
        float(cell.replace(",", ""))
        for cell in visit.page.locator("#slides tbody td:nth-child(2)").all_inner_texts()
    ]
    assert areas == sorted(areas)
    visit.page.locator("#find").fill("l00003")
    assert rows.count() == 1


@pytest.mark.browser
def test_it_prints_on_two_to_four_pages_however_many_scenes(
    browser: Any, scene: SmallScene, tmp_path: Path
) -> None:
    report = _write(tmp_path / "r", scene, scenes=_a_year_of_scenes())
    pdf = Visit(browser, report).page.pdf(prefer_css_page_size=True)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4


@pytest.mark.parametrize("limits", [(-6.4, -3.5), (-3.5, 0.4), (0.2, 5.7), (-2.0, 2.0)])
def test_every_tick_lies_inside_its_plot(limits: tuple[float, float]) -> None:
    ticks = [value for value, _ in _powers(*limits)]
    assert ticks
    assert all(limits[0] <= value <= limits[1] for value in ticks)


def test_probability_and_confidence_are_explained_where_they_stand(report: Path) -> None:
    html = report.read_text()
    start = html.index('<ul class="keys">')
    keys = html[start : html.index("<h2>", start)]
    assert 'id="key-probability"' in keys
    assert "Confidence says how often landslides like this one are right" in keys
