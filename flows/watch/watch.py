"""The watch: new and changed earthquakes in, exactly the right runs out, once each, whatever dies
in between.

One turn reads the feed, judges what is new or changed, writes down the runs that are owed, then
pays what is due.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from configs.area import Area, from_magnitude
from configs.errors import NothingToSeeError, RequestError, SourceError, as_ours
from configs.event import Event, check_name, parse_moment
from configs.files import read_yaml, sweep_dead
from configs.layout import EventFolder
from configs.run import LookConfig
from configs.service import ServiceConfig
from configs.spelling import file_meant
from configs.watch import WatchConfig
from flows import notify
from flows.events import state as event_state
from flows.resolve import check_drill
from flows.run import workspace
from flows.watch.drill import Drill
from flows.watch.launch import Debts, Launcher, LocalRuns, Turn
from flows.watch.ledger import OPEN, Book, FeedState
from flows.watch.rules import judge, overlap, screen
from gee import shakemap
from gee.feed import LARGEST_FEED_BYTES, Detail, Quake, read_detail, read_feed
from gee.fetch import NotThereError, fetch

logger = logging.getLogger(__name__)

FOLDER = ".watch"
"""Beside the events: the book and the run files of the watch."""


class _Fetch(Protocol):
    """Ask an address (`gee.fetch.fetch`)."""

    def __call__(
        self, url: str, *, limit_bytes: int = ..., hosts: Collection[str] | None = ...
    ) -> bytes: ...


def _silence(subject: str, body: str) -> None:
    del subject, body


@contextmanager
def open_watch(
    service: ServiceConfig,
    *,
    out: str | None,
    launcher: Launcher | None = None,
    dry: bool = False,
    as_of: str | None = None,
    feed_file: Path | None = None,
) -> Iterator[Watch]:
    """Yield the watch of a service over an output folder, alone with its book.

    Args:
        service: rules, hosts, preset and notices.
        out: the output folder; None: the preset's.
        launcher: who makes the runs; None: child processes of this machine.
        dry: begin and remember nothing.
        as_of: pretend it is this moment, UTC.
        feed_file: a drill: a GeoJSON file that stands for the feed. Nothing is asked for over the
            network, and its events go to a folder beside the output folder, ``…-drill``.

    Raises:
        RequestError: a file, a preset or a book that cannot be read, or a source that is missing or
            simulated where it is no drill.
        MachineError: another watch has the book.
    """
    preset = read_yaml(Path(service.preset), "run") if service.preset else {}
    drill = Drill.of(feed_file) if feed_file else None
    check_drill(preset, service.drill or drill is not None)
    preset["out"] = out or preset.get("out", "runs") + ("-drill" if drill else "")
    folder = Path(preset["out"]) / FOLDER
    moment = parse_moment(as_of, "--as-of")[0] if as_of else None
    alone: AbstractContextManager[None] = (
        nullcontext() if dry else workspace.locked(folder / "lock", "watching")
    )
    with alone, Book.open(folder / "book.sqlite", pretend=dry) as book:
        if not dry:
            for where in (folder, folder.parent):
                sweep_dead(where)
        yield Watch(
            service.watch,
            book,
            launcher or LocalRuns(folder),
            preset=preset,
            hosts=service.allow.hosts,
            clock=lambda: moment or datetime.now(UTC),
            ask=drill or fetch,
            send=lambda subject, body: None if dry else _announce(service, subject, body),
            told_at=logging.INFO if dry or drill else logging.DEBUG,
        )


def verdicts_of(service: ServiceConfig, out: str | None) -> list[dict[str, Any]]:
    """Return what the watch over an output folder decided of each earthquake; none where there is
    no watch yet. The watch itself may go on.

    Raises:
        RequestError: a preset or a book that cannot be read.
    """
    path = _book_of(service, out)
    if out and not Path(out).is_dir():
        raise RequestError(f"there is no folder {out}", file_meant(Path(out)) or "Check the path.")
    if not path.is_file():
        return []
    with Book.open(path, pretend=True) as book:
        return book.verdicts()


def feed_of(service: ServiceConfig, out: str | None) -> FeedState | None:
    """Return how the feed has answered the watch over an output folder; None where there is no
    watch yet.

    Raises:
        RequestError: a preset or a book that cannot be read.
    """
    path = _book_of(service, out)
    if not path.is_file():
        return None
    with Book.open(path, pretend=True) as book:
        return book.feed


def _book_of(service: ServiceConfig, out: str | None) -> Path:
    preset = read_yaml(Path(service.preset), "run") if service.preset and not out else {}
    return Path(out or preset.get("out", "runs")) / FOLDER / "book.sqlite"


def _announce(service: ServiceConfig, subject: str, body: str) -> None:
    """Send how a run of the watch ended to everybody who wants to know."""
    wanted = service.notify.done if subject.endswith("done") else service.notify.failed
    if wanted:
        notify.send(service, subject, body)


class Watch:
    """The watch over one output folder. The caller holds its book."""

    def __init__(
        self,
        config: WatchConfig,
        book: Book,
        launcher: Launcher,
        *,
        preset: Mapping[str, Any],
        hosts: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ask: _Fetch = fetch,
        send: Callable[[str, str], None] = _silence,
        told_at: int = logging.DEBUG,
    ) -> None:
        self.config, self.book = config, book
        self._debts = Debts(config, book, launcher, preset, clock, send)
        self._told_at = told_at
        self._look = LookConfig.model_validate(preset.get("look", {}))
        self._out = Path(str(preset.get("out", "runs")))
        self._hosts, self._clock, self._ask, self._tell = tuple(hosts), clock, ask, send

    def turn(self, *, dry: bool = False) -> Turn:
        """Return what one turn did. A feed that is down is no failure: it is asked again later,
        ever more rarely.

        Args:
            dry: write down what is owed but begin nothing (give it a book that pretends).
        """
        turn = Turn()
        self._read(turn)
        if not dry:
            self._debts.pay(turn)
        return turn

    def _read(self, turn: Turn) -> None:
        now, state = self._clock(), self.book.feed
        if state.next is not None and now < state.next:
            turn.feed_error, turn.next = state.error, state.next.isoformat()
            return
        try:
            url = self._address(state.success, now)
            feed = read_feed(
                self._ask(url, limit_bytes=LARGEST_FEED_BYTES, hosts=self._hosts), "the feed"
            )
        except (SourceError, RequestError) as error:
            pause = min(
                self.config.poll_minutes * 2**state.failures, self.config.longest_pause_minutes
            )
            until = now + timedelta(minutes=pause)
            self.book.feed_failed(until, error.message)
            turn.feed_error, turn.next = error.message, until.isoformat()
            logger.warning("the feed is down (%s); next try in %.0f minutes", error.message, pause)
            return
        turn.notes += feed.skipped
        if url == self.config.feed:
            self._vanished(
                {self.book.identify(quake.id, quake.ids) for quake in feed.quakes}, now, turn
            )
        complete = True
        for quake in sorted(feed.quakes, key=lambda quake: quake.time):
            turn.seen += 1
            complete &= self._try_meet(quake, now, turn)
        if complete:
            self.book.feed_answered(now)

    def _address(self, success: datetime | None, now: datetime) -> str:
        """Return where to ask: the feed, or the catalogue after a pause that the feed does not
        reach back to.
        """
        if success is None or now - success < timedelta(days=self.config.feed_days):
            return self.config.feed
        weakest = min(rule.min_magnitude for rule in self.config.rules)
        since = success.strftime("%Y-%m-%dT%H:%M:%S")
        asked = f"updatedafter={since}&minmagnitude={weakest:g}&includedeleted=true"
        return f"{self.config.catalogue}&{asked}"

    def _try_meet(self, quake: Quake, now: datetime, turn: Turn) -> bool:
        """Judge one earthquake; whatever is wrong with it is its own. Return False where it must be
        tried again.
        """
        try:
            return self._meet(quake, now, turn)
        except (SourceError, RequestError) as error:
            turn.notes.append(f"{quake.id}: {error.message}")
            logger.warning("%s: %s; asked again at the next turn", quake.id, error.message)
        except Exception as error:  # no earthquake, however odd, hides the others
            turn.notes.append(f"{quake.id}: {as_ours(error).message}")
            logger.exception("%s; asked again at the next turn", quake.id)
        return False

    def _meet(self, quake: Quake, now: datetime, turn: Turn) -> bool:
        """Judge one earthquake where it is new or changed, and return True.

        Raises:
            SourceError: its detail or its ShakeMap cannot be had now.
        """
        name = self.book.identify(quake.id, quake.ids)
        known = self.book.known(name)
        if known and known.updated >= quake.updated and known.gone == quake.gone:
            return True
        if quake.gone:
            self._withdraw(name, quake.ids, quake.title, quake.updated, now, turn)
            return True
        begun = bool(self.book.runs(name))
        decision = screen(quake, self.config, now, begun=begun)
        if not decision.qualifies:
            self.book.note(name, quake.ids, quake.title, quake.updated, decision.reason, None)
            logger.log(
                self._told_at, "%s is left alone: %s, %s", *(name, quake.title, decision.reason)
            )
            return True
        self._examine(name, quake, now, turn)
        return True

    def _examine(self, name: str, quake: Quake, now: datetime, turn: Turn) -> None:
        """Judge an earthquake by its detail and write down the run it calls for, together with
        having seen it.
        """
        detail = self._detail(quake.id)
        event = detail.event.model_copy(update={"name": check_name(name)})
        try:
            area, steep = self._survey(event, turn)
            decision = judge(detail, area, steep, self.config)
            reason = decision.reason
        except NothingToSeeError as error:
            area, decision, reason = None, None, error.message
        with self.book.together():
            self.book.note(name, quake.ids, quake.title, quake.updated, reason, detail.version)
            if area is not None and decision is not None and decision.qualifies:
                self._owe(name, detail, event, area, now, turn)
            else:
                turn.notes.append(f"{name}: {reason}")

    def _detail(self, quake: str) -> Detail:
        """Return an earthquake's detail.

        Raises:
            NotThereError: there is none (any more).
            SourceError: it cannot be had or read now.
        """
        content = self._ask(self.config.detail.replace("{id}", quake), hosts=self._hosts)
        return read_detail(content, f"the detail of {quake}")

    def _vanished(self, listed: Collection[str], now: datetime, turn: Turn) -> None:
        """Ask after earthquakes that were begun and that the feed should still list: deleted ones
        just vanish from it.
        """
        for name in dict.fromkeys(run.quake for run in self.book.runs()):
            known = self.book.known(name)
            event = Event.model_validate_json(self.book.runs(name)[-1].event)
            young = now - event.time < timedelta(days=self.config.feed_days - 1)
            if known is None or known.gone or name in listed or not young:
                continue
            try:
                self._detail(event.usgs_id or name)
            except NotThereError:
                self._withdraw(name, (name,), event.title, known.updated, now, turn)
            except Exception as error:  # one that cannot be asked after hides no other
                turn.notes.append(f"{name} is no longer listed: {as_ours(error).message}")

    def _survey(self, event: Event, turn: Turn) -> tuple[Area, float | None]:
        """Return (the area to map, the share of it that is steep): by ShakeMap, else by magnitude.

        Raises:
            NothingToSeeError: it shook nowhere hard enough.
            SourceError: the ShakeMap cannot be had now.
        """
        look = self._look
        if event.shakemap_url:
            try:
                content = self._ask(event.shakemap_url, hosts=self._hosts)
                grid = shakemap.read_grid(content, "the ShakeMap")
                area, _ = shakemap.outline(grid, look.shakemap_field, look.shakemap_threshold)
                steep = shakemap.steep_share(
                    grid, look.shakemap_field, look.shakemap_threshold, self.config.steep_vs30
                )
                return area, steep
            except RequestError as error:
                turn.notes.append(f"{event.name}: {error.message}; a circle by magnitude is used")
        return from_magnitude(event.latitude, event.longitude, event.magnitude or 0.0), None

    def _owe(
        self, name: str, detail: Detail, event: Event, area: Area, now: datetime, turn: Turn
    ) -> None:
        """Write down a run, unless one of about the same area was begun before."""
        earlier = [run for run in self.book.runs(name) if run.state in ("running", "done")]
        if (
            earlier
            and overlap(Area.from_plain(json.loads(earlier[-1].area)), area)
            >= self.config.same_area
        ):
            turn.notes.append(f"{name}: {detail.version} changes its area little")
            return
        due = now
        if earlier and earlier[-1].begun is not None:
            due = max(now, earlier[-1].begun + timedelta(minutes=self.config.settle_minutes))
        key = f"{name}.{detail.version}"
        if self.book.intend(
            key,
            name,
            detail.version,
            json.dumps(area.as_plain()),
            event.model_dump_json(),
            due,
            now,
        ):
            turn.intended.append(key)
            logger.info("%s is to be mapped: %s, %s", key, event.title, area.origin)

    def _withdraw(
        self, name: str, ids: Collection[str], title: str, updated: int, now: datetime, turn: Turn
    ) -> None:
        """Give up what is owed for an earthquake that the USGS took back, and close its event."""
        words = "withdrawn by the USGS"
        with self.book.together():
            owed = self.book.runs(name, OPEN)
            for run in owed:
                self.book.end(run.key, "withdrawn", words, now)
            self.book.note(name, ids, title, updated, words, None, gone=True)
        event = EventFolder(self._out / name)
        if event.state.exists():
            with workspace.waiting(event.lock):
                event_state.close(event, words)
        if owed or event.state.exists():
            turn.withdrawn.append(name)
            self._tell(f"{name} {words}", f"{title}: its runs are dropped and its event is closed.")
