"""The pages for people in headless Chromium: search, keyboard, no JavaScript, a narrow screen, the dark, axe.

Needs Debian's chromium, and npm's playwright-core and axe-core where ``NODE_PATH`` leads to (``.ci/tools``
installs them).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server_fixtures import running
from tests.test_people_pages import ROOTS, published, world

pytestmark = pytest.mark.clients
PROJECT = "app"
DRIVER = Path(__file__).with_name("people_browser.js")


def needed(name: str, found: str | None) -> str:
    """Return where a tool is, or skip by its name."""
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def needed_module(node: str, name: str) -> None:
    """Skip unless Node finds the package."""
    command = [node, "-e", f"require.resolve({name!r})"]
    if subprocess.run(command, capture_output=True, check=False, cwd=DRIVER.parent).returncode:
        pytest.skip(f"npm's {name} is not installed (NODE_PATH)")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the browser saw on one walk through the pages."""
    chromium = needed("chromium", shutil.which("chromium"))
    node = needed("node", shutil.which("node"))
    for name in ("playwright-core", "axe-core"):
        needed_module(node, name)
    root = published(tmp_path_factory.mktemp("mirror"), world(), ROOTS)
    with running(root) as served:
        command = [node, str(DRIVER), chromium, served.url, (root / "index.html").as_uri(), PROJECT]
        pictures = os.environ.get("PEOPLE_SCREENSHOTS")
        done = subprocess.run(
            [*command, *([pictures] if pictures else [])], capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        found["url"] = served.url
        found["file"] = root.as_uri()
    return found


def test_the_list_is_filtered_as_one_types(seen: Any) -> None:
    search = seen["search"]
    assert len(search["all"]) == len(world().plan.by_project)
    # as indexes compare names: case, "-", "_" and "." do not count
    assert search["byName"]["rows"] == ["searched-and-found"]
    assert search["byName"]["status"] == f"1 of {len(search['all'])} projects"
    assert search["bySummary"] == ["searched-and-found"]
    assert search["none"]["rows"] == []
    assert "No project here matches" in search["none"]["status"]
    assert search["again"] == search["all"]


def test_enter_opens_the_project_that_was_typed(seen: Any) -> None:
    assert seen["search"]["opened"] == PROJECT


def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(seen: Any) -> None:
    stops = seen["keyboard"]["stops"]
    assert stops[0]["name"] == "Skip to the content"
    assert [stop["name"] for stop in stops][-2] == "search"
    assert stops[-1]["name"] == PROJECT
    assert [stop for stop in stops if not (stop["outline"] and stop["inside"])] == []


def test_the_skip_link_leads_past_the_navigation(seen: Any) -> None:
    assert seen["keyboard"]["skipped"] == "content"
    assert seen["keyboard"]["first"]["name"] == "Install"


def test_without_javascript_all_is_there_but_the_search(seen: Any) -> None:
    plain = seen["withoutScript"]
    assert plain["search"] is False
    assert all(name in plain["front"] for name in world().plan.by_project)
    assert "http://HOST:PORT/simple/" in plain["project"]
    assert "--trusted-host HOST" in plain["project"]


def test_the_lines_for_clients_say_where_the_page_is_served(seen: Any) -> None:
    index = f"{seen['url']}simple/"
    assert seen["lines"] == [
        f"pip install --index-url {index} {PROJECT}",
        f"uv pip install --default-index {index} {PROJECT}",
        f"poetry source add --priority=primary mirror {index}\npoetry add {PROJECT}",
        f"[global]\nindex-url = {index}",
    ]


def test_the_lines_for_pip_trust_another_host_that_has_no_https(seen: Any) -> None:
    index = f"{seen['url']}simple/".replace("127.0.0.1", "mirror.example.com")
    pip, *_, settings = seen["linesElsewhere"]
    assert pip == f"pip install --trusted-host mirror.example.com --index-url {index} {PROJECT}"
    assert settings == f"[global]\nindex-url = {index}\ntrusted-host = mirror.example.com"


def test_the_pages_work_from_disk(seen: Any) -> None:
    assert seen["fromDisk"]["lines"][0] == f"pip install --index-url {seen['file']}/simple/ {PROJECT}"
    assert seen["fromDisk"]["back"] == "Python packages in this mirror"


def test_nothing_is_wider_than_the_screen_of_a_phone(seen: Any) -> None:
    assert {name: look["overflow"] for name, look in seen["looks"].items() if look["overflow"] > 0} == {}


def test_the_dark_is_dark_and_the_light_is_light(seen: Any) -> None:
    for name, look in seen["looks"].items():
        levels = [int(level) for level in look["background"].removeprefix("rgb(").rstrip(")").split(",")]
        assert max(levels) < 64 if name.endswith("dark") else min(levels) > 192


def test_axe_finds_nothing(seen: Any) -> None:
    assert len(seen["accessibility"]) == 12
    assert {name: found for name, found in seen["accessibility"].items() if found} == {}


def test_the_browser_complains_of_nothing_and_asks_no_other_host(seen: Any) -> None:
    # Browsers say this of every plain HTTP page of another host that has the header; it is there for HTTPS.
    plain_http = "The Cross-Origin-Opener-Policy header has been ignored"
    assert [one for one in seen["complaints"] if not one.startswith(plain_http)] == []
    own = seen["url"].removeprefix("http://").rstrip("/")
    assert set(seen["hosts"]) == {own, own.replace("127.0.0.1", "mirror.example.com"), ""}
