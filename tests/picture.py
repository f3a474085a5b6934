"""Draws the picture of imports in CONTRIBUTING.md from the code: ``python -m tests.picture`` (``nox -s picture``).

The picture has a box for each folder of ``mirror_tasks`` and for each module beside the folders. An arrow says "imports". An
arrow that follows from others (plan from tasks, where tasks imports report and report imports plan) is left out, so that
the order can be seen. What the contract in pyproject.toml still excuses is drawn with dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grimp
import tomli

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "CONTRIBUTING.md"
PACKAGE = "mirror_tasks"
BEGINS, ENDS = "<!-- picture: begins (nox -s picture) -->\n", "<!-- picture: ends -->\n"

Arrows = set[tuple[str, str]]


def box_of(module: str) -> str:
    """Return the box of a module: its folder, or itself if it stands beside the folders."""
    return module.split(".")[1] if "." in module else module


def boxes() -> list[str]:
    """Return the name of each folder and of each module beside them, sorted."""
    names = {box_of(module) for module in grimp.build_graph(PACKAGE).modules}
    return sorted(names - {PACKAGE})


def excused() -> list[str]:
    """Return the imports that the contract in pyproject.toml passes over, as it writes them."""
    settings = tomli.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    return [line for contract in settings["contracts"] for line in contract.get("ignore_imports", ())]


def arrows() -> tuple[Arrows, Arrows]:
    """Return who imports whom, by box: what keeps to the order, and what is excused from it."""
    graph = grimp.build_graph(PACKAGE)
    against: Arrows = set()
    for expression in excused():
        for found in graph.find_matching_direct_imports(expression):
            against.add((box_of(found["importer"]), box_of(found["imported"])))
            graph.remove_import(importer=found["importer"], imported=found["imported"])
    along = {
        (box_of(importer), box_of(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return {arrow for arrow in along if arrow[0] != arrow[1] and PACKAGE not in arrow}, against


def below(arrows: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """Return for each box the boxes that it imports, by itself or by others."""
    direct: dict[str, set[str]] = {}
    for importer, imported in arrows:
        direct.setdefault(importer, set()).add(imported)

    def reached(box: str, seen: set[str]) -> set[str]:
        for imported in direct.get(box, set()) - seen:
            seen.add(imported)
            reached(imported, seen)
        return seen

    return {box: reached(box, set()) for box in direct}


def reduced(arrows: Arrows) -> Arrows:
    """Return the arrows that do not follow from others."""
    reach = below(arrows)
    return {
        (importer, imported)
        for importer, imported in arrows
        if not any(middle != imported and imported in reach.get(middle, ()) for middle in _next(arrows, importer))
    }


def _next(arrows: Arrows, box: str) -> Iterator[str]:
    return (imported for importer, imported in arrows if importer == box)


def picture() -> str:
    """Return the picture as a block of mermaid, which code hosts draw."""
    along, against = arrows()
    lines = [f"    {importer} --> {imported}" for importer, imported in sorted(reduced(along))]
    lines += [f"    {importer} -.-> {imported}" for importer, imported in sorted(against)]
    return "```mermaid\nflowchart TD\n" + "\n".join(lines) + "\n```\n"


def drawn_in(text: str) -> str:
    """Return the picture that a page has.

    :raises ValueError: the page has no place for a picture.
    """
    begins, ends = text.index(BEGINS) + len(BEGINS), text.index(ENDS)
    return text[begins:ends]


def main() -> None:
    """Draw the picture in CONTRIBUTING.md anew."""
    text = PAGE.read_text("utf-8")
    PAGE.write_text(text.replace(BEGINS + drawn_in(text), BEGINS + picture()), "utf-8")


if __name__ == "__main__":
    main()
