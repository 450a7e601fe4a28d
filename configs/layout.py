"""Every path of an event and of a run, in one place (contract). Nobody else puts
folder and name together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from configs.places import place

REVISION = re.compile(r"^r(\d{3,})$")


@dataclass(frozen=True)
class RunLayout:
    """The folder of one run: under ``.work`` while it is unfinished, a revision afterwards."""

    folder: Path

    @property
    def config(self) -> Path:
        """Return the configuration used."""
        return self.folder / "run.yaml"

    @property
    def log(self) -> Path:
        """Return the log, one JSON record a line."""
        return self.folder / "log.jsonl"

    @property
    def provenance(self) -> Path:
        """Return scene ids, hashes, versions and costs."""
        return self.folder / "provenance.json"

    @property
    def selection(self) -> Path:
        """Return the MMD ranking."""
        return self.folder / "selection.csv"

    @property
    def scratch(self) -> Path:
        """Return the folder of what is not a product: stack, probability, observation as Zarr;
        dropped by `run.keep`.
        """
        return self.folder / "stack"

    @property
    def pointer(self) -> Path:
        """Return the file that names the place of the Zarr stores, where that is not `scratch`
        (`run.store`).
        """
        return self.scratch / "store.txt"

    @property
    def stores(self) -> Path:
        """Return where the Zarr stores are: `scratch`, or the place that the pointer names."""
        return (
            place(self.pointer.read_text(encoding="utf-8").strip())
            if self.pointer.exists()
            else self.scratch
        )

    @property
    def stack(self) -> Path:
        """Return the Zarr group of the stack."""
        return self.stores / "stack.zarr"

    @property
    def observed(self) -> Path:
        """Return the Zarr array of what the chosen checkpoint could see."""
        return self.stores / "observed.zarr"

    @property
    def probability(self) -> Path:
        """Return the Zarr array of landslide probability."""
        return self.stores / "probability.zarr"

    @property
    def observed_before(self) -> Path:
        """Return the Zarr array of where the image from before the event is clear
        (`model.subtract_pre`).
        """
        return self.stores / "observed_before.zarr"

    @property
    def probability_before(self) -> Path:
        """Return the Zarr array of what the checkpoint finds in the image from before the event
        (`model.subtract_pre`).
        """
        return self.stores / "probability_before.zarr"

    @property
    def filled(self) -> Path:
        """Return the Zarr array of the probability that a post-only checkpoint fills in."""
        return self.stores / "filled.zarr"

    def adaptation(self, card: str) -> Path:
        """Return how the scene is adapted to the checkpoint that adapts to scenes: the same for
        every strip and worker.
        """
        return self.scratch / f"adaptation-{card}.json"

    @property
    def steps(self) -> Path:
        """Return the records of finished steps: what they cost, kept over a resume."""
        return self.scratch / "steps.json"


@dataclass(frozen=True)
class EventFolder:
    """The folder of an event: its revisions, its unfinished work, its state."""

    folder: Path

    @property
    def state(self) -> Path:
        """Return ``event.yaml``: open or closed, coverage target, age limit, latest revision."""
        return self.folder / "event.yaml"

    @property
    def lock(self) -> Path:
        """Return the lock that publishing takes."""
        return self.folder / ".lock"

    @property
    def request(self) -> Path:
        """Return ``run.yaml`` beside the revisions: what was asked, while no image has made a first
        revision.
        """
        return self.folder / "run.yaml"

    @property
    def answer(self) -> Path:
        """Return the file with the answer that a command owes about the revision it has made."""
        return self.folder / ".work" / "answer.json"

    @property
    def review(self) -> Path:
        """Return ``review.gpkg``: the copy of the latest inventory that an analyst edits."""
        return self.folder / "review.gpkg"

    @property
    def reviews(self) -> Path:
        """Return the folder of reviews that a revision has taken up."""
        return self.folder / "reviews"

    def work(self, request_id: str) -> RunLayout:
        """Return the folder of an unfinished run."""
        return RunLayout(self.folder / ".work" / request_id)

    def revisions(self) -> dict[int, RunLayout]:
        """Return the published revisions by number, oldest first."""
        if not self.folder.is_dir():
            return {}
        found = (
            (REVISION.match(path.name), path) for path in self.folder.iterdir() if path.is_dir()
        )
        return dict(sorted((int(match[1]), RunLayout(path)) for match, path in found if match))

    def latest(self) -> RunLayout | None:
        """Return the latest published revision, None where there is none."""
        revisions = self.revisions()
        return revisions[max(revisions)] if revisions else None

    def revision(self, number: int) -> RunLayout:
        """Return the folder of a revision, e.g. ``r001``."""
        return RunLayout(self.folder / f"r{number:03d}")
