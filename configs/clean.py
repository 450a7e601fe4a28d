"""Which outlines count as landslides: the rules of cleaning, each with its number and where the
number comes from.

``null`` turns a rule off. What a rule removes goes to the layer ``rejected`` with the reason.
"""

from __future__ import annotations

from pydantic import Field

from configs.event import Frozen


class CleanConfig(Frozen):
    """From probability to landslides."""

    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Probability from which a pixel is a landslide; the checkpoint's own, "
        "chosen on "
        "validation data, where null.",
    )
    split_depth: float | None = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Two peaks of the probability are two landslides where the saddle between "
        "them is this much lower\n"
        "than both. Chosen on the validation bands of Iburi. What touches is one landslide where "
        "null.",
    )
    min_area_m2: float | None = Field(
        default=400.0,
        ge=0,
        description="Smallest landslide. Xu et al. (preprint) (section 3.3): 4 to 25 pixels; 4 "
        "pixels of "
        "10 m are also the most\n"
        "frequent size of Malamud et al. (2004).",
    )
    max_length_width_ratio: float | None = Field(
        default=None,
        ge=1,
        description="Longest shape, length by width of the minimum rotated rectangle; against "
        "roads and rivers.\n"
        "Off, as in both studies of Xu et al. (preprint), which gives no number; 8 to 10 "
        "is sensible.",
    )
    min_slope_deg: float | None = Field(
        default=5.0,
        ge=0,
        lt=90,
        description="Least mean slope. Keefer (1984): no slide but lateral spreads below 5 "
        "degrees.",
    )
    max_water_fraction: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Largest share of pixels seen as water, or with water in at least half of "
        "the years. Chosen: the majority.",
    )
    bare_before_ndvi: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Reject what had a mean NDVI below this before the event, and has not lost "
        "`bare_min_drop` since.\n"
        "0.2 is bare soil (Sobrino et al. 2004). Off: in dry country every slope is bare. "
        "Needs pre- and post-event NDVI.",
    )
    bare_min_drop: float = Field(
        default=0.05,
        ge=0,
        le=2,
        description="Loss of NDVI that makes a bare slope fresh again. Chosen: about the noise "
        "of two clear images.",
    )
    max_edge_fraction: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Largest share of the outline that borders on what was not observed: the "
        "rest of the shape is unknown,\n"
        "and fringes of clouds look like this. Chosen: the majority.",
    )
    simplify_m: float | None = Field(
        default=None,
        gt=0,
        description="Simplify outlines by this many metres, as long as no area changes by more "
        "than 1 %. Off: outlines then\n"
        "follow the pixels, and areas agree with the mask exactly.",
    )
    confidence_high: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Mean probability from which a landslide is of high confidence (never "
        "where nothing is known of the checkpoint): the\n"
        "checkpoint's own, measured on ground held out of its training, where null; none where "
        "nothing was measured.",
    )
    confidence_medium: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Mean probability from which it is of medium confidence; as above.",
    )
