"""The pages for people: whole, escaped, linked to what is there, and complete without JavaScript."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

import pytest

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.errors import IntegrityError
from mirror_tasks.index.project import File
from mirror_tasks.publish.people.pages import PeoplePages, assets, description_of, project_path, with_packed
from mirror_tasks.publish.people.project_page import LONGEST_DESCRIPTION
from mirror_tasks.publish.simple_index import PublishedFile, project_pages, root_pages
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Gap, KeptFile, Plan, PlannedFile, PlannedRelease, Required
from tests.server_fixtures import SERVER, seal_mirror, write

ROOTS = ("app[fast]>=1", "lib-core")
VOID = {"meta", "link", "input", "br"}
KNOWN = {
    *("html", "head", "title", "script", "body", "header", "nav", "main", "footer", "section", "div", "h1", "h2", "h3"),
    *("p", "a", "ul", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "pre"),
    *("span", "strong", "time", "details", "summary", "label", *VOID),
}
NASTY = "</pre></title><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'too' javascript:alert(3)"
HOSTILE = NASTY + " \x00\x1b[31m\u202egnp.exe\u2066 \ud800 \ufffe"


def file_of(
    project: str, version: str, filename: str, environments: tuple[str, ...] = ("laptop", "server"), **given: object
) -> PlannedFile:
    values: dict[str, object] = {
        "filename": filename,
        "url": f"https://files.example.com/{filename}",
        "hashes": {"sha256": "0" * 64},
        "size": 1000,
        "requires_python": ">=3.9",
        "yanked": None,
        "core_metadata": None,
        "upload_time": "2025-03-04T05:06:07Z",
        **given,
    }
    return PlannedFile(File(**values), project, version, environments)  # type: ignore[arg-type]


def metadata_of(name: str, version: str, **given: object) -> CoreMetadata:
    values: dict[str, object] = {
        "name": name,
        "version": version,
        "requires_python": ">=3.9",
        "requires_dist": (),
        "provides_extra": (),
        "build_requires": (),
        "build_backend": None,
        "source": "METADATA",
        "problems": (),
        "summary": f"What {name} is for",
        "licensing": LicenceFields(expression="MIT"),
        **given,
    }
    return CoreMetadata(**values)  # type: ignore[arg-type]


def release_of(
    project: str,
    version: str,
    installs: str,
    required: Sequence[Required] = (),
    left_out: Mapping[str, str] | None = None,
) -> PlannedRelease:
    return PlannedRelease(
        project, version, {"laptop": installs, "server": installs}, tuple(required), dict(left_out or {})
    )


@dataclass
class World:
    """A plan, and what is known of its files by their names."""

    plan: Plan
    metadata: dict[str, CoreMetadata] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)

    def pages(self) -> Mapping[str, bytes]:
        pages = PeoplePages(
            self.plan,
            lambda file: self.metadata.get(file.filename),
            lambda file: self.descriptions.get(file.filename),
            ROOTS,
        )
        projects = {project_path(name): pages.project_page(name) for name in sorted(self.plan.published_by_project)}
        return {"index.html": pages.front_page(), **assets(), **projects}

    def project(self, name: str) -> str:
        return self.pages()[f"project/{name}/index.html"].decode()


def both(requirement: str, by: Asker) -> list[Required]:
    return [Required("laptop", requirement, by), Required("server", requirement, by)]


def world() -> World:
    """Return projects that have all that a page can show, one that is hostile, and enough others for letters."""
    wheel, source = "app-1.0-py3-none-any.whl", "app-1.0.tar.gz"
    old, linux, windows = (
        "lib_core-1.1-py3-none-any.whl",
        "lib_core-2.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "lib_core-2.0-cp311-cp311-win_amd64.whl",
    )
    bad = "hostile-1.0&'a;b.tar.gz"
    files = [
        file_of("app", "1.0", wheel, size=12_345),
        file_of("app", "1.0", source, size=None, upload_time=None, requires_python=None),
        file_of("lib-core", "1.1", old, yanked="breaks on Mondays"),
        file_of("lib-core", "2.0", linux, environments=("server",), upload_time="2026-01-02T03:04:05.678Z"),
        file_of("lib-core", "2.0", windows, environments=("laptop",)),
        file_of(
            "hostile", "1.0", bad, yanked=HOSTILE, requires_python=HOSTILE, upload_time='2"<b>', environments=(HOSTILE,)
        ),
        file_of("searched-and-found", "3", "searched_and_found-3-py3-none-any.whl"),
        *(file_of(f"other-{count:02}", "1", f"other_{count:02}-1.zip") for count in range(45)),
    ]
    releases = [
        release_of("app", "1.0", wheel, both("app[fast]>=1", Asker("root", "app[fast]>=1"))),
        release_of(
            "lib-core",
            "1.1",
            old,
            both("lib-core<2", Asker("build", "app", "1.0")),
            {"lib_core-1.1.exe": "no wheel or sdist"},
        ),
        release_of(
            "lib-core",
            "2.0",
            linux,
            [
                *both("lib-core>=1", Asker("release", "app", "1.0")),
                *both("lib-core", Asker("root", "lib-core")),
                *both("lib-core>1", Asker("completion", "app")),
            ],
        ),
        release_of("hostile", "1.0", bad, both(HOSTILE, Asker("root", HOSTILE)), {NASTY: HOSTILE}),
    ]
    metadata = {
        wheel: metadata_of(
            "app",
            "1.0",
            requires_dist=("Lib.Core>=1", "elsewhere<3; os_name == 'nt'", "other-01; extra == 'fast'"),
            summary="The application",
            licensing=LicenceFields(expression="Apache-2.0"),
        ),
        source: metadata_of("app", "1.0", build_requires=("lib-core<2",), requires_dist=("Lib.Core>=1",)),
        linux: metadata_of("lib-core", "2.0", requires_dist=("other-02",)),
        windows: metadata_of("lib-core", "2.0", requires_dist=("other-03",)),
        bad: metadata_of(
            HOSTILE,
            HOSTILE,
            summary=HOSTILE,
            licensing=LicenceFields(name=HOSTILE * 50),
            requires_python=HOSTILE,
            requires_dist=("app @ javascript:alert(1)", HOSTILE),
            build_requires=(HOSTILE,),
        ),
        "searched_and_found-3-py3-none-any.whl": metadata_of("searched-and-found", "3", summary="Has Peculiar words"),
    }
    plan = Plan(
        environments=(
            {"name": "laptop", "python": "3.11.7", "markers": [{"platform_system": "Windows"}]},
            {
                "name": "server",
                "python": "3.12",
                "markers": [{"platform_system": "Linux", "platform_machine": "x86_64"}],
            },
        ),
        releases=tuple(releases),
        files=tuple(sorted(files, key=lambda one: (one.project, one.filename))),
        gaps=(
            Gap(
                "server", "absent>=1", (Asker("release", "app", "1.0"),), "the index has no project of this name", False
            ),
        ),
        statuses={"lib-core": ("archived", "no longer kept")},
    )
    descriptions = {wheel: "# App\n\nDoes what an app does.\n", bad: HOSTILE * 20}
    return World(plan, metadata, descriptions)


def published(root: Path, held: World, roots: Sequence[str]) -> Path:
    """Write a mirror directory as the pipeline would, and return it; the files are as good as empty."""
    for name, files in held.plan.by_project.items():
        for file in files:
            write(root / "packages" / name / file.filename, b"x")
        # what is hostile in the page for people is not the simple page's test
        plain = [replace(one, file=replace(one.file, yanked=None, requires_python=None)) for one in files]
        for form, content in project_pages(name, [PublishedFile(one, 1, None) for one in plain]).items():
            write(root / "simple" / name / form, content)
    for form, content in root_pages(held.plan.by_project).items():
        write(root / "simple" / form, content)
    for path, content in with_packed(held.pages()).items():
        write(root / path, content)
    write(root / "server.py", SERVER.read_bytes())
    write(root / "mirror.json", b"{}\n")
    seal_mirror(root)
    return root


class Seen(HTMLParser):
    """What a page holds, by the standard library's parser; fails where an element is not closed in its place."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"{tag} has an attribute twice"
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        self.scripts += data if self.open[-1:] == ["script"] else ""

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def html_pages() -> Mapping[str, Seen]:
    return {path: Seen(content) for path, content in world().pages().items() if path.endswith(".html")}


def test_there_is_a_front_page_and_a_page_for_each_project(html_pages: Mapping[str, Seen]) -> None:
    assert set(html_pages) == {"index.html", *(f"project/{name}/index.html" for name in world().plan.by_project)}


def test_every_page_says_its_language_and_has_landmarks_one_heading_and_a_skip_link(
    html_pages: Mapping[str, Seen],
) -> None:
    for path, page in html_pages.items():
        assert page.all("html")[0]["lang"] == "en"
        assert [len(page.all(tag)) for tag in ("title", "header", "main", "footer", "h1")] == [1] * 5, path
        first_link = page.all("a")[0]
        assert first_link["class"] == "skip"
        assert page.all("main")[0]["id"] == first_link["href"][1:]
        assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
        labelled = [nav["aria-label"] for nav in page.all("nav")]
        assert len(labelled) == len(set(labelled))


def test_identifiers_are_unique_and_what_refers_to_them_finds_them(html_pages: Mapping[str, Seen]) -> None:
    for page in html_pages.values():
        ids = page.values("id")
        assert len(ids) == len(set(ids))
        assert {*page.values("aria-labelledby"), *page.values("for")} <= set(ids)


def test_every_table_has_a_caption_and_headers_that_say_what_they_head(html_pages: Mapping[str, Seen]) -> None:
    for page in html_pages.values():
        assert len(page.all("table")) == len(page.all("caption")) == len(page.all("thead"))
        assert {head.get("scope") for head in page.all("th")} <= {"col", "row", "rowgroup"}


def test_every_link_leads_to_a_file_of_the_mirror(tmp_path: Path) -> None:
    root = published(tmp_path, world(), ROOTS)
    pages = {path: Seen(content) for path, content in world().pages().items() if path.endswith(".html")}
    for path, page in pages.items():
        for link in {*page.values("href"), *page.values("src")}:
            parts = urlsplit(link)
            assert (parts.scheme, parts.netloc, parts.query) == ("", "", ""), link
            target = normpath(join(dirname(path), unquote(parts.path))) if parts.path else path
            assert not target.startswith(".."), link
            assert (root / target).is_file(), f"{path} links to {link}"
            if parts.fragment:
                assert parts.fragment in pages[target].values("id"), f"{path} links to {link}"


def test_nothing_stands_inline_that_a_strict_policy_would_refuse(html_pages: Mapping[str, Seen]) -> None:
    for page in html_pages.values():
        attributes = {name for _, found in page.elements for name in found}
        assert not {name for name in attributes if name == "style" or name.startswith("on")}
        assert page.scripts == ""
        assert page.all("style") == []
        assert page.all("base") == []


def test_what_upstream_wrote_is_shown_as_text_and_never_becomes_markup(html_pages: Mapping[str, Seen]) -> None:
    for page in html_pages.values():
        assert {tag for tag, _ in page.elements} <= KNOWN
        assert len(page.all("script")) == 1
        assert not [link for link in page.values("href") if "script:" in link]
    shown = html_pages["project/hostile/index.html"].text
    assert shown.count(NASTY) > 20  # summary, reasons, requirements and twenty times the description


def test_no_control_character_or_turn_of_direction_reaches_a_page(html_pages: Mapping[str, Seen]) -> None:
    for path, content in world().pages().items():
        assert not set(content.decode()) & set("\x00\x1b\r\u202e\u2066\ufffe"), path
    assert "\ufffdgnp.exe" in html_pages["project/hostile/index.html"].text


def test_a_name_that_leads_out_of_the_mirror_gets_no_page() -> None:
    held = World(Plan((), (), (file_of("../../evil", "1", "evil-1.zip"),), ()))
    with pytest.raises(IntegrityError, match="evil"):
        held.pages()


def test_the_front_page_says_what_the_mirror_holds(html_pages: Mapping[str, Seen]) -> None:
    page = html_pages["index.html"]
    text = " ".join(page.text.split())
    for shown in ("Projects49", "Releases50", "Files52", "and more", "Newest upload2026-01-02"):
        assert shown in text.replace(" ", "") or shown in text
    for shown in ("3.11.7, Windows", "3.12, Linux x86_64", *ROOTS, "The application", "absent>=1"):
        assert shown in text
    assert "the index has no project of this name" in text


def test_the_list_of_projects_is_whole_without_javascript(html_pages: Mapping[str, Seen]) -> None:
    page = html_pages["index.html"]
    links = {f"project/{name}/index.html" for name in world().plan.by_project}
    assert links <= set(page.values("href"))
    assert {"#at-a", "#at-h", "#at-l", "#at-o", "#at-s"} <= set(page.values("href"))
    search = next(found for _, found in page.elements if found.get("role") == "search")
    assert "hidden" in search  # until there is a script that makes it work


def test_what_is_kept_stands_apart_from_what_is_in_the_plan() -> None:
    held = world()
    kept = (
        KeptFile(file_of("app", "0.9", "app-0.9.tar.gz"), "2026-11-26", until="2027-02-24"),
        KeptFile(file_of("left", "1", "left-1.zip", yanked=HOSTILE), "2026-11-26", plans=1),
    )
    held.plan = replace(held.plan, kept=kept)
    pages = {path: Seen(content) for path, content in held.pages().items() if path.endswith(".html")}
    app, left, front = (
        " ".join(pages[path].text.split())
        for path in ("project/app/index.html", "project/left/index.html", "index.html")
    )
    plan, _, below = app.partition("These files are not in the plan any more")
    assert "Newest release here1.0" in plan
    assert "0.9" not in plan
    assert "app-0.9.tar.gz left the plan on 2026-11-26; kept for locks until 2027-02-24" in below
    assert left.index("kept for locks") < left.index("Install")
    assert "left the plan on 2026-11-26; kept for locks until the mirror has changed once since" in left
    assert NASTY in pages["project/left/index.html"].text
    assert {tag for tag, _ in pages["project/left/index.html"].elements} <= KNOWN
    assert "Kept for locks2 files" in front
    assert "left1kept for locks" in front.replace(" ", "").replace("keptforlocks", "kept for locks")


def test_a_small_mirror_needs_no_letters() -> None:
    held = World(Plan((), (), (file_of("one", "1", "one-1.zip"),), ()))
    assert b'href="#at-' not in held.pages()["index.html"]


def test_a_project_page_shows_what_is_known_of_the_project(html_pages: Mapping[str, Seen]) -> None:
    text = html_pages["project/app/index.html"].text
    for shown in ("The application", "Apache-2.0", ">=3.9", "12.3 kB", "not known", "2025-03-04", "laptop", "server"):
        assert shown in text
    assert "Does what an app does." in text


def test_releases_come_newest_first_with_yanked_marks_and_the_status_of_the_project(
    html_pages: Mapping[str, Seen],
) -> None:
    text = html_pages["project/lib-core/index.html"].text
    assert text.index("lib_core-2.0") < text.index("lib_core-1.1")
    assert "yanked breaks on Mondays" in text
    assert "archived: no longer kept" in text
    assert "no wheel or sdist" in text


def test_requirements_are_links_where_the_mirror_has_the_project() -> None:
    page = world().project("app")
    assert '<a href="../lib-core/index.html">Lib.Core</a>&gt;=1' in page
    assert 'elsewhere&lt;3; os_name == &#x27;nt&#x27;</code> <span class="note">not in this mirror' in page
    assert "Only with extras: 1" in page
    assert "Only to build it from source: 1" in page


def test_wheels_of_one_release_that_require_different_things_are_told_apart(html_pages: Mapping[str, Seen]) -> None:
    text = html_pages["project/lib-core/index.html"].text
    assert re.search(r"manylinux2014_x86_64\.whl:\s+other-02", text)
    assert re.search(r"win_amd64\.whl:\s+other-03", text)


def test_a_project_page_says_what_required_it_roots_first() -> None:
    page = world().project("lib-core")
    page = page[page.index('id="required-by"') :]
    root = page.index("<code>lib-core</code> in mirror.yaml")
    completing = page.index("completing app")
    release = page.index('<a href="../app/index.html">app-1.0</a> <code>lib-core&gt;=1')
    building = page.index('building <a href="../app/index.html">app-1.0</a>')
    assert max(root, completing) < release < building


@pytest.mark.parametrize(
    "line", ["pip install ", "uv pip install --default-index ", "poetry source add ", "index-url = "]
)
def test_the_lines_for_clients_are_complete_without_javascript(html_pages: Mapping[str, Seen], line: str) -> None:
    for path in ("index.html", "project/app/index.html"):
        text = html_pages[path].text
        assert re.search(re.escape(line) + r"[^\n]*http://HOST:PORT/simple/", text)
        assert "trusted-host = HOST" in text


def test_a_long_description_is_cut_and_the_page_says_so() -> None:
    held = world()
    held.descriptions["app-1.0-py3-none-any.whl"] = "All work and no play.\n" * 100_000
    page = held.project("app")
    assert len(page) < LONGEST_DESCRIPTION + 20_000
    assert "longer than what is shown" in page


def test_a_project_of_which_no_metadata_is_known_has_a_page() -> None:
    page = world().project("other-07")
    assert "Not known: the metadata could not be read." in page
    assert "other_07-1.zip" in page


@pytest.mark.parametrize(
    ("metadata", "description"),
    [
        (b"Metadata-Version: 2.1\nName: a\n\n# A\n\ntext\n", "# A\n\ntext"),
        (b"Name: a\nDescription: one\n        two\n          code\nLicense: MIT\n", "one\ntwo\n  code"),
        (b"Name: a\nDescription: one\n       |two\n       |  code\n", "one\ntwo\n  code"),
        (b"Name: a\nDescription: UNKNOWN\n\n", None),
        (b"Name: a\n\nUNKNOWN\n", None),
        (b"Name: a\n", None),
        (b"", None),
        ("Name: ä\n\nGrüße".encode(), "Grüße"),
        (b"Name: a\n\n\xff\xfe broken", "\ufffd\ufffd broken"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n--x--\n", "--x\n\ntext\n--x--"),
        (
            b"Name: a\n" + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n" * 2000 + b"end",
            "--x\n" + "Content-Type: multipart/mixed; boundary=x\n\n--x\n" * 1999 + "end",
        ),
    ],
)
def test_descriptions_are_read_from_body_and_header(metadata: bytes, description: str | None) -> None:
    assert description_of(metadata) == description


def test_the_same_plan_gives_the_same_bytes() -> None:
    held = world()
    assert with_packed(held.pages()) == with_packed(world().pages())
    turned = replace(held.plan, files=tuple(reversed(held.plan.files)), releases=tuple(reversed(held.plan.releases)))
    front = PeoplePages(turned, lambda file: held.metadata.get(file.filename), lambda _: None, ROOTS).front_page()
    assert front == held.pages()["index.html"]


def test_packed_copies_hold_the_page_they_stand_beside() -> None:
    pages = world().pages()
    packed = with_packed(pages)
    assert {path: gzip.decompress(packed[f"{path}.gz"]) for path in pages} == pages


def luminance(colour: str) -> float:
    levels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_as_wcag_asks(scheme: int) -> None:
    style = assets()["site/style.css"].decode()
    colours = dict(
        re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme])
    )
    pairs = [(ink, back) for ink in ("ink", "soft", "link") for back in ("back", "panel")]
    # WCAG 2.2, 1.4.3: 4.5 for text; 1.4.11: 3 for the edge of a field
    for ink, back in [*pairs, ("mark", "mark-back"), ("bar-ink", "bar"), ("strong-line", "back")]:
        lighter, darker = sorted((luminance(colours[ink]), luminance(colours[back])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= (3 if ink == "strong-line" else 4.5), (ink, back)


def test_style_and_script_name_nothing_elsewhere() -> None:
    for name, content in assets().items():
        found = re.sub(rb'xmlns="http://www.w3.org/2000/svg"', b"", content)
        assert not re.search(rb"url\(|@import|//[a-z0-9-]+\.|fetch\(|innerHTML|eval\(", found), name
