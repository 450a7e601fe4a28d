"""The table of Earth Engine collections in docs/earth-engine.md, made from the recipes.

python -m benchmarks.collections           # writes it
python -m benchmarks.collections --check   # says whether it is up to date
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from configs.earthengine import EarthEngineConfig
from gee.earthengine import collections

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "earth-engine.md"
BEGIN: Final = "<!-- made by `make collections` -->\n"
END: Final = "<!-- end -->\n"


def renewed(text: str) -> str:
    """Return the page with its table as the recipes have it today."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has lost the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{collections.table(EarthEngineConfig())}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, or tell whether it is up to date; return the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    new = renewed(text)
    if "--check" in arguments:
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
