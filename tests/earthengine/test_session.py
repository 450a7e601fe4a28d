"""Signing in: every kind of credentials, every way in which they may be missing, and the one
command that mends it.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import ee
import pytest

from configs.earthengine import EarthEngineConfig
from configs.errors import RequestError, SourceError
from earthengine import world
from earthengine.conftest import SECRET, write_key
from earthengine.loopback import Fault, Loopback
from gee.earthengine import EarthEngineSource, connect, disconnect
from gee.earthengine.collections import used
from gee.earthengine.doctor import examine
from gee.earthengine.failures import safe
from gee.earthengine.session import find_credentials


def test_a_service_account_key_signs_in(loopback: Loopback, config: EarthEngineConfig) -> None:
    loopback.require_token = True
    session = connect(config)
    assert session.project == "ee-test"
    assert session.credentials == "service account key"
    assert ee.Number(1).getInfo() == 1


def test_application_default_credentials_carry_a_scope(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the token service refuses them: the loopback does as Google's does."""
    loopback.require_token = True
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert connect(config).credentials == "application default credentials"


def test_stored_user_credentials_sign_in(
    loopback: Loopback, config: EarthEngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback.require_token = True
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setattr("ee.oauth.TOKEN_URI", f"{loopback.url}/token")
    folder = tmp_path / ".config" / "earthengine"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(json.dumps({"refresh_token": "r", "project": "ee-test"}))
    session = connect(config)
    assert (session.credentials, session.project) == ("stored user credentials", "ee-test")


def test_the_project_is_the_run_s_then_the_environment_s(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EE_PROJECT", "other-project")
    with pytest.raises(
        SourceError, match="required permission to use project other-project"
    ) as failure:
        connect(config)
    assert "EE_PROJECT" in failure.value.remedy
    disconnect()
    assert connect(config.model_copy(update={"project": "ee-test"})).project == "ee-test"


def test_no_credentials(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(SourceError, match="no Earth Engine credentials") as failure:
        connect(config)
    assert "earthengine authenticate" in failure.value.remedy
    assert not loopback.entries


def test_a_broken_key_file_is_named_and_not_quoted(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.json").write_text(
        '{"type": "service_account", "private_key": "-----BEGIN hush'
    )
    monkeypatch.setenv("EE_SERVICE_ACCOUNT_KEY", str(tmp_path / "bad.json"))
    with pytest.raises(SourceError, match="is not a service-account key file") as failure:
        find_credentials()
    assert "hush" not in str(failure.value)


def test_a_revoked_key_is_told_with_its_remedy(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    loopback.faults = [
        Fault(status=400, message="invalid_grant: Invalid JWT Signature.", match="/token", times=99)
    ]
    with pytest.raises(SourceError, match="credentials are refused") as failure:
        connect(config)
    assert "EE_SERVICE_ACCOUNT_KEY" in failure.value.remedy


def test_a_service_that_stumbles_at_the_start_is_asked_again(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    loopback.faults = [
        Fault(status=503, headers={"Retry-After": "0.1"}, match="discovery", times=1)
    ]
    assert connect(config).project == "ee-test"


def test_signing_in_opens_nothing_but_the_endpoint(
    loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would fetch the public STAC catalogue without a time-out: it stalls where packets
    are dropped.
    """

    def stall(*_: object, **__: object) -> None:
        raise AssertionError("opened another address")

    monkeypatch.setattr(urllib.request, "urlopen", stall)
    connect(config)


def test_the_same_session_is_used_again(loopback: Loopback, config: EarthEngineConfig) -> None:
    connect(config)
    before = len(loopback.entries)
    connect(config)
    assert len(loopback.entries) == before


def test_tokens_go_to_google_or_to_this_machine_only(
    config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSLIDE_EE_URL", "http://127.0.0.1.evil.example:80")
    with pytest.raises(RequestError, match="not on this machine"):
        connect(config)


def test_doctor_finds_nothing_missing(loopback: Loopback, config: EarthEngineConfig) -> None:
    found = list(examine(config))
    steps = [finding.what.removeprefix("Earth Engine ") for finding in found]
    assert steps[:7] == [
        "client",
        "credentials",
        "project",
        "network",
        "sign-in",
        "pixels",
        "quota",
    ]
    assert steps[7:] == [one.asset for one in used(config)]
    assert all(finding.state == "ok" for finding in found)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("missing", "step", "command"),
    [
        ("credentials", "credentials", "earthengine authenticate"),
        ("project", "project", "export EE_PROJECT="),
        ("network", "network", "HTTPS_PROXY"),
        ("right", "sign-in", "EE_PROJECT"),
        ("key", "sign-in", "EE_SERVICE_ACCOUNT_KEY"),
    ],
)
def test_doctor_names_what_is_missing(
    loopback: Loopback,
    config: EarthEngineConfig,
    tmp_path: Path,
    private_key: str,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    step: str,
    command: str,
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    match missing:
        case "credentials":
            monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
        case "project":
            write_key(tmp_path / "key.json", private_key, loopback.url)
            content = json.loads((tmp_path / "key.json").read_text())
            del content["project_id"]
            (tmp_path / "key.json").write_text(json.dumps(content))
        case "network":
            monkeypatch.setenv("COSLIDE_EE_URL", "http://127.0.0.1:9")
        case "right":
            monkeypatch.setenv("EE_PROJECT", "somebody-elses")
        case "key":
            loopback.faults = [Fault(status=400, message="invalid_grant", match="/token", times=99)]
    (wrong,) = [finding for finding in examine(config) if finding.state != "ok"]
    assert wrong.what == f"Earth Engine {step}"
    assert wrong.state == ("warn" if missing == "credentials" else "missing")
    assert command in wrong.remedy


def test_secrets_are_taken_out_of_words() -> None:
    text = safe(
        f'refused: Bearer abc.def, "private_key": "{SECRET}" -----BEGIN PRIVATE KEY----- '
        "xyz ya29.token-1"
    )
    for secret in ("abc.def", SECRET, "xyz", "ya29"):
        assert secret not in text


def test_what_the_service_reports_is_kept_as_it_said_it(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    loopback.reports = {"X-Earth-Engine-Quota-Status": "restricted", "X-Earth-Engine-EECU": "12.5"}
    source = EarthEngineSource(config)
    plan = source.plan(
        world.AREA, world.AREA.geobox(10)[:32, :32], world.EVENT, world.WINDOWS, ("post_B4",)
    )
    source.pull(plan, plan.geobox)
    told = source.account.as_plain()
    assert told["eecu"] == "12.5"
    assert told["reported"]["x-earth-engine-quota-status"] == "restricted"
    assert EarthEngineSource(config).account.as_plain()["eecu"] == "unknown"
