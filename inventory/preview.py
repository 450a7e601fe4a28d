"""``preview.png``: the post-event image with the landslides on it, small enough for a message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from configs.bands import When
from configs.files import replacing
from configs.stack import Rows, Stack
from inventory.colours import CONFIDENCE, rgb
from inventory.outline import Inventory
from inventory.pictures import natural, terrain, unseen
from inventory.polygons import through

LARGEST_PX = 1000
SMALLEST_PX = 480


def _drawn(image: Image.Image, inventory: Inventory) -> Image.Image:
    """Return the image with every landslide filled in the colour of its confidence, largest first, so that holes stay open."""
    overlay = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(overlay)
    scale = image.width / int(inventory.geobox.shape[1])
    to_pixel = ~inventory.geobox.affine
    parts = shapely.get_parts(inventory.landslides.geometry.to_numpy(), return_index=True)
    confidence = inventory.landslides["confidence"].to_numpy()
    for part, owner in zip(*parts, strict=True):
        colour = rgb(CONFIDENCE.get(confidence[owner], "#b10026"))
        for ring, fill in ((part.exterior, (*colour, 120)), *((hole, (0, 0, 0, 0)) for hole in part.interiors)):
            points = scale * through(to_pixel, shapely.get_coordinates(ring))
            pen.polygon([tuple(point) for point in points.tolist()], fill=fill, outline=(*colour, 255))
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


def write_preview(path: Path, inventory: Inventory, probability: Rows, observation: Rows, stack: Stack) -> Path:
    """Return the path of the preview."""
    base = natural(stack, When.POST, LARGEST_PX) or terrain(stack, LARGEST_PX)
    veil = unseen(probability, observation, LARGEST_PX).convert("RGBA")
    image = Image.alpha_composite(base.convert("RGBA"), veil)
    if max(image.size) < SMALLEST_PX:
        factor = SMALLEST_PX / max(image.size)
        image = image.resize([max(1, round(n * factor)) for n in image.size], Image.Resampling.NEAREST)
    image = _drawn(image, inventory)
    _bar(image, abs(inventory.geobox.affine.a) * int(inventory.geobox.shape[1]) / image.width)
    with replacing(path) as part:
        image.convert("RGB").save(part, "PNG", optimize=True)
    return path
