"""The page of a report in headless Chromium: light, dark, on a phone, on paper; axe finds nothing.

Needs what :mod:`tests.test_people_browser` needs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.report.page import page
from tests.dossiers import dossier
from tests.test_people_browser import needed, needed_module

pytestmark = pytest.mark.clients
DRIVER = Path(__file__).with_name("report_browser.js")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the browser saw."""
    chromium = needed("chromium", shutil.which("chromium"))
    node = needed("node", shutil.which("node"))
    for name in ("playwright-core", "axe-core"):
        needed_module(node, name)
    folder = tmp_path_factory.mktemp("report")
    path, pdf = folder / "index.html", folder / "printed.pdf"
    path.write_bytes(page(dossier(folder), [("packages.csv", "a line a file")], style_beside=False))
    pictures = os.environ.get("PEOPLE_SCREENSHOTS")
    command = [node, str(DRIVER), chromium, path.as_uri(), str(pdf), *([pictures] if pictures else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    found["pdf"], found["address"] = pdf.read_bytes(), path.as_uri()
    return found


def test_nothing_is_wider_than_the_screen_of_a_phone(seen: Any) -> None:
    assert {name: look["overflow"] for name, look in seen["looks"].items() if look["overflow"] > 0} == {}


def test_the_dark_is_dark_and_the_light_is_light(seen: Any) -> None:
    for name, look in seen["looks"].items():
        levels = [int(level) for level in look["background"].removeprefix("rgb(").rstrip(")").split(",")]
        assert max(levels) < 64 if name.endswith("dark") else min(levels) > 192


def test_sizes_are_seen_as_bars_on_every_screen(seen: Any) -> None:
    for look in seen["looks"].values():
        assert len(look["bars"]) == 3
        assert min(look["bars"]) > 20


def test_axe_finds_nothing(seen: Any) -> None:
    assert {name: look["accessibility"] for name, look in seen["looks"].items() if look["accessibility"]} == {}


def test_the_browser_complains_of_nothing_and_loads_nothing_else(seen: Any) -> None:
    assert seen["complaints"] == []
    assert set(seen["requests"]) == {seen["address"]}


def test_on_paper_it_is_light_on_a4_and_no_row_is_cut(seen: Any) -> None:
    assert seen["print"] == {"background": "rgb(255, 255, 255)", "rows": True, "shown": 0}
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", seen["pdf"])
    assert boxes
    for wide, high in boxes:
        assert (round(float(wide)), round(float(high))) == (595, 842)
