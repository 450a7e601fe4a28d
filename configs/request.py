"""What somebody asks for: one flat record that the command line, the REST API and the form of the
UI share.

Single-field limits are part of the schema, so that a server can refuse them by name;
`flows.resolve` checks the rest.
"""

from __future__ import annotations

from pydantic import Field

from configs.event import NAME_PATTERN, USGS_ID, Frozen

DAY = (
    r"^\d{4}-\d{2}-\d{2}"
    r"([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
)
"""A day, or a moment as catalogues and people write it; a zone counts, without one it is UTC."""
_RANGE = r"^\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}$"
_BOUNDS = r"^-?\d+(\.\d+)?(,-?\d+(\.\d+)?){3}$"

METAVARS = {
    "date": "YYYY-MM-DD[THH:MM]",
    "magnitude": "M",
    "radius_km": "R",
    "pre": "FROM/TO",
    "post": "FROM/TO",
    "checkpoint": "auto|average|NAME",
    "as_of": "DATE",
}
"""How values of the fields are written on the command line."""


class Request(Frozen):
    """One request to map an earthquake's landslides. Either `usgs`, or `latitude`, `longitude` and
    `date`.
    """

    usgs: str | None = Field(default=None, title="USGS event id", pattern=USGS_ID)
    """Event id at the USGS, e.g. us2000h8ty."""
    latitude: float | None = Field(default=None, title="Latitude", ge=-90, le=90)
    """Epicentre, degrees north."""
    longitude: float | None = Field(default=None, title="Longitude", ge=-180, le=180)
    """Epicentre, degrees east."""
    date: str | None = Field(default=None, title="Date (UTC)", pattern=DAY)
    """Origin time, YYYY-MM-DD or YYYY-MM-DDTHH:MM, UTC unless a zone is written."""
    magnitude: float | None = Field(default=None, title="Magnitude", ge=3, le=10)
    """Moment magnitude; sets the area where neither radius nor bounds do."""
    radius_km: float | None = Field(default=None, title="Radius (km)", gt=0, le=500)
    """Map this far around the epicentre."""
    bounds: str | None = Field(default=None, title="Bounds W,S,E,N", pattern=_BOUNDS)
    """Map this box instead, degrees."""
    pre: str | None = Field(default=None, title="Pre-event days FROM/TO", pattern=_RANGE)
    """Days of the image before the event, both included."""
    post: str | None = Field(default=None, title="Post-event days FROM/TO", pattern=_RANGE)
    """Days of the image after the event, both included."""
    checkpoint: str = Field(default="auto", title="Checkpoint", pattern=NAME_PATTERN)
    """Which checkpoint maps: auto chooses by the scene, average takes the mean of the best."""
    name: str | None = Field(default=None, title="Event name", pattern=NAME_PATTERN)
    """Folder of the event; made from date and place where not given."""
    as_of: str | None = Field(default=None, title="As of", pattern=DAY)
    """Pretend it is this day: later acquisitions do not exist."""
