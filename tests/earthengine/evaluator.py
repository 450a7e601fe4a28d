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
from earthengine.pictures import HELD, Grid, Image, Memory

PIXEL_BYTES = 48 * 2**20
COMPUTED_BYTES = 80 * 2**20
"""Of all layers of an answer as doubles; the limit that the service's own refusal names."""
SIDE_PX = 32768
ALGORITHMS: dict[str, Callable[..., Any]] = {**images.ALGORITHMS, **collections_.ALGORITHMS}


class Evaluator(Engine):
    """Answers expressions over a catalogue of images held in memory."""

    def __init__(
        self,
        assets: Iterable[Image],
        *,
        bytes_limit: int = PIXEL_BYTES,
        computed_limit: int = COMPUTED_BYTES,
        memory_limit: int | None = None,
    ) -> None:
        """Hold a catalogue.

        Args:
            assets: its images.
            bytes_limit: of the pixels of an answer.
            computed_limit: of the layers of an answer as doubles.
            memory_limit: of all layers painted on the way; the service does not publish its own.
        """
        self.assets = {str(image.id): image for image in assets}
        self.bytes_limit = bytes_limit
        self.computed_limit, self.memory_limit = computed_limit, memory_limit
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
        _check_computed(len(image.bands), grid.height * grid.width, self.computed_limit)
        token = HELD.set(Memory(self.memory_limit))
        try:
            return _written(image, grid)
        finally:
            HELD.reset(token)

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


def _check_computed(bands: int, pixels: int, limit: int) -> None:
    size = bands * pixels * 8
    if size > limit:
        raise Refused(
            400,
            f"Output of image computation is too large ({bands} bands for {pixels} pixels = "
            f"{size / 2**20:.1f} MiB > {limit / 2**20:.1f} MiB).\nIf this is a reduction, try "
            "specifying a larger 'tileScale' parameter.",
        )


def _written(image: Image, grid: Grid) -> bytes:
    """Return an NPY payload."""
    table = np.zeros((grid.height, grid.width), [(band.name, band.dtype) for band in image.bands])
    for band in image.bands:
        values, mask = band.paint(grid)
        table[band.name] = images.to_type(np.where(mask > 0, values, 0), band.dtype)
    file = io.BytesIO()
    np.save(file, table)
    return file.getvalue()


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
