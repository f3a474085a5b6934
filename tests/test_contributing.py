"""What CONTRIBUTING.md says of the code is so (the picture of imports, the table of folders, names), and so is CHANGELOG.md."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

import grimp
import tomli

from tests import picture
from tests.mirroring import REPOSITORY

TEXT = picture.PAGE.read_text("utf-8")


def section(title: str) -> str:
    """Return what stands below a heading."""
    return re.split(r"^#", TEXT.partition(f"{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_picture_of_imports_is_that_of_the_code() -> None:
    assert picture.drawn_in(TEXT) == picture.picture(), "draw it anew: nox -s picture"


def test_an_arrow_that_follows_from_others_is_not_drawn() -> None:
    arrows = {("tasks", "report"), ("report", "plan"), ("tasks", "plan"), ("tasks", "text")}
    assert picture.reduced(arrows) == arrows - {("tasks", "plan")}


def test_every_folder_and_module_has_its_place_in_the_list() -> None:
    listed = set(re.findall(r"`(\w+)(?:/|\.py)?`", section("## Where things are")))
    assert set(picture.boxes()) <= listed


def test_folders_are_listed_in_the_order_in_which_they_may_import_each_other() -> None:
    order = re.findall(r"^\| `(\w+)/` \|", section("## Where things are"), re.MULTILINE)
    along, _ = picture.arrows()
    against = {(a, b) for a, b in along if a in order and b in order and order.index(a) < order.index(b)}
    assert not against


def test_every_module_that_is_pointed_to_exists_and_has_the_names_that_are_told_of_it() -> None:
    where = section("### Where does a requirement become a file?") + section(
        "### Where does a new rule of selection go?"
    )
    paths = set(re.findall(r"`(\w+/\w+\.py)`", where))
    assert paths
    code = "".join(path.read_text("utf-8") for path in (REPOSITORY / "mirror_tasks").rglob("*.py"))
    assert {path for path in paths if not (REPOSITORY / "mirror_tasks" / path).is_file()} == set()
    names = set(re.findall(r"`(?:\w+\.)?(\w+)`", where))
    assert {name for name in names if not re.search(rf"\b(?:def|class) {name}\b", code)} == set()


def test_within_the_folders_too_imports_go_one_way() -> None:
    graph = grimp.build_graph(picture.PACKAGE)
    TopologicalSorter({one: graph.find_modules_directly_imported_by(one) for one in graph.modules}).prepare()


def test_one_module_alone_opens_sockets() -> None:
    opening = r"\b(?:\w*PoolManager|\w*ProxyManager|HTTPS?Connection|create_connection|urlopen|Session|socket)\("
    package = REPOSITORY / "mirror_tasks"
    opens = [path for path in package.rglob("*.py") if re.search(opening, path.read_text("utf-8"))]
    assert opens == [package / "index" / "connections.py"]
    assert "`connections` alone opens sockets" in section("## Where things are")


def test_the_newest_entry_of_the_changelog_is_of_the_version_that_this_is() -> None:
    version = tomli.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    newest = re.search(r"^## (\S+) - ", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
