"""The evaluator: walks the graph of a request and nothing else. An algorithm it does not know is
refused, not guessed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from affine import Affine

from earthengine import collections_, images
from earthengine.loopback import Engine, Refused
from earthengine.pictures import Grid, Image

PIXEL_BYTES = 48 * 2**20
SIDE_PX = 32768
ALGORITHMS: dict[str, Callable[..., Any]] = {**images.ALGORITHMS, **collections_.ALGORITHMS}


class Evaluator(Engine):
    """Answers expressions over a catalogue of images held in memory."""

    def __init__(self, assets: Iterable[Image], *, bytes_limit: int = PIXEL_BYTES) -> None:
        self.assets = {str(image.id): image for image in assets}
        self.bytes_limit = bytes_limit
        self.algorithms = dict(ALGORITHMS)
        self.used: set[str] = set()

    def value(self, expression: dict[str, Any]) -> Any:
        """Return the JSON of a computed value."""
        return collections_.encode(_Walk(self, expression).result())

    def pixels(self, request: dict[str, Any]) -> bytes:
        """Return an NPY payload: a structured array, each band in its own type, zero where
        masked.
        """
        image = images.as_image(_Walk(self, request["expression"]).result())
        grid = _grid(request["grid"])
        if max(grid.height, grid.width) > SIDE_PX:
            raise Refused(
                400,
                f"Pixel grid dimensions ({grid.width}x{grid.height}) must be less than {SIDE_PX}.",
            )
        size = (
            grid.height
            * grid.width
            * sum(np.dtype(band.dtype).itemsize + 1 for band in image.bands)
        )
        if size > self.bytes_limit:
            raise Refused(
                400,
                f"Total request size ({size} bytes) must be less than or equal to "
                f"{self.bytes_limit} bytes.",
            )
        table = np.zeros(
            (grid.height, grid.width), [(band.name, band.dtype) for band in image.bands]
        )
        for band in image.bands:
            values, mask = band.paint(grid)
            table[band.name] = images.to_type(np.where(mask > 0, values, 0), band.dtype)
        file = io.BytesIO()
        np.save(file, table)
        return file.getvalue()

    def asset(self, name: str) -> dict[str, Any]:
        """Return an asset's record."""
        if name in self.assets:
            return {
                "type": "IMAGE",
                "name": f"projects/earthengine-public/assets/{name}",
                "id": name,
            }
        if any(known.startswith(f"{name}/") for known in self.assets):
            return {
                "type": "IMAGE_COLLECTION",
                "name": f"projects/earthengine-public/assets/{name}",
                "id": name,
            }
        raise Refused(404, f"Asset '{name}' not found.")

    def load_image(self, asset_id: str) -> Image:
        """Return one image of the catalogue."""
        if asset_id not in self.assets:
            raise Refused(
                400,
                f"Image.load: Image asset '{asset_id}' not found (does not exist or caller "
                "does not have access).",
            )
        return self.assets[asset_id]

    def load_collection(self, asset_id: str) -> list[Image]:
        """Return the images of a collection; one without images is empty."""
        return [image for key, image in self.assets.items() if key.rsplit("/", 1)[0] == asset_id]


class _Walk:
    """One evaluation: shared nodes are evaluated once."""

    def __init__(self, engine: Evaluator, expression: dict[str, Any]) -> None:
        self._engine = engine
        self._nodes = expression["values"]
        self._start = expression["result"]
        self._known: dict[str, Any] = {}

    def result(self) -> Any:
        return self._reference(self._start, {})

    def _reference(self, key: str, arguments: dict[str, Any]) -> Any:
        if arguments:  # inside a function a node may depend on its arguments
            return self._node(self._nodes[key], arguments)
        if key not in self._known:
            self._known[key] = self._node(self._nodes[key], arguments)
        return self._known[key]

    def _node(self, node: dict[str, Any], arguments: dict[str, Any]) -> Any:
        ((kind, content),) = node.items()
        match kind:
            case "constantValue":
                return content
            case "integerValue":
                return int(content)
            case "valueReference":
                return self._reference(content, arguments)
            case "argumentReference":
                return arguments[content]
            case "arrayValue":
                return [self._node(item, arguments) for item in content["values"]]
            case "dictionaryValue":
                return {
                    name: self._node(item, arguments) for name, item in content["values"].items()
                }
            case "functionDefinitionValue":
                names = content["argumentNames"]
                return lambda *given: self._reference(
                    content["body"], {**arguments, **dict(zip(names, given, strict=True))}
                )
            case "functionInvocationValue":
                return self._call(content, arguments)
        raise Refused(400, f"Unknown node {kind}.")

    def _call(self, call: dict[str, Any], arguments: dict[str, Any]) -> Any:
        name = call.get("functionName", "")
        self._engine.used.add(name)
        given = {key: self._node(value, arguments) for key, value in call["arguments"].items()}
        if name == "Image.load":
            return self._engine.load_image(given["id"])
        if name == "ImageCollection.load":
            return self._engine.load_collection(given["id"])
        if name not in self._engine.algorithms:
            raise Refused(400, f"Unknown algorithm '{name}'.")
        try:
            return self._engine.algorithms[name](**given)
        except TypeError as error:
            raise Refused(400, f"{name}: {error}") from error


def _grid(stated: dict[str, Any]) -> Grid:
    to = stated["affineTransform"]
    affine = Affine(
        to.get("scaleX", 1),
        to.get("shearX", 0),
        to.get("translateX", 0),
        to.get("shearY", 0),
        to.get("scaleY", 1),
        to.get("translateY", 0),
    )
    size = stated["dimensions"]
    return Grid(
        stated.get("crsCode") or stated["crsWkt"], affine, int(size["height"]), int(size["width"])
    )
