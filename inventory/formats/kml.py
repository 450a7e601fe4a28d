"""``landslides.kml``: the inventory for virtual globes and phones (OGC KML 2.2, 12-007r2), coloured
by confidence.

Names and texts come from outside: they are escaped as XML, and once more where a globe reads them
as HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import shapely

from configs.files import replacing
from inventory.about import About
from inventory.colours import CONFIDENCE
from inventory.formats.geojson import in_lonlat, properties
from inventory.formats.layers import Field, Layer
from inventory.outline.outline import code_of

_KINDS = {
    "text": "string",
    "real": "double",
    "integer": "int",
    "boolean": "bool",
    "date": "string",
    "datetime": "string",
}
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""


def text(value: Any) -> str:
    """Return a value as XML character data."""
    return escape(_NO_XML.sub("", str(value)))


def _colour(colour: str, alpha: int) -> str:
    """Return ``#rrggbb`` as KML writes it: alpha, blue, green, red."""
    return f"{alpha:02x}{colour[5:7]}{colour[3:5]}{colour[1:3]}"


def _style(name: str, line: str, fill: str, width: float = 1.5) -> str:
    outline = f"<LineStyle><color>{line}</color><width>{width:g}</width></LineStyle>"
    area = f"<PolyStyle><color>{fill}</color></PolyStyle>"
    return f"<Style id={quoteattr(name)}>{outline}{area}</Style>"


def _styles() -> str:
    parts = [
        _style(name, _colour(colour, 255), _colour(colour, 90))
        for name, colour in CONFIDENCE.items()
    ]
    parts += [
        _style("area", _colour("#08306b", 255), "00ffffff", 2),
        _style("unseen", _colour("#5b5b5b", 120), _colour("#5b5b5b", 110), 0.5),
    ]
    return "".join(parts)


def _ring(ring: Any) -> str:
    line = " ".join(f"{x:.6f},{y:.6f}" for x, y in shapely.get_coordinates(ring))
    return f"<LinearRing><coordinates>{line}</coordinates></LinearRing>"


def _shape_of(polygons: Any) -> str:
    """Return a MultiPolygon as KML geometry."""
    parts = []
    for polygon in shapely.get_parts(polygons):
        holes = "".join(
            f"<innerBoundaryIs>{_ring(hole)}</innerBoundaryIs>" for hole in polygon.interiors
        )
        parts.append(
            f"<Polygon><outerBoundaryIs>{_ring(polygon.exterior)}</outerBoundaryIs>{holes}</Polygon>"
        )
    return f"<MultiGeometry>{''.join(parts)}</MultiGeometry>"


def _schema(fields: Sequence[Field]) -> str:
    inner = "".join(
        f"<SimpleField name={quoteattr(f.name)} type={quoteattr(_KINDS[f.kind])}/>" for f in fields
    )
    return f'<Schema name="landslides" id="landslides">{inner}</Schema>'


def _data(fields: dict[str, Any]) -> str:
    inner = "".join(
        f"<SimpleData name={quoteattr(k)}>{text(v)}</SimpleData>"
        for k, v in fields.items()
        if v is not None
    )
    return f'<ExtendedData><SchemaData schemaUrl="#landslides">{inner}</SchemaData></ExtendedData>'


def _shapes(layer: Layer, simplify_m: float = 0.0) -> Iterator[Any]:
    geometry = layer.frame.geometry.to_numpy()
    yield from in_lonlat(
        shapely.simplify(geometry, simplify_m) if simplify_m else geometry, code_of(layer.frame.crs)
    )


def _landslides(layer: Layer) -> Iterator[str]:
    yield f"<Folder><name>{text(layer.title)}</name>"
    for shape, fields in zip(_shapes(layer), properties(layer), strict=True):
        head = (
            f"<name>{text(fields['id'])}</name><styleUrl>#{text(fields['confidence'])}</styleUrl>"
        )
        yield (
            "<Placemark "
            f"id={quoteattr(fields['id'])}>{head}{_data(fields)}{_shape_of(shape)}</Placemark>"
        )
    yield "</Folder>"


def _ground(layer: Layer, style: str, name: str, simplify_m: float, visible: bool) -> Iterator[str]:
    """Yield a layer of plain shapes; `name` is the field that names each, or a name for all."""
    yield f"<Folder><name>{text(layer.title)}</name><visibility>{int(visible)}</visibility>"
    names = layer.frame[name].tolist() if name in layer.frame.columns else [name] * len(layer.frame)
    for shape, called in zip(_shapes(layer, simplify_m), names, strict=True):
        if not shape.is_empty:
            head = f"<name>{text(called)}</name><visibility>{int(visible)}</visibility>"
            head += f"<styleUrl>#{style}</styleUrl>"
            yield f"<Placemark>{head}{_shape_of(shape)}</Placemark>"
    yield "</Folder>"


def _epicentre(about: About) -> str:
    event = about.event
    called = f"M {event.magnitude:.1f}" if event.magnitude is not None else "Epicentre"
    stamp = f"<TimeStamp><when>{event.time:%Y-%m-%dT%H:%M:%SZ}</when></TimeStamp>"
    point = f"<Point><coordinates>{event.longitude:.6f},{event.latitude:.6f}</coordinates></Point>"
    return f"<Placemark><name>{text(called)}</name>{stamp}{point}</Placemark>"


def write_kml(
    path: Path, about: About, landslides: Layer, area: Layer, unseen: Layer, words: Sequence[str]
) -> Path:
    """Return the path of the KML, written whole or not at all.

    Args:
        path: where it goes.
        about: the run.
        landslides: layer of landslides, any projected CRS.
        area: where we looked.
        unseen: what was not observed; drawn coarsely, switched off at first.
        words: headline and warnings, shown when the document is chosen.
    """
    description = text("<br/>".join(html.escape(line) for line in words))
    coarse = 2 * float(unseen.frame["drawn_at_m"].max()) if len(unseen.frame) else 0.0
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n<kml '
            'xmlns="http://www.opengis.net/kml/2.2"><Document>'
        )
        file.write(
            f"<name>{text(about.name)}</name><open>1</open><description>{description}</description>\n"
        )
        file.write(_styles() + _schema(landslides.fields) + "\n" + _epicentre(about) + "\n")
        for line in _landslides(landslides):
            file.write(line + "\n")
        for line in (
            *_ground(unseen, "unseen", "why", coarse, False),
            *_ground(area, "area", "area", 0.0, True),
        ):
            file.write(line + "\n")
        file.write("</Document></kml>\n")
    return path
