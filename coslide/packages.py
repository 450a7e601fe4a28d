"""Whose packages these are: coslide's own are called `configs`, `models`, `flows`, … as other
people's often are, and whichever comes first on the path is imported.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

OURS = ("configs", "gee", "tiles", "models", "inventory", "flows")


def strangers() -> list[tuple[str, str]]:
    """Return (package, its folder) of each package that would be imported instead of ours.

    Ours all lie in one folder: beside this package, or where `flows` has a `map_event`.
    """
    places: dict[str, Path] = {}
    for name in OURS:
        spec = find_spec(name)
        roots = list(spec.submodule_search_locations or []) if spec else []
        places[name] = Path(roots[0]) if roots else Path("nowhere")
    beside = Path(__file__).resolve().parent.parent
    home = beside if (beside / "flows" / "map_event.py").exists() else places["flows"].parent
    return [(name, str(place)) for name, place in places.items() if place.resolve().parent != home]


def check_packages() -> None:
    """Refuse to start among packages of somebody else.

    Raises:
        ImportError: another package of one of our names stands before ours on the path.
    """
    found = strangers()
    if found:
        listed = ", ".join(f"`{name}` in {place}" for name, place in found)
        raise ImportError(
            f"another package stands before coslide's own on Python's path: {listed}. "
            "Start coslide from elsewhere, or take that folder out of PYTHONPATH."
        )


def _refused(words: str, as_json: bool) -> int:
    """Return the exit code of a request that is wrong, after telling it (contract)."""
    message, _, remedy = words.partition(". ")
    body = {"status": "error", "code": 2, "error": "request", "message": message, "remedy": remedy}
    if as_json:
        sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"coslide: {words}\n")
    return 2


def main() -> None:
    """Run the command line (`coslide`): first of all, make sure that it is ours."""
    try:
        check_packages()
        from flows.cli import main as command_line
    except ModuleNotFoundError as error:
        sys.stderr.write(f"coslide: {_not_installed(error)}\n")
        raise SystemExit(2) from None
    except ImportError as error:
        sys.exit(_refused(str(error), "--json" in sys.argv))
    command_line()


def _not_installed(error: ModuleNotFoundError) -> str:
    """Return what to do where a package of somebody else is not there: most often the environment
    is not active.
    """
    where = Path(__file__).resolve().parent.parent
    here = where / ".venv" / "bin" / "activate"
    remedy = f"source {here}" if here.exists() else f"make -C {where} demo"
    return f"`{error.name}` is not installed in {sys.executable}.\nGive: {remedy}"
