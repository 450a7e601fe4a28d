"""How Earth Engine is used: which products, which limits, which endpoint. Credentials come from the
environment, never from here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.event import Frozen


class EarthEngineConfig(Frozen):
    """Settings of the live source; they travel with the run file."""

    project: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9:.-]{4,62}$")
    """Cloud project that the quota is charged to; `EE_PROJECT`, then the credentials' own project,
    where null.
    """
    workload_tag: str = Field(default="coslide", pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")
    """Label on every request, under which the Cloud console lists their compute and cost: lower
    case letters, digits, `-` and `_`.
    """
    endpoint: Literal["standard", "high-volume"] = "high-volume"
    """high-volume: many pixel requests without aggregation, which is what a pull is; standard
    caches more.
    """
    sensor: Literal["sentinel-2", "landsat-8"] = "sentinel-2"
    """Optical sensor. landsat-8 is Landsat-8 and 9, pan-sharpened to 15 m."""
    level: Literal["L1C", "L2A"] = "L1C"
    """Sentinel-2 product level; it must be the level of the checkpoint. Landsat is always top of
    atmosphere.
    """
    clear_score: float = Field(default=0.60, ge=0, le=1)
    """Cloud Score+ `cs_cdf` from which a pixel counts as clear; the data set's page advises
    0.50-0.65.
    """
    cloud_probability: int = Field(default=40, ge=0, le=100)
    """s2cloudless percentage from which a pixel is cloud, where a scene has no Cloud Score+ (40:
    Sentinel Hub's default).
    """
    age_weight: float = Field(default=0.25, ge=0, le=10)
    """What a day of age counts against a day of seasonal difference when a pre-event pixel is
    chosen: leaves and snow alike, little else changed. The simulated Earth chooses the same way."""
    post_policy: Literal["earliest", "latest"] = "earliest"
    """Which clear pixel after the event is taken: the earliest (rapid response) or the latest."""
    scenes_per_tile: int = Field(default=10, ge=1, le=100)
    """At most so many scenes of one tile and window are composited: the best ones. Bounds the work
    of one request.
    """
    water_percent: float = Field(default=80, gt=0, le=100)
    """Surface-water occurrence (JRC, 1984-2021) from which a pixel is permanent water."""
    radar: Literal["sigma0", "gamma0", "flattened"] = "sigma0"
    """Backscatter of VV and VH: sigma0; gamma0 = sigma0 / cos(incidence angle); flattened, gamma0
    as flat ground would have it, by the local angle from the elevation model, without layover and
    shadow. It must be the one that the checkpoint was trained on.
    """
    dem: Literal["auto", "srtm", "nasadem", "aw3d30", "glo30"] = "auto"
    """Elevation model; auto is SRTM within its 56°S-60°N and Copernicus GLO-30 beyond."""
    block_px: int | None = Field(default=None, ge=256, le=768, multiple_of=256)
    """Side of a pixel request; null chooses the one that takes the fewest seconds for the grid. 768
    px of ten bands are about 13 MB of the 48 MB that one request may carry."""
    workers: int = Field(default=40, ge=1, le=40)
    """Requests in flight at most; a project may have 40, which its other users share: refusals
    halve it for a while.
    """
    deadline_s: float = Field(default=300, gt=0, le=3600)
    """Longest time for one request, body included."""
    silence_s: float = Field(default=60, gt=0, le=600)
    """Longest silence on a connection: a stalled body is given up after this long."""
    attempts: int = Field(default=6, ge=1, le=50)
    """Tries of one request through server errors, time-outs and damaged payloads."""
    patience_s: float = Field(default=900, ge=0, le=86400)
    """How long the service may refuse every request for its rate limit before the run gives up."""
