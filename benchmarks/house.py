"""What the code is made of, counted: lines, names, comments, functions, and the floors of `flows`.

python -m benchmarks.house        # prints the table and writes docs/results/house.json
"""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import grimp

from benchmarks.results import adopt, machine

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("coslide", "configs", "gee", "tiles", "models", "inventory", "flows")
BEFORE = {
    "product, lines at 100 columns": "40 800",
    "tests": "23 500",
    "benchmarks": "7 200",
    "public top-level names per 1 000 lines": "45",
    "comments, share of lines": "0.7 %",
    "flows: modules and packages on the first level": "32",
    "flows: floors": "12",
    "flows: arrows between them": "91",
    "flows: circles": "2",
}
"""The same figures before the redesign (commit be8cdff)."""


class Function(NamedTuple):
    """A function and how many lines its body has, docstring left out."""

    name: str
    lines: int


def files_of(*folders: str) -> list[Path]:
    """Return the Python files below some folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def lines_of(paths: list[Path]) -> int:
    """Return how many lines the files have."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def public_names(paths: list[Path]) -> int:
    """Return how many names without underscore stand at the top level of the files."""
    return sum(1 for path in paths for name in _names(path) if not name.startswith("_"))


def _names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def comment_lines(paths: list[Path]) -> int:
    """Return how many lines hold a comment (docstrings do not count)."""
    return sum(
        token.type == tokenize.COMMENT
        for path in paths
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    )


def note_lines(paths: list[Path]) -> int:
    """Return how many lines of words stand under constants and fields: why they are as they are."""
    return sum(
        (below.end_lineno or below.lineno) - below.lineno + 1
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(body := getattr(node, "body", None), list)
        for above, below in pairwise(body)
        if isinstance(above, ast.Assign | ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    )


def functions(paths: list[Path]) -> list[Function]:
    """Return every function and method with the lines of its body."""
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = (
                    node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                )
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                found.append(Function(f"{path.relative_to(ROOT)}:{node.name}", lines))
    return found


def floors() -> dict[str, int]:
    """Return how the first level of `flows` hangs together: members, floors, arrows, circles."""
    graph = grimp.build_graph("flows")
    members = sorted(graph.find_children("flows"))
    below = {
        one: {
            other
            for other in members
            if other != one
            and graph.direct_import_exists(importer=one, imported=other, as_packages=True)
        }
        for one in members
    }
    level: dict[str, int] = {}
    waiting = set(members)
    while free := {one for one in waiting if below[one] <= level.keys()}:
        level |= {one: 1 + max((level[other] for other in below[one]), default=0) for one in free}
        waiting -= free
    return {
        "members": len(members),
        "floors": max(level.values(), default=0),
        "arrows": sum(map(len, below.values())),
        "circles": int(bool(waiting)),
    }


def measured() -> dict[str, str]:
    """Return the table: figure → value."""
    product = files_of(*PRODUCT)
    lines, every, house = lines_of(product), functions(product), floors()
    longest = max(product, key=lambda path: lines_of([path]))
    widest = max(every, key=lambda function: function.lines)
    return {
        "product, lines at 100 columns": f"{lines:,}",
        "tests": f"{lines_of(files_of('tests')):,}",
        "benchmarks": f"{lines_of(files_of('benchmarks')):,}",
        "public top-level names per 1 000 lines": f"{1000 * public_names(product) / lines:.0f}",
        "comments, share of lines": f"{comment_lines(product) / lines:.1%}",
        "notes under constants and fields, share of lines": f"{note_lines(product) / lines:.1%}",
        "longest file": f"{lines_of([longest])} ({longest.relative_to(ROOT)})",
        "files above 400 lines": f"{sum(lines_of([path]) > 400 for path in product)}",
        "longest function, body lines": f"{widest.lines} ({widest.name})",
        "functions above 50 lines": f"{sum(function.lines > 50 for function in every)}",
        "median function": f"{statistics.median(function.lines for function in every):.0f}",
        "flows: modules and packages on the first level": str(house["members"]),
        "flows: floors": str(house["floors"]),
        "flows: arrows between them": str(house["arrows"]),
        "flows: circles": str(house["circles"]),
    }


def main() -> None:
    """Print the table and keep it as a result."""
    rows = [f"| {what} | {BEFORE.get(what, '–')} | {value} |" for what, value in measured().items()]
    table = "\n".join(["| | before | now |", "| --- | --- | --- |", *rows])
    print(table)
    adopt(
        "house", f"# What the code is made of\n\n{table}\n\nMade with `make house` on {machine()}."
    )


if __name__ == "__main__":
    main()
