"""One run = one `RunConfig`: every default stands here once, and the filled-in file
travels with the products.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from configs.area import Area
from configs.clean import CleanConfig
from configs.complaints import as_request_error, read_model
from configs.earthengine import EarthEngineConfig
from configs.event import Event, Frozen, Windows
from configs.factors import FactorsConfig
from configs.files import format_of, write_text
from configs.places import at_home
from configs.product import AffectedConfig, ProductConfig
from configs.refresh import RefreshConfig
from configs.stac import StacConfig

ENGINE = r"^(plain|dask://local(\?workers=[1-9][0-9]?)?|dask(\+tls)?://[A-Za-z0-9._-]+:[0-9]{1,5})$"


class SourceConfig(Frozen):
    """Where the imagery comes from."""

    kind: Literal["earthengine", "stac", "archive", "simulated"] = "simulated"
    """earthengine, stac (a catalogue of public imagery), archive (a folder of rasters with a
    manifest), or simulated (a test bench, never evidence).
    """
    archive: Annotated[str | None, AfterValidator(at_home)] = None
    """Folder or manifest of the archive, where kind is archive."""
    landscape: str | None = None
    """Landscape of the simulated Earth; chosen from the place where null."""
    seed: int = Field(default=0, ge=0)
    """Seed of the simulated Earth: another number is another world."""
    sensor: Literal["sentinel-2", "landsat-8"] = "sentinel-2"
    """Optical sensor of the simulated Earth; that of Earth Engine is `earthengine.sensor`."""
    earthengine: EarthEngineConfig = EarthEngineConfig()
    """Where kind is earthengine."""
    stac: StacConfig = StacConfig()
    """Where kind is stac."""
    factors: FactorsConfig = FactorsConfig()
    """Files of influencing factors (rivers, faults, rock) that become bands, whatever the imagery
    comes from.
    """

    @property
    def requests_at_once(self) -> int:
        """Return how many requests a service has from a run at most; 1 where none is asked."""
        at_once = {"earthengine": self.earthengine.workers, "stac": self.stac.requests}
        return at_once.get(self.kind, 1)

    def __str__(self) -> str:
        return {
            "archive": f"archive:{self.archive}",
            "stac": f"stac:{self.stac.catalogue}",
            "simulated": f"simulated:{self.landscape}",
        }.get(self.kind, self.kind)


class LookConfig(Frozen):
    """How the area and the windows are chosen where the request does not say."""

    pre_days: int = Field(default=365, ge=1, le=3650)
    """Days before the event from which a pre-event image may come; one year holds every season
    once.
    """
    post_days: int = Field(default=90, ge=1, le=3650)
    """Days after the event; later, re-vegetation and new slides blur the picture (chosen; Yang et
    al. 2024 used up to 14 months).
    """
    shakemap_field: Literal["MMI", "PGA"] = "MMI"
    """Which ShakeMap layer outlines the area."""
    shakemap_threshold: float = Field(default=6.0, gt=0)
    """Contour: MMI, or PGA in percent g. Keefer (1984): disrupted slides begin near MMI VI."""
    largest_km2: float = Field(default=100_000, gt=0)
    """Refuse areas larger than this; ask for a smaller one or raise it."""


class ModelConfig(Frozen):
    """Which checkpoints may map, and what to do when none is known to work here."""

    checkpoint: str = "auto"
    """auto (chosen by the scene), average (the near-equal best of them map together), or a
    checkpoint's name.
    """
    card_dirs: tuple[str, ...] = ()
    """Further folders with checkpoints of your own (`NAME/card.yaml`)."""
    fill_with_post_only: bool = True
    """Let a post-only checkpoint map what has no clear pre-event pixel."""
    subtract_pre: bool = False
    """Map the image from before the event with the same post-only checkpoint too, and take away
    what it shows already (Xu et al. (preprint)).
    """
    match_histograms: bool = False
    """Before that, give the earlier image the later one's distribution, band by band (Xu et al.
    (preprint): where they differ strongly).
    """
    adapt: Literal["scene", "match"] | None = None
    """Bring the scene's imagery to the chosen checkpoint's reference before it is mapped, whatever
    the checkpoint was trained with: scene, each band its mean and spread; match, its distribution;
    null, as the checkpoint says (docs/results.md)."""
    threshold: Literal["auto", "card", "agreement"] = "auto"
    """Probability from which a pixel is a landslide, where `clean.threshold` names none. card: the
    checkpoint's own, from ground like its training; agreement: found on the scene without a label,
    where the map agrees best with red standing above green; auto: that, where a checkpoint of
    relative brightness maps ground that is not known to be like its own, else the checkpoint's
    (docs/results.md).
    """
    choose_by: Literal["mmd", "study"] = "mmd"
    """What `auto` goes by. mmd: the least joint MMD (Yang et al. 2024); study: what a study saw the
    checkpoints reach on domains they had not seen (`configs/selection.yaml`), MMD where none covers
    them.
    """
    out_of_domain: Literal["warn", "refuse"] = "warn"
    """Where the scene lies beyond what the checkpoint is known to work on, or nothing is known.
    warn: go on and say so everywhere; refuse: stop (exit 3).
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto uses a GPU where there is one."""
    batch: int | None = Field(default=None, ge=1, le=256)
    """Tiles per forward pass. null: 4 on a processor; on a GPU the largest number tried at the
    start that still helps (a number, where maps must agree to the last bit).
    """
    runtime: Literal["auto", "torch", "fused", "compile", "openvino"] = "auto"
    """What runs the network. torch: PyTorch as it is; fused: batch norms folded into convolutions;
    compile: PyTorch's compiler (needs a C++ compiler, minutes at the start); openvino: on a
    processor, by `pip install coslide[openvino]`. auto: OpenVINO where it is installed, was
    measured to be faster, the map is large enough and both answer the same here; else torch. The
    same runtime gives the same map; provenance names it.
    """
    skip_flat_deg: float | None = Field(default=None, gt=0, lt=90)
    """Do not compute ground that lies farther than 500 m from any slope of so many degrees: it
    counts as free of landslides, and the report says how much of it there is. Worth it where much
    of the area is plain; in the hills of Iburi no pixel is so far from 10 degrees
    (docs/results.md#flat). null: everything is computed.
    """
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """What convolutions compute in. auto: float32, on a GPU without TF32. float16 and bfloat16 are
    faster on a GPU and move the probability of real pixels by up to 0.003 and 0.035 (NVIDIA H200);
    most processors are slower by them.
    """


class RunConfig(Frozen):
    """Everything a run depends on; with scene ids and weights hash it reproduces the run."""

    format: str = format_of("run")
    event: Event
    area: dict[str, Any]
    """Outline in WGS 84 (WKT, lon lat) and where it comes from."""
    windows: Windows
    resolution_m: float | None = Field(default=None, ge=0.1, le=100)
    """Grid spacing; the checkpoint's own where null."""
    source: SourceConfig = SourceConfig()
    look: LookConfig = LookConfig()
    model: ModelConfig = ModelConfig()
    clean: CleanConfig = CleanConfig()
    refresh: RefreshConfig = RefreshConfig()
    product: ProductConfig = ProductConfig()
    affected: AffectedConfig = AffectedConfig()
    out: Annotated[str, AfterValidator(at_home)] = "runs"
    """Output folder; the event's folder is made inside."""
    keep: Literal["latest", "all", "none"] = "latest"
    """Whose stacks to keep beside the products: the latest revision's, all, or none. Products are
    always kept.
    """
    engine: str = Field(default="plain", pattern=ENGINE)
    """Who pulls and maps: plain (this process), dask://HOST:PORT (the workers of a Dask cluster;
    dask+tls:// over TLS), or dask://local?workers=N (N processes of this machine). It never changes
    a pixel."""
    store: str | None = Field(default=None, pattern=r"^(/|[a-z][a-z0-9+]*://[^@\s]+$)")
    """Folder or URL (s3://bucket/prefix) of the run's Zarr stores, for workers that do not share
    the output folder; beside the products where null. Credentials come from the environment, never
    from here."""
    warnings: tuple[str, ...] = ()
    """What the request left doubtful."""

    @property
    def place(self) -> Area:
        """Return the area as geometry."""
        return Area.from_plain(self.area)

    @property
    def imagery(self) -> SourceConfig:
        """Return how the run's Earth is opened: it prefers later images where a refresh does."""
        if self.refresh.policy != "latest":
            return self.source
        live, stac = (
            one.model_copy(update={"post_policy": "latest"})
            for one in (self.source.earthengine, self.source.stac)
        )
        return self.source.model_copy(update={"earthengine": live, "stac": stac})

    @property
    def request_id(self) -> str:
        """Return the identity of the request: the hash of all but the clock and the words.

        The end of the post window counts only as far as it was asked for, so that the same command
        tomorrow goes on with today's unfinished work.
        """
        following = {"coverage_target", "age_limit_days", "every_hours"}
        content = self.model_dump(
            mode="json",
            exclude={
                "warnings": True,
                "keep": True,
                "out": True,
                "engine": True,
                "store": True,
                "windows": {"as_of"},
                "refresh": following,
            },
        )
        for name in ("adapt", "skip_flat_deg"):  # older requests keep their identity
            if content["model"][name] is None:
                del content["model"][name]
        if self.model.threshold == "auto":
            del content["model"]["threshold"]
        if self.windows.post.last == self.windows.as_of.date():
            content["windows"]["post"].pop("last")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Write the configuration as YAML, default-filled, a comment above every field that has
        one.
        """
        write_text(
            path,
            "\n".join(
                [
                    "# The configuration of this run: `coslide respond --config run.yaml` "
                    "repeats it.",
                    *commented(self),
                ]
            )
            + "\n",
        )


def commented(model: BaseModel, indent: str = "") -> list[str]:
    """Return the YAML lines of a model with its field descriptions as comments."""
    lines: list[str] = []
    plain = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        if name not in plain:
            continue  # it is no part of the file
        if field.description:
            lines += [f"{indent}# {line}" for line in field.description.splitlines()]
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            lines += [f"{indent}{name}:", *commented(value, indent + "  ")]
            continue
        leaves_inline = None if isinstance(plain[name], dict | list) else False
        dumped = yaml.safe_dump(
            {name: plain[name]},
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=leaves_inline,
            width=120,
        )
        lines += [indent + line for line in dumped.rstrip().splitlines()]
    return lines


def use_engine(run: RunConfig, engine: str) -> RunConfig:
    """Return the run with another engine.

    Raises:
        RequestError: no such engine.
    """
    try:
        return RunConfig.model_validate({**run.model_dump(), "engine": engine})
    except ValidationError as error:
        raise as_request_error(error, "--engine") from error


def read_run(path: Path) -> RunConfig:
    """Return the run configuration in a file.

    Raises:
        RequestError: unreadable, malformed, or of a newer format.
    """
    return read_model(path, "run", RunConfig)
