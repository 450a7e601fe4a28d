"""A planted key shows up nowhere: not in logs, errors, reprs, nor in the stack's own provenance."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from configs.earthengine import EarthEngineConfig
from configs.errors import SourceError
from earthengine import world
from earthengine.conftest import SECRET
from earthengine.loopback import Fault, Loopback
from gee.earthengine import EarthEngineSource, connect
from gee.earthengine.session import find_credentials
from gee.stack import assemble


def test_the_planted_key_shows_up_nowhere(
    loopback: Loopback,
    config: EarthEngineConfig,
    tmp_path: Path,
    private_key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loopback.require_token = True
    middle = private_key.splitlines()[5]  # a line of the key itself
    with caplog.at_level(logging.DEBUG):
        source = EarthEngineSource(config)
        plan = source.plan(
            world.AREA, world.AREA.geobox(10), world.EVENT, world.WINDOWS, ("post_B4", "slope")
        )
        assemble(source, plan, ("post_B4", "slope"), tmp_path / "out" / "stack.zarr")
        told = [
            repr(source),
            repr(plan),
            repr(find_credentials()),
            repr(connect(config)),
            str(source.account.as_plain()),
        ]
        loopback.revoke_tokens()
        loopback.faults = [Fault(status=400, message="invalid_grant", match="/token", times=99)]
        with pytest.raises(SourceError) as failure:
            source.pull(plan, world.AREA.geobox(10))
        told += [str(failure.value), repr(failure.value)]
    told.append(caplog.text)
    told += [
        path.read_text("utf-8", "replace")
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    ]
    tokens = tuple(loopback._tokens) or ("ya29.",)
    for text in told:
        for secret in (SECRET, middle, "BEGIN PRIVATE KEY", "ya29.", *tokens):
            assert secret not in text
