"""What the STAC extensions demand of the fields we write, as JSON schemas of our own: validation
needs no network.

Written from the specifications at https://stac-extensions.github.io: projection 2.0, raster 1.1,
file 2.1, processing 1.2. A field of an extension's namespace that the specification does not know
is refused, as the published schemas do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pystac.validation import RegisteredValidator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
STATISTICS = ("minimum", "maximum", "mean", "stddev", "valid_percent")
DATA_TYPES = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


def _list(items: Schema, *lengths: int) -> Schema:
    sizes = [{"minItems": n, "maxItems": n} for n in lengths]
    return {"type": "array", "items": items, **({"anyOf": sizes} if sizes else {"minItems": 1})}


def _record(fields: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "additionalProperties": False,
        "minProperties": 1,
    }


_BAND = _record(
    {
        "data_type": {"enum": list(DATA_TYPES)},
        "nodata": {"anyOf": [NUMBER, {"enum": ["nan", "inf", "-inf"]}]},
        "spatial_resolution": NUMBER,
        "statistics": _record(dict.fromkeys(STATISTICS, NUMBER)),
    }
)
_PROPERTIES: dict[str, tuple[str, dict[str, Schema]]] = {
    "projection/v2.0.0": (
        "proj",
        {
            "code": {"type": ["string", "null"], "pattern": "^[A-Z0-9]+:[0-9]+$"},
            "wkt2": {"type": ["string", "null"]},
            "bbox": _list(NUMBER, 4, 6),
            "shape": _list({"type": "integer"}, 2),
            "transform": _list(NUMBER, 6, 9),
        },
    ),
    "processing/v1.2.0": (
        "processing",
        {
            "software": {"type": "object", "additionalProperties": TEXT},
            "lineage": TEXT,
            "level": {"pattern": "^L[0-4]|RAW"},
        },
    ),
}
_ASSETS: dict[str, tuple[str, dict[str, Schema]]] = {
    "file/v2.1.0": (
        "file",
        {"checksum": {"type": "string", "pattern": "^[a-f0-9]+$"}, "size": COUNT},
    ),
    "raster/v1.1.0": ("raster", {"bands": _list(_BAND)}),
}


def _fields(prefix: str, fields: dict[str, Schema]) -> Schema:
    named = {f"{prefix}:{name}": schema for name, schema in fields.items()}
    return {
        "type": "object",
        "properties": named,
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }


def schemas() -> dict[str, Schema]:
    """Return the schemas by their address."""
    found = {}
    for where, table in (("properties", _PROPERTIES), ("assets", _ASSETS)):
        for name, (prefix, fields) in table.items():
            uri, demand = (
                f"https://stac-extensions.github.io/{name}/schema.json",
                _fields(prefix, fields),
            )
            inner = (
                demand
                if where == "properties"
                else {"type": "object", "additionalProperties": demand}
            )
            declared = {"type": "array", "contains": {"const": uri}}
            head = {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$id": uri,
                "type": "object",
            }
            item = {"type": {"const": "Feature"}, where: inner, "stac_extensions": declared}
            found[uri] = {
                **head,
                "properties": item,
                "required": ["type", where, "stac_extensions"],
            }
    return found


@contextmanager
def local_validation() -> Iterator[None]:
    """Have pystac validate against the schemas above and its own; anything else would need the
    network and fails.
    """
    before = RegisteredValidator.get_validator()
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schemas())
    RegisteredValidator.set_validator(validator)
    try:
        yield
    finally:
        RegisteredValidator.set_validator(before)
