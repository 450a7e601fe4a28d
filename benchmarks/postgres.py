"""A PostgreSQL of one's own: Debian's programs, a data folder in a scratch place, loopback only,
ended by its process id.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.local_service import free_port

PASSWORD = "only-for-a-test"


def programs() -> Path | None:
    """Return the folder of initdb and pg_ctl, the newest version; None where PostgreSQL is not
    installed.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    return found[-1].parent if found else None


def _as_server(*arguments: str) -> None:
    """Run a program as whom PostgreSQL accepts: never as root."""
    prefix = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.geteuid() == 0
        else []
    )
    done = subprocess.run(
        [*prefix, *arguments], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of an empty database, as Prefect's setting wants it."""
    tools = programs()
    if tools is None:
        raise FileNotFoundError("PostgreSQL is not installed: `apt-get install postgresql`")
    folder = Path(tempfile.mkdtemp(prefix="coslide-postgres-"))
    port, secret = free_port(), folder / "password"
    secret.write_text(PASSWORD)
    for path in (folder, secret):
        path.chmod(0o700)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")
    data, log = str(folder / "data"), str(folder / "log")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    _as_server(
        str(tools / "initdb"),
        "-D",
        data,
        "-U",
        "prefect",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
    )
    _as_server(str(tools / "pg_ctl"), "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        subprocess.run(
            [
                str(tools / "createdb"),
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-U",
                "prefect",
                "prefect",
            ],
            env=os.environ | {"PGPASSWORD": PASSWORD},
            check=True,
        )
        yield f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{port}/prefect"
    finally:
        _as_server(str(tools / "pg_ctl"), "-D", data, "-m", "fast", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
