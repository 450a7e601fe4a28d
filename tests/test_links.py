"""Every link that coslide leaves anywhere (artifacts of the Prefect UI, report, page of events)
leads somewhere, or is no link but a path to copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from browser import browser_page, clicked
from small_scene import about, small_scene
from test_web import TOKEN, _stopped, pages

from configs.layout import RunLayout
from configs.service import ServiceConfig
from flows.service import artifacts, hooks
from flows.watch.launch import Turn
from inventory.publish import write_item, write_products
from inventory.report.events_page import write_events_page

__all__ = ["_stopped"]

FOLDER = "an event: 1"
"""A name whose characters mean something in an address."""
PRODUCTS = ("probability.tif", "landslides.gpkg", "map.pdf", "landslides.qgz", "report.html")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with the products of one revision."""
    out = tmp_path_factory.mktemp("links")
    scene = small_scene(tmp_path_factory.mktemp("scene"))
    folder = out / FOLDER / "r001"
    folder.mkdir(parents=True)
    run = about()
    inventory = scene.outline(choice=run.choice)
    rasters = scene.probability, scene.observation, scene.stack
    write_item(folder, write_products(folder, inventory, *rasters, run))
    event = run.event.model_dump(mode="json")
    (folder / "run.yaml").write_text(yaml.safe_dump({"format": "coslide/run/1", "event": event}))
    for name in ("selection.csv", "provenance.json", "../catalog.json"):
        (folder / name).write_text("{}")
    (out / FOLDER / "event.yaml").write_text(
        "format: coslide/event/1\nstate: open\nlatest_revision: 1\n"
    )
    write_events_page(out)
    return out


def summary(out: Path) -> dict[str, Any]:
    products = {name: str(out / FOLDER / "r001" / name) for name in PRODUCTS}
    return {
        "event": FOLDER,
        "revision": 1,
        "landslide_count": 4,
        "landslide_area_km2": 0.1,
        "area_km2": 1.0,
        "observed_fraction": 1.0,
        "checkpoint": "post",
        "out_of_domain": False,
        "warnings": ["see https://example.org", "file:///etc"],
        "words": ["x"],
        "products": products,
    }


def _links(text: str) -> Iterator[str]:
    """Yield what a browser would follow: targets of Markdown and HTML, not what stands in code."""
    plain = re.sub(r"`[^`]*`", "", text)
    yield from re.findall(r"\]\(((?!data:)[^)]*)\)", plain)
    yield from re.findall(r'href="(?!data:)([^"]*)"', plain)


def left(monkeypatch: pytest.MonkeyPatch, out: Path, url: str | None) -> list[str]:
    """Return the texts of all artifacts that runs of every kind leave."""
    texts: list[str] = []

    def note(content: Any, **more: Any) -> None:
        rows = content if isinstance(content, list) else [{"text": content}]
        texts.extend(str(value) for row in rows for value in row.values())
        texts.append(str(more["description"]))

    settings = ServiceConfig.model_validate({"web": {"url": url}})
    monkeypatch.setattr(hooks, "service", lambda: settings)
    monkeypatch.setattr(hooks, "create_markdown_artifact", note)
    monkeypatch.setattr(hooks, "create_table_artifact", note)
    hooks.show(summary(out))
    hooks.show_turn(Turn(feed_error="no answer from https://x/", next="later", notes=["n"]))
    hooks.show_refresh({"events": [{"event": FOLDER, "action": "waiting", "reason": "clouds"}]})
    return texts


def test_without_pages_nothing_is_a_link(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    texts = left(monkeypatch, out, None)
    assert len(texts) > 20
    assert [link for text in texts for link in _links(text)] == []
    assert any(f"`{out / FOLDER / 'r001' / 'report.html'}`" in text for text in texts)


def test_every_link_of_every_artifact_opens(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    client = pages(out)
    texts = left(monkeypatch, out, str(client.base_url))
    links = [link for text in texts for link in _links(text)]
    assert len(links) == len(PRODUCTS)
    assert links[0].endswith("/report.html"), "what people open stands first"
    for link in links:
        assert client.get(link).status_code == 401
        answer = client.get(link, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, link
        name = unquote(link.rpartition("/")[2])
        assert answer.content == (out / FOLDER / "r001" / name).read_bytes()


@pytest.mark.parametrize("page", ["index.html", f"{FOLDER}/r001/report.html"])
def test_every_link_of_every_page_leads_to_a_file_beside_it(out: Path, page: str) -> None:
    text = (out / page).read_text()
    links = [link for link in _links(text) if not link.startswith("#")]
    assert len(links) > 2
    for link in links:
        assert not re.match(r"[a-z]+:|/", link), link
        assert (out / page).parent.joinpath(unquote(link)).is_file(), link
    places = [link[1:] for link in _links(text) if link.startswith("#")]
    assert all(f'id="{place}"' in text for place in places)


@pytest.mark.parametrize("page", ["", f"{FOLDER}/r001/report.html"])
def test_a_browser_opens_every_link_of_every_page(out: Path, page: str) -> None:
    client = pages(out)
    with browser_page(extra_http_headers={"Authorization": f"Bearer {TOKEN}"}) as tab:
        found = clicked(tab, f"{client.base_url}/{quote(page)}")
    assert len(found) > 2
    assert {link: status for link, status in found.items() if status not in (200, 206)} == {}


def test_an_artifact_key_is_one(out: Path) -> None:
    assert artifacts.key_of(summary(out)) == "an-event-1"
    assert artifacts.is_simulated(RunLayout(out / FOLDER / "r001")) is False
