"""Pictures of what a network looked at, and of how much each band said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.bands import parse_band
from configs.files import replacing

Image = NDArray[np.float32]
_RED_GREEN_BLUE = ("B4", "B3", "B2")
_COLUMNS = 5


@dataclass(frozen=True)
class Look:
    """One chip seen by one network."""

    bands: tuple[str, ...]
    pixels: Image
    """`(C, H, W)`, physical."""
    truth: NDArray[np.uint8]
    """`(H, W)`: 1 landslide, 255 not known."""
    probability: Image
    cam: Image
    """Grad-CAM `(H, W)`, 0-1."""
    branch_cams: Image
    """Grad-CAM of each input branch `(branch, H, W)`; none for networks without branches."""
    branch_names: tuple[str, ...]
    occlusion: Image
    """`(C, H, W)`: fall of the logit when a band is flattened to its mean."""


def draw(look: Look, path: Path, title: str) -> None:
    """Write the picture of a chip: image, truth, probability, Grad-CAM by branch, then one heat map
    a band.
    """
    from matplotlib.figure import Figure

    panels = 4 + len(look.branch_cams) + len(look.bands)
    rows = -(-panels // _COLUMNS)
    figure = Figure(figsize=(2.1 * _COLUMNS, 2.3 * rows + 0.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, _COLUMNS)).ravel()
    background = visible(look.bands, look.pixels)
    axes[0].imshow(background)
    axes[0].set_title("image")
    axes[1].imshow(
        np.ma.masked_equal(look.truth, 255), vmin=0, vmax=1, cmap="gray", interpolation="nearest"
    )
    axes[1].set_title("truth")
    axes[2].imshow(look.probability, vmin=0, vmax=1, cmap="viridis")
    axes[2].set_title("probability")
    heats = [("Grad-CAM", look.cam), *zip(look.branch_names, look.branch_cams, strict=True)]
    for axis, (name, heat) in zip(axes[3:], heats, strict=False):
        axis.imshow(background, alpha=0.5)
        axis.imshow(heat, vmin=0, vmax=1, cmap="inferno", alpha=0.7)
        axis.set_title(name)
    limit = float(np.abs(look.occlusion).max()) or 1.0
    for axis, name, heat in zip(axes[3 + len(heats) :], look.bands, look.occlusion, strict=False):
        axis.imshow(heat, vmin=-limit, vmax=limit, cmap="RdBu_r")
        axis.set_title(name)
    for axis in axes:
        axis.set_axis_off()
        axis.title.set_fontsize(8)
    figure.suptitle(
        f"{title}\nby band: red speaks for landslide, blue against (fall of the logit "
        "without the band)",
        fontsize=9,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def draw_shares(shares: Mapping[str, float], path: Path, title: str, axis_label: str) -> None:
    """Write a bar chart of named shares, the largest on top."""
    from matplotlib.figure import Figure

    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(6, 0.28 * len(names) + 1.2), layout="constrained")
    axis = figure.subplots()
    axis.barh(names, [shares[name] for name in names], color="0.4")
    axis.set(xlabel=axis_label, title=title)
    axis.title.set_fontsize(10)
    axis.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def visible(bands: Sequence[str], pixels: Image) -> NDArray[np.float32]:
    """Return a picture `(H, W, 3)`, 0-1, each channel stretched from its 2nd to its 98th
    percentile.

    Red, green and blue where the bands have them (after the event where there is a choice), else
    the first band in grey.
    """
    places = {
        parse_band(name).band.name: i for i, name in enumerate(bands)
    }  # the later, post-event one wins
    chosen = (
        [places[name] for name in _RED_GREEN_BLUE]
        if all(n in places for n in _RED_GREEN_BLUE)
        else [0, 0, 0]
    )
    return np.stack([_stretched(pixels[i]) for i in chosen], axis=-1)


def _stretched(band: Image) -> NDArray[np.float32]:
    known = band[np.isfinite(band)]
    if not known.size:
        return np.zeros(band.shape, np.float32)
    low, high = np.percentile(known, (2, 98))
    scaled = (np.nan_to_num(band, nan=float(low)) - low) / max(float(high - low), 1e-9)
    return np.asarray(np.clip(scaled, 0, 1), np.float32)
