"""What was measured, as data: one JSON a result in docs/results, and the one page made of them.

    python -m benchmarks.results                   # docs/results/*.json → docs/results.md
    python -m benchmarks.results adopt NAME FILE   # a document of `coslide study` becomes a result

A result is a title and parts, each a text or a table. The words of a benchmark's result stand in
`sections.yaml`; `{{key}}` there is what the benchmark measured, which may be a Markdown table.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS = DOCS / "results"
SECTIONS = Path(__file__).with_name("sections.yaml")
ORDER = (
    "real", "scene-threshold", "study-real", "order", "trust", "lookalikes", "confidence", "area",
    "frames", "iburi", "iburi-halves", "iburi-trials", "objects", "optional-bands",
    "fourteen-channels", "product", "pages", "comparison", "overfit", "study", "study-post",
    "adaptation", "study-baselines", "mmd-unit", "selection", "ood", "sim-to-real",
    "simulated-comparison", "pull", "first-question", "catalogue", "speed", "reading", "tiling",
    "mmd", "seams", "vectorise", "large", "scale", "flat", "precision", "kill", "faults",
    "fault-kills", "fault-damage", "fault-disks", "fault-cases",
)  # fmt: skip
"""Real pixels first, then the simulated Earth, then cost; what is not named comes last."""
_TABLE = re.compile(r"^\|[\s:|-]+\|$")


def machine() -> str:
    """Return hardware, versions and date in words."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{platform.machine()}, {torch.get_num_threads()} CPU threads, {gpu}, torch "
        f"{torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    )


def fill(name: str, **values: str) -> Path:
    """Return the result written as data: the section's words, `{{key}}` replaced by values."""
    text = str(yaml.safe_load(SECTIONS.read_text(encoding="utf-8"))[name])
    for key, value in {"machine": machine(), **values}.items():
        text = text.replace("{{" + key + "}}", value)
    return adopt(name, text)


def adopt(name: str, text: str) -> Path:
    """Return the result that a Markdown document is kept as; the page is made anew."""
    title, parts = _parts(text)
    path = RESULTS / f"{name}.json"
    content = {"title": title, "parts": parts}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    render()
    return path


def render() -> Path:
    """Return the page of all results, made of their data."""
    names = [path.stem for path in RESULTS.glob("*.json")]
    order = [*(name for name in ORDER if name in names), *sorted(set(names) - set(ORDER))]
    results = {name: json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in order}
    lines = [
        "# What was measured",
        "",
        "Every number below comes from a command of the repository and is kept as data in "
        "`docs/results/`;\n`make results` renders this page. Results on the simulated "
        "Earth say so: "
        "they are never\nevidence about the real one.",
        "",
        *(f"- [{result['title']}](#{name})" for name, result in results.items()),
    ]
    for name, result in results.items():
        lines += ["", f"## {result['title']} {{ #{name} }}", ""]
        for part in result["parts"]:
            lines += [*(_table(part) if "columns" in part else _text(part["text"])), ""]
        lines.pop()
    path = DOCS / "results.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _parts(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a document's title and its parts, text or table, in order."""
    title, parts, prose = "", list[dict[str, Any]](), list[str]()
    lines = iter([*text.splitlines(), ""])
    pending = next(lines, None)
    while pending is not None:
        line, pending = pending, next(lines, None)
        if line.startswith("# ") and not title:
            title = line.removeprefix("# ").strip()
        elif line.startswith("|") and pending is not None and _TABLE.match(pending):
            rows = []
            pending = next(lines, None)
            while pending is not None and pending.startswith("|"):
                rows.append(_cells(pending))
                pending = next(lines, None)
            parts += _prose(prose)
            parts.append({"columns": _cells(line), "rows": rows})
        else:
            prose.append(line)
    return title, [*parts, *_prose(prose)]


def _prose(lines: list[str]) -> list[dict[str, Any]]:
    """Return what has been gathered as a part, and begin anew."""
    text = "\n".join(lines).strip()
    lines.clear()
    return [{"text": text}] if text else []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _table(part: dict[str, Any]) -> list[str]:
    lines = [part["columns"], ["---"] * len(part["columns"]), *part["rows"]]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def _text(text: str) -> list[str]:
    """Return prose in lines of a hundred columns, headings one level deeper, links to this page."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith(("- ", "```", "!", "<")) or "\n- " in block:
            lines += [*block.splitlines(), ""]
        elif block.startswith("#"):
            lines += [f"#{block.splitlines()[0]}", "", *_wrapped(block.splitlines()[1:]), ""]
        else:
            lines += [*_wrapped(block.splitlines()), ""]
    return [re.sub(r"\]\((?:\.\./)?(?:docs/)?([a-z-]+)\.md\)", _link, line) for line in lines[:-1]]


def _wrapped(lines: list[str]) -> list[str]:
    return textwrap.wrap(" ".join(lines), 100, break_long_words=False, break_on_hyphens=False)


def _link(found: re.Match[str]) -> str:
    name = found.group(1)
    return f"](#{name})" if (RESULTS / f"{name}.json").exists() else f"]({name}.md)"


def main(arguments: list[str]) -> None:
    """Render the page, after adopting a document where one is named."""
    if arguments[:1] == ["adopt"]:
        adopt(arguments[1], Path(arguments[2]).read_text(encoding="utf-8"))
    else:
        render()


if __name__ == "__main__":
    main(sys.argv[1:])
