"""How QGIS and other readers draw each layer at once: QML and SLD, made here from the colours of
the products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from inventory.colours import AFFECTED, CHANGE, CONFIDENCE, OBSERVATION, rgb

Kind = Literal["fill", "line", "square", "star"]


@dataclass(frozen=True)
class Drawn:
    """How one class of a layer is drawn."""

    value: str
    """Value of the styled field; empty for the only class of a layer."""
    label: str
    fill: str
    """``#rrggbb``"""
    fill_alpha: int
    outline: str
    outline_mm: float
    dash: str = "solid"


@dataclass(frozen=True)
class Style:
    """How a layer is drawn: by the values of `attribute`, or all the same where that is None."""

    layer: str
    attribute: str | None
    classes: tuple[Drawn, ...]
    label: str | None = None
    """Field written beside each feature."""
    kind: Kind = "fill"
    """What it is drawn with: an area, a line, or a mark."""
    unless: tuple[str, Drawn] | None = None
    """A field and how features with that value of it are drawn instead."""

    @property
    def field(self) -> str:
        """Return the field that QGIS draws by, or the expression where some features are drawn
        otherwise.
        """
        if self.unless is None:
            return self.attribute or ""
        name, drawn = self.unless
        return (
            f"CASE WHEN \"{name}\" = '{drawn.value}' THEN '{drawn.value}' ELSE "
            f'"{self.attribute}" END'
        )

    @property
    def all_classes(self) -> tuple[Drawn, ...]:
        """Return every class that a feature may be drawn as."""
        return (*self.classes, self.unless[1]) if self.unless else self.classes


def _shaded(value: str, label: str, colour: str) -> Drawn:
    return Drawn(value, label, colour, 110, colour, 0.4)


STYLES = (
    Style(
        "landslides",
        "confidence",
        tuple(_shaded(name, f"{name} confidence", colour) for name, colour in CONFIDENCE.items()),
        unless=(
            "status",
            Drawn("dismissed", "dismissed by an analyst", "#ffffff", 0, "#737373", 0.3, "dot"),
        ),
    ),
    Style(
        "affected_roads",
        "where",
        (
            Drawn(
                "within", "road within a landslide", AFFECTED["within"], 0, AFFECTED["within"], 1.2
            ),
            Drawn("below", "road below a landslide", AFFECTED["below"], 0, AFFECTED["below"], 1.2),
        ),
        kind="line",
    ),
    Style(
        "affected_buildings",
        "where",
        (
            Drawn("within", "building within a landslide", AFFECTED["within"], 255, "#000000", 0.2),
            Drawn("below", "building below a landslide", AFFECTED["below"], 255, "#000000", 0.2),
        ),
        kind="square",
    ),
    Style(
        "reach",
        None,
        (
            Drawn(
                "",
                "possible reach (indicative)",
                AFFECTED["below"],
                60,
                AFFECTED["below"],
                0.2,
                "dash",
            ),
        ),
    ),
    Style("rejected", None, (Drawn("", "rejected", "#969696", 60, "#525252", 0.3, "dash"),)),
    Style("affected_area", None, (Drawn("", "affected area", "#67000d", 0, "#67000d", 0.4),)),
    Style(
        "changes", "change", tuple(_shaded(name, name, colour) for name, colour in CHANGE.items())
    ),
    Style("area", None, (Drawn("", "area", "#ffffff", 0, "#08306b", 0.6),)),
    Style(
        "not_observed",
        "class",
        tuple(
            Drawn(str(int(k)), name, colour, 150, colour, 0.1)
            for k, (name, colour) in OBSERVATION.items()
        ),
    ),
    Style(
        "scenes",
        "window",
        (
            Drawn("pre", "before the event", "#41ab5d", 15, "#41ab5d", 0.4, "dash"),
            Drawn("post", "after the event", "#dd3497", 15, "#dd3497", 0.4, "dash"),
        ),
    ),
    Style(
        "event",
        None,
        (Drawn("", "epicentre", "#ffd92f", 255, "#000000", 0.4),),
        label="title",
        kind="star",
    ),
)


def _rgba(colour: str, alpha: int) -> str:
    return ",".join(str(part) for part in (*rgb(colour), alpha))


def _options(parent: ET.Element, values: dict[str, str]) -> None:
    options = ET.SubElement(parent, "Option", type="Map")
    for name, value in values.items():
        ET.SubElement(options, "Option", name=name, value=value, type="QString")


_QGIS = {"fill": ("fill", "SimpleFill"), "line": ("line", "SimpleLine")}
"""Symbol type and layer class of QGIS by kind; marks are the rest."""
_MARK_MM = {"star": 6, "square": 2.4}


def _symbol(parent: ET.Element, name: str, drawn: Drawn, kind: Kind) -> None:
    symbol_type, layer_class = _QGIS.get(kind, ("marker", "SimpleMarker"))
    symbol = ET.SubElement(parent, "symbol", name=name, type=symbol_type, alpha="1")
    symbol.set("clip_to_extent", "1")
    layer = ET.SubElement(symbol, "layer", {"class": layer_class, "enabled": "1"})
    outline = "line" if kind == "line" else "outline"
    values = {
        f"{outline}_color": _rgba(drawn.outline, 255),
        f"{outline}_width": f"{drawn.outline_mm:g}",
        f"{outline}_width_unit": "MM",
        f"{outline}_style": drawn.dash,
    }
    if kind != "line":
        values["color"] = _rgba(drawn.fill, drawn.fill_alpha)
    if kind == "fill":
        values["style"] = "solid"
    elif kind in _MARK_MM:
        values |= {"name": kind, "size": f"{_MARK_MM[kind]:g}", "size_unit": "MM"}
    _options(layer, values)


def qml(style: Style) -> str:
    """Return a style as QGIS writes it (QML)."""
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology|Labeling")
    kind = "categorizedSymbol" if style.attribute else "singleSymbol"
    renderer = ET.SubElement(root, "renderer-v2", type=kind, enableorderby="0", forceraster="0")
    if style.attribute:
        renderer.set("attr", style.field)
        categories = ET.SubElement(renderer, "categories")
        for number, drawn in enumerate(style.all_classes):
            words = {
                "render": "true",
                "symbol": str(number),
                "value": drawn.value,
                "label": drawn.label,
            }
            ET.SubElement(categories, "category", words)
    symbols = ET.SubElement(renderer, "symbols")
    for number, drawn in enumerate(style.all_classes):
        _symbol(symbols, str(number), drawn, style.kind)
    if style.label:
        labels = ET.SubElement(root, "labeling", type="simple")
        settings = ET.SubElement(labels, "settings")
        text = ET.SubElement(
            settings, "text-style", fieldName=style.label, fontSize="10", textColor="0,0,0,255"
        )
        ET.SubElement(
            text, "text-buffer", bufferDraw="1", bufferSize="0.8", bufferColor="255,255,255,255"
        )
        ET.SubElement(settings, "placement", placement="0", dist="4", distUnits="MM")
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ET.tostring(
        root, encoding="unicode"
    )


_SLD = "http://www.opengis.net/sld"
_OGC = "http://www.opengis.net/ogc"


def _parameter(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, f"{{{_SLD}}}CssParameter", name=name).text = value


def _sld_symbol(rule: ET.Element, drawn: Drawn, kind: Kind) -> None:
    symbolizer = {"fill": "PolygonSymbolizer", "line": "LineSymbolizer"}.get(
        kind, "PointSymbolizer"
    )
    target = symbol = ET.SubElement(rule, f"{{{_SLD}}}{symbolizer}")
    if kind in _MARK_MM:
        graphic = ET.SubElement(symbol, f"{{{_SLD}}}Graphic")
        target = ET.SubElement(graphic, f"{{{_SLD}}}Mark")
        ET.SubElement(target, f"{{{_SLD}}}WellKnownName").text = kind
    if kind != "line":
        fill = ET.SubElement(target, f"{{{_SLD}}}Fill")
        _parameter(fill, "fill", drawn.fill)
        _parameter(fill, "fill-opacity", f"{drawn.fill_alpha / 255:.2f}")
    stroke = ET.SubElement(target, f"{{{_SLD}}}Stroke")
    _parameter(stroke, "stroke", drawn.outline)
    _parameter(stroke, "stroke-width", f"{drawn.outline_mm / 0.28:.1f}")
    if kind in _MARK_MM:
        ET.SubElement(graphic, f"{{{_SLD}}}Size").text = f"{_MARK_MM[kind] / 0.28:.0f}"


def _equal(parent: ET.Element, how: str, name: str, value: str) -> None:
    test = ET.SubElement(parent, f"{{{_OGC}}}{how}")
    ET.SubElement(test, f"{{{_OGC}}}PropertyName").text = name
    ET.SubElement(test, f"{{{_OGC}}}Literal").text = value


def sld(style: Style) -> str:
    """Return a style as OGC Styled Layer Descriptor 1.0."""
    ET.register_namespace("", _SLD)
    ET.register_namespace("ogc", _OGC)
    root = ET.Element(f"{{{_SLD}}}StyledLayerDescriptor", version="1.0.0")
    layer = ET.SubElement(root, f"{{{_SLD}}}NamedLayer")
    ET.SubElement(layer, f"{{{_SLD}}}Name").text = style.layer
    user = ET.SubElement(layer, f"{{{_SLD}}}UserStyle")
    rules = ET.SubElement(user, f"{{{_SLD}}}FeatureTypeStyle")
    for drawn in style.all_classes:
        rule = ET.SubElement(rules, f"{{{_SLD}}}Rule")
        ET.SubElement(rule, f"{{{_SLD}}}Title").text = drawn.label
        if style.attribute:
            test = ET.SubElement(rule, f"{{{_OGC}}}Filter")
            if style.unless is None:
                _equal(test, "PropertyIsEqualTo", style.attribute, drawn.value)
            elif drawn is style.unless[1]:
                _equal(test, "PropertyIsEqualTo", style.unless[0], drawn.value)
            else:
                both = ET.SubElement(test, f"{{{_OGC}}}And")
                _equal(both, "PropertyIsEqualTo", style.attribute, drawn.value)
                _equal(both, "PropertyIsNotEqualTo", style.unless[0], style.unless[1].value)
        _sld_symbol(rule, drawn, style.kind)
    return ET.tostring(root, encoding="unicode")
