"""Small pictures of large rasters, for report and preview: natural colour, probability,
observation. Read in strips.

Every picture of a run lies on one coarse grid, `step` pixels of the stack to a pixel of the
picture.
"""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from configs.bands import When
from configs.files import replacing
from configs.records import ObservationClass
from configs.stack import Rows, Stack
from inventory.colours import CONFIDENCE, OBSERVATION, rgb
from inventory.footprints import step_for, thinned
from inventory.outline.outline import OUTSIDE, Inventory, strips
from inventory.outline.polygons import through
from inventory.report.relief import stretched, terrain, thin

_NATURAL = ("B4", "B3", "B2")
NOT_IMAGED = "#2b3138"
"""Ground of the report's map."""
HEAT = ((0.0, "#ffffb2"), (0.25, "#fecc5c"), (0.5, "#fd8d3c"), (0.75, "#f03b20"), (1.0, "#bd0026"))
"""Probability to colour, ColorBrewer YlOrRd."""
_LEVELS = 32
"""Steps of probability in the picture."""


def _bands(stack: Stack, when: When) -> tuple[str, ...]:
    """Return the three bands (or one) that make a picture of a window; none where there is nothing
    to show.
    """
    wanted = tuple(f"{when}_{name}" for name in _NATURAL)
    if all(name in stack.band_names for name in wanted):
        return wanted
    return tuple(name for name in stack.band_names if name.startswith(f"{when}_"))[:1]


def natural(stack: Stack, when: When, largest_px: int) -> Image.Image | None:
    """Return a window's image in natural colour, dark where not imaged; None where the stack has no
    band of it.
    """
    names = _bands(stack, when)
    if not names:
        return None
    step = step_for(stack.shape, largest_px)
    bands = [thin(partial(stack.read, name), stack.shape[0], step) for name in names]
    imaged = np.all([np.isfinite(band) for band in bands], axis=0)
    picture = np.stack(
        [stretched(np.where(imaged, band, np.nan)) for band in bands] * (3 // len(bands)), axis=2
    )
    picture[~imaged] = rgb(NOT_IMAGED)
    return Image.fromarray(picture)  # (y, x, 3)


def _heat_table() -> NDArray[np.uint8]:
    at = np.linspace(0, 1, _LEVELS)
    stops = [stop for stop, _ in HEAT]
    colours = np.array([rgb(colour) for _, colour in HEAT], float)
    return np.stack([np.interp(at, stops, colours[:, i]) for i in range(3)], axis=1).astype(
        np.uint8
    )


def _palette(
    indices: NDArray[np.uint8], colours: NDArray[np.uint8], alphas: list[int]
) -> Image.Image:
    """Return an image of palette indices with an alpha for each."""
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    image.info["transparency"] = bytes(alphas)
    return image


def heat(probability: Rows, observation: Rows, largest_px: int) -> Image.Image:
    """Return landslide probability as colours, transparent below 0.05 and where not observed."""
    step = step_for(probability.shape, largest_px)
    coarse = thin(lambda rows: np.asarray(probability[rows, :]), int(probability.shape[0]), step)
    index = np.where(
        np.isfinite(coarse), np.clip(np.round(coarse * (_LEVELS - 1)), 0, _LEVELS - 1) + 1, 0
    ).astype(np.uint8)
    first = int(np.ceil(0.05 * (_LEVELS - 1)))
    alphas = [0] * (1 + first) + [200] * (_LEVELS - first)
    return _palette(index, np.vstack([np.zeros((1, 3), np.uint8), _heat_table()]), alphas)


def unseen(probability: Rows, observation: Rows, largest_px: int) -> Image.Image:
    """Return the classes of what was not observed as colours, transparent where it was."""
    step = step_for(probability.shape, largest_px)
    classes = []
    for strip in strips(probability, observation):
        blind = np.where(strip.seen, np.uint8(len(OBSERVATION)), strip.observation)
        blind = np.where(blind == OUTSIDE, np.uint8(len(OBSERVATION) + 1), blind)
        classes.append(thinned(blind, strip.rows, probability.shape, step))
    colours = np.array(
        [rgb(colour) for _, colour in OBSERVATION.values()] + [(0, 0, 0), (255, 255, 255)], np.uint8
    )
    alphas = [190 if each is not ObservationClass.CLEAR else 90 for each in OBSERVATION] + [0, 150]
    return _palette(np.concatenate(classes).astype(np.uint8), colours, alphas)


def as_address(image: Image.Image, quality: int | None = None) -> str:
    """Return an image as a data address: WebP of a quality, or PNG with its palette."""
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "PNG", optimize=True, transparency=image.info.get("transparency"))
        kind = "png"
    else:
        image.save(buffer, "WEBP", quality=quality, method=4)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def within(image: Image.Image, budget_bytes: int) -> str:
    """Return an image as a WebP address of at most about `budget_bytes`: quality goes first, then
    size.
    """
    address = ""
    while True:
        for quality in (82, 70, 55):
            address = as_address(image, quality)
            if len(address) <= budget_bytes:
                return address
        if max(image.size) < 400:
            return address
        image = image.resize(
            (max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.BOX
        )


_LARGEST_PX = 1000
SMALLEST_PX = 480


def _drawn(image: Image.Image, inventory: Inventory) -> Image.Image:
    """Return the image with every landslide filled in the colour of its confidence, largest first,
    so that holes stay open.
    """
    overlay = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(overlay)
    scale = image.width / int(inventory.geobox.shape[1])
    to_pixel = ~inventory.geobox.affine
    parts = shapely.get_parts(inventory.landslides.geometry.to_numpy(), return_index=True)
    confidence = inventory.landslides["confidence"].to_numpy()
    for part, owner in zip(*parts, strict=True):
        colour = rgb(CONFIDENCE.get(confidence[owner], "#b10026"))
        for ring, fill in (
            (part.exterior, (*colour, 120)),
            *((hole, (0, 0, 0, 0)) for hole in part.interiors),
        ):
            points = scale * through(to_pixel, shapely.get_coordinates(ring))
            pen.polygon(
                [tuple(point) for point in points.tolist()], fill=fill, outline=(*colour, 255)
            )
    return Image.alpha_composite(image.convert("RGBA"), overlay)


def _bar(image: Image.Image, metres_per_px: float) -> None:
    """Draw a scale bar of a round length into the lower left corner."""
    target = image.width * metres_per_px / 5
    power = 10 ** np.floor(np.log10(target))
    length_m = float(power * max(step for step in (1, 2, 5) if step * power <= target))
    width = round(length_m / metres_per_px)
    words = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    pen = ImageDraw.Draw(image)
    bottom = image.height - 14
    pen.rectangle((10, bottom - 22, 26 + width, bottom + 8), fill=(255, 255, 255, 255))
    pen.rectangle((18, bottom - 2, 18 + width, bottom + 2), fill=(0, 0, 0, 255))
    pen.text((18, bottom - 19), words, fill=(0, 0, 0, 255), font=ImageFont.load_default(13))


def write_preview(
    path: Path,
    inventory: Inventory,
    probability: Rows,
    observation: Rows,
    stack: Stack,
    beware: str = "",
) -> Path:
    """Return the path of the preview; it carries what is to beware of as its description."""
    base = natural(stack, When.POST, _LARGEST_PX) or terrain(stack, _LARGEST_PX)
    veil = unseen(probability, observation, _LARGEST_PX).convert("RGBA")
    image = Image.alpha_composite(base.convert("RGBA"), veil)
    if max(image.size) < SMALLEST_PX:
        factor = SMALLEST_PX / max(image.size)
        image = image.resize(
            [max(1, round(n * factor)) for n in image.size], Image.Resampling.NEAREST
        )
    image = _drawn(image, inventory)
    _bar(image, abs(inventory.geobox.affine.a) * int(inventory.geobox.shape[1]) / image.width)
    with replacing(path) as part:
        said = PngInfo()
        if beware:
            said.add_itxt("Description", beware)
        image.convert("RGB").save(part, "PNG", optimize=True, pnginfo=said)
    return path
