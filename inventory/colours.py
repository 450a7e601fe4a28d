"""The colours of the products, once: rasters, GeoPackage styles and report use the same."""

from __future__ import annotations

from configs.records import ObservationClass

OBSERVATION: dict[ObservationClass, tuple[str, str]] = {
    ObservationClass.NOT_IMAGED: ("not imaged", "#5b5b5b"),
    ObservationClass.CLEAR: ("clear", "#d9efd3"),
    ObservationClass.CLOUD: ("cloud", "#c7cdd4"),
    ObservationClass.SHADOW: ("shadow", "#4a4f6a"),
    ObservationClass.SNOW: ("snow", "#a6e3ff"),
    ObservationClass.WATER: ("water", "#3b82c4"),
    ObservationClass.NO_PRE: ("no clear pre-event pixel", "#f5c76a"),
    ObservationClass.CAST_SHADOW: ("cast shadow", "#2f2b45"),
}
"""Name and colour of each observation class."""

CONFIDENCE = {"high": "#b10026", "medium": "#fc4e2a", "low": "#feb24c"}
"""Sequential yellow-orange-red of ColorBrewer, told apart by colour-blind readers too."""

CHANGE = {
    "new": "#b10026",
    "grown": "#fc4e2a",
    "shrunk": "#feb24c",
    "split": "#8856a7",
    "merged": "#756bb1",
    "gone": "#3182bd",
    "not observed": "#969696",
    "reviewed": "#1b7837",
}

AFFECTED = {"within": "#6a00a8", "below": "#0570b0"}
"""Roads, buildings and ground within a landslide, and below one."""

MASK = {0: ("observed, nothing mapped", "#e8eee6"), 1: ("landslide", "#b10026")}


def rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers 0-255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
