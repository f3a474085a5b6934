"""Several streams in one directory: what each brings stands there, and what two say of one project is said once."""

from __future__ import annotations

import contextlib
import gzip
import html
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uv
from packaging.version import Version

from mirror_tasks.publish.people.pages import with_packed
from mirror_tasks.publish.simple_index import PublishedFile, project_pages, root_pages
from mirror_tasks.resolve.plan import KeptFile, Plan, PlannedFile
from tests.crossing import Sent, load_receiver, served, sha256, with_sums, write_bundle
from tests.making import wheel
from tests.server_fixtures import SERVER, files_metadata, run_server, running
from tests.test_people_pages import HOSTILE, ROOTS, Seen, World, file_of, metadata_of, release_of, world
from tests.test_server_clients import installed, make_environment, run

RECEIVER = load_receiver()
PLAIN = HOSTILE.encode("utf-8", "replace").decode()  # what can stand in a file
FORMS = ("index.html", "index.v1_html", "index.v1_json")
Files = Mapping[str, bytes]


def planned(project: str, filename: str, content: bytes, **changes: Any) -> PlannedFile:
    one = file_of(project, RECEIVER.version_of(filename, project), filename, size=len(content), yanked=None, **changes)
    return replace(one, file=replace(one.file, hashes={"sha256": sha256(content)}))


def state(
    projects: Mapping[str, Files],
    *,
    changes: Mapping[str, Any] | None = None,
    statuses: Mapping[str, tuple[str, str]] | None = None,
    roots: Sequence[str] = ("alpha",),
    further: Files | None = None,
) -> dict[str, bytes]:
    """Return the state of a mirror whose pages are those that the pipeline writes.

    :param changes: fields of what the pages say of each file.
    """
    files = [
        planned(name, filename, content, **(changes or {}))
        for name, contents in projects.items()
        for filename, content in contents.items()
    ]
    plan = Plan(
        ({"name": "laptop", "python": "3.12", "markers": [{"platform_system": "Linux"}], "tags": ["py3-none-any"]},),
        tuple(release_of(one.project, one.version, one.filename, []) for one in files),
        tuple(files),
        (),
        statuses=dict(statuses or {}),
    )
    held: dict[str, bytes] = {}
    metadata = {}
    for name, contents in projects.items():
        for filename, content in contents.items():
            held[f"packages/{name}/{filename}"] = content
            held[f"packages/{name}/{filename}.metadata"] = files_metadata(filename, content)
            metadata[filename] = metadata_of(name, "1", summary=f"What {name} is for")
        published = [
            PublishedFile(one, len(contents[one.filename]), sha256(held[f"packages/{name}/{one.filename}.metadata"]))
            for one in plan.by_project[name]
        ]
        pages = project_pages(name, published, (statuses or {}).get(name))
        held.update({f"simple/{name}/{form}": page for form, page in pages.items()})
    held.update({f"simple/{form}": page for form, page in root_pages(plan.by_project).items()})
    held.update(with_packed(World(plan, metadata).pages()))
    about = {
        "format": 1,
        "made_by": "mirror-tasks 0.2.0",
        "requirements": list(roots),
        "releases": len(plan.by_release),
    }
    about |= {"environments": ["laptop"], "lacking": [], "configuration": {"mirror.yaml": str(roots)}}
    about |= {"environments_in_full": [{"name": "laptop", "python": "3.12", "tags": "py3-none-any"}]}
    held.update({"mirror.json": json.dumps(about).encode(), "server.py": SERVER.read_bytes(), "receive.py": b"# r\n"})
    return with_sums({**held, **(further or {})})


def receive(sent: Sent, root: Path) -> subprocess.CompletedProcess[str]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = RECEIVER.main([str(sent.folder), "--to", str(root), "--unsigned"])
    return subprocess.CompletedProcess((), status, out.getvalue(), errors.getvalue())


def all_received(tmp_path: Path, states: Mapping[str, Files], root: str = "mirror") -> Path:
    """Receive the first bundle of each stream, in this order; return the mirror."""
    for stream, files in states.items():
        done = receive(write_bundle(tmp_path / "stick", files, stream=stream), tmp_path / root)
        assert done.returncode == 0, done.stderr
    return tmp_path / root


ALPHA, BETA = dict([wheel("alpha", "1.0")]), dict([wheel("beta", "1.0", requires=["alpha"])])
NEWER = dict([wheel("alpha", "1.10", requires=["beta"], requires_python=">=3.8")])
OTHER = dict([wheel("alpha", "1.0", files={"else.py": "1"})])


def document(root: Path, name: str) -> Any:
    return json.loads(served(root)[f"simple/{name}/index.v1_json"])


# Pages that are written anew


def published_world() -> Mapping[str, tuple[list[PublishedFile], tuple[str, str] | None]]:
    held = world().plan
    return {
        name: ([PublishedFile(one, index, "c" * 64 if index % 2 else None) for index, one in enumerate(files)],
               (held.statuses or {}).get(name))
        for name, files in held.by_project.items()
    }  # fmt: skip


@pytest.mark.parametrize("name", ["app", "lib-core", "hostile", "other-00"])
def test_a_page_that_is_read_and_written_again_has_the_same_bytes(name: str) -> None:
    files, status = published_world()[name]
    if name == "hostile":
        plain = [replace(one.planned.file, yanked=PLAIN, requires_python=PLAIN) for one in files]
        files = [replace(one, planned=replace(one.planned, file=file)) for one, file in zip(files, plain, strict=True)]
    pages = project_pages(name, files, status)
    again = RECEIVER.page_forms(RECEIVER.read_page(pages["index.v1_json"], name, "bundle 1 of main"))
    assert {form: again[form] for form in FORMS} == {form: pages[form] for form in FORMS}
    assert again.keys() == pages.keys()


def test_the_list_of_projects_has_the_bytes_that_the_pipeline_writes() -> None:
    pages, again = root_pages(["b", "a-1"]), RECEIVER.root_forms(["a-1", "b"])
    assert {form: again[form] for form in FORMS} == {form: pages[form] for form in FORMS}


def test_gzipped_copies_hold_their_pages_and_are_the_same_on_every_python() -> None:
    packed = RECEIVER.packed_copy(b"page" * 1000)
    assert gzip.decompress(packed) == b"page" * 1000
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"  # no time, no system


VERSIONS = ["1.0", "1", "1.0.0", "1.10", "1.9", "0!1.0", "1!0.1", "1.0a1", "1.0.alpha-1", "1.0b2", "1.0rc1", "1.0c1",
            "1.0.dev3", "1.0a1.dev1", "1.0.post1", "1.0-1", "1.0.post1.dev2", "1.0+abc", "1.0+abc.5", "1.0+5", "1.0+abc.10",
            "v2.0", "2.0.PREVIEW", "2.0r3", "1.0+Abc-5"]  # fmt: skip


def test_versions_are_ordered_as_installers_order_them() -> None:
    for one, other in itertools.combinations(VERSIONS, 2):
        ours, theirs = RECEIVER.version_key(one), RECEIVER.version_key(other)
        expected = (Version(one) < Version(other), Version(one) == Version(other))
        assert (ours < theirs, ours == theirs) == expected, (one, other)
    parts = (
        ["", "1!"],
        ["0", "1.0", "1.2", "10.0.1"],
        ["", "a1", "b2", "rc1"],
        ["", ".post1", ".post10"],
        ["", ".dev0"],
    )
    versions = ["".join(one) for one in itertools.product(*parts, ["", "+5", "+a.1"])]
    assert sorted(versions, key=RECEIVER.version_key) == sorted(versions, key=Version)


# Streams beside each other


def test_disjoint_streams_stand_in_one_mirror_each_as_it_came(tmp_path: Path) -> None:
    one, other = state({"alpha": ALPHA}), state({"beta": BETA}, roots=("beta",))
    now = served(all_received(tmp_path, {"a": one, "b": other}))
    for files, name in ((one, "alpha"), (other, "beta")):
        own = [path for path in files if path.startswith(("packages/", f"simple/{name}/", "project/", "site/"))]
        assert {path: now[path] for path in own} == {path: files[path] for path in own}
    assert [one["name"] for one in json.loads(now["simple/index.v1_json"])["projects"]] == ["alpha", "beta"]
    about = json.loads(now["mirror.json"])
    assert (about["format"], about["projects"], about["releases"], about["files"]) == (1, 2, 2, 2)
    assert about["bytes"] == sum(map(len, (*ALPHA.values(), *BETA.values())))
    assert about["requirements"] == ["alpha", "beta"]
    assert set(about["configuration"]) == {"a/mirror.yaml", "b/mirror.yaml"}
    assert about["streams"]["b"]["sequence"] == 1


def test_the_tree_of_several_streams_is_whole_and_the_server_says_what_it_holds(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA}), "b": state({"alpha": NEWER, "beta": BETA})})
    done = run_server("--root", str(root / "current"), "--check")
    assert done.returncode == 0, done.stdout
    with running(root / "current") as http:
        assert "2 projects, 3 files" in http.welcome[0]


def test_which_stream_came_first_changes_no_byte(tmp_path: Path) -> None:
    states = {"a": state({"alpha": ALPHA}), "b": state({"alpha": NEWER, "beta": BETA})}
    one = served(all_received(tmp_path, states))
    other = served(all_received(tmp_path, dict(reversed(states.items())), "other"))
    ignored = ("SHA256SUMS.kept",)
    assert {path: one[path] for path in one if path not in ignored} == {
        path: other[path] for path in other if path in one and path not in ignored
    }


def test_the_pages_of_one_project_are_merged_file_by_file(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA}), "b": state({"alpha": NEWER})})
    now, page = served(root), document(root, "alpha")
    assert [file["filename"] for file in page["files"]] == [*ALPHA, *NEWER]
    assert page["versions"] == ["1.0", "1.10"]
    for filename, content in {**ALPHA, **NEWER}.items():
        assert f"{filename}#sha256={sha256(content)}".encode() in now["simple/alpha/index.html"]
        assert now[f"packages/alpha/{filename}"] == content
    people = Seen(now["project/alpha/index.html"])
    assert "bundle 1 of a; bundle 1 of b" in people.text
    assert "Newest release here1.10" in people.text
    assert "../../packages/alpha/" + next(iter(ALPHA)) in people.values("href")
    row = now["index.html"].decode().partition("project/alpha/index.html")[2].partition("</tr>")[0]
    assert "1.10" in row
    assert "What alpha is for" in row


@pytest.mark.clients
def test_pip_and_uv_install_what_two_streams_have_together(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA}), "b": state({"alpha": NEWER, "beta": BETA})})
    with running(root / "current") as http:
        for place, number in ((f"{http.url}simple/", 1), ((root / "current" / "simple").resolve().as_uri(), 2)):
            folder = tmp_path / f"clients-{number}"
            folder.mkdir()
            python = make_environment(folder)
            pip = (sys.executable, "-m", "pip", "--isolated", "--python", python, "install", "--no-cache-dir")
            run(folder, *pip, "--index-url", place, "alpha==1.0")
            assert installed(folder, python) == {"alpha": "1.0"}
            uv_pip = (uv.find_uv_bin(), "pip", "install", "--no-config", "--no-python-downloads", "--no-cache")
            run(folder, *uv_pip, "--python", python, "--default-index", place, "-U", "alpha")
            assert installed(folder, python) == {"alpha": "1.10", "beta": "1.0"}


def test_what_several_streams_have_counts_once(tmp_path: Path) -> None:
    states = {"a": state({"alpha": ALPHA}), "b": state({"alpha": {**ALPHA, **NEWER}, "beta": BETA})}
    about = json.loads(served(all_received(tmp_path, states))["mirror.json"])
    assert (about["projects"], about["releases"], about["files"]) == (2, 3, 3)


def test_text_of_the_pages_of_streams_is_escaped_once(tmp_path: Path) -> None:
    states = {"a": state({"alpha": ALPHA}), "b": state({"alpha": NEWER})}
    for name, files in states.items():
        front = files["index.html"].replace(b"What alpha is for", b"Fish &amp; &lt;chips&gt;")
        states[name] = with_sums({**files, "index.html": front})
    assert b'<td class="summary">Fish &amp; &lt;chips&gt;</td>' in served(all_received(tmp_path, states))["index.html"]


def test_one_file_with_two_contents_is_refused_and_both_bundles_are_named(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA})})
    before = served(root)
    done = receive(write_bundle(tmp_path / "stick", state({"alpha": OTHER}), 4, stream="b"), root)
    assert done.returncode == 1
    assert "bundle 1 of a" in done.stderr
    assert "bundle 4 of b" in done.stderr
    assert next(iter(ALPHA)) in done.stderr
    assert served(root) == before


def test_two_names_that_are_one_where_case_does_not_count_are_refused(tmp_path: Path) -> None:
    [(name, content)] = ALPHA.items()
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA})})
    done = receive(
        write_bundle(tmp_path / "stick", state({"alpha": {name.replace("alpha", "Alpha"): content}}), stream="b"), root
    )
    assert done.returncode == 1
    assert "bundle 1 of a" in done.stderr


def test_a_delta_of_one_stream_applies_though_its_own_list_of_projects_stands_nowhere(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "stick", state({"alpha": ALPHA}), stream="a")
    root = tmp_path / "mirror"
    for sent in (first, write_bundle(tmp_path / "stick", state({"beta": BETA}), stream="b")):
        assert receive(sent, root).returncode == 0
    for sequence, files in ((2, {**ALPHA, **NEWER}), (3, ALPHA)):
        second = write_bundle(tmp_path / "stick", state({"alpha": files}), sequence, stream="a", base=first)
        done = receive(second, root)
        assert done.returncode == 0, done.stderr
        assert len(document(root, "alpha")["files"]) == len(files)
        first = second


# Of two, the stricter


def merged(*pages: Mapping[str, Any]) -> Any:
    """Merge pages of alpha, of streams a, b and so on."""
    read = [RECEIVER.read_page(json.dumps(page).encode(), "alpha", "a bundle") for page in pages]
    states = [RECEIVER.Manifest(stream, 1, None, {}, {}, 1, {}, None, "") for stream in "abc"[: len(read)]]
    return RECEIVER.merge_pages(list(zip(states, read, strict=True)))


def page_with(status: Any = None, **fields: Any) -> dict[str, Any]:
    entry = {"filename": "alpha-1.0-py3-none-any.whl", "url": "../../packages/alpha/alpha-1.0-py3-none-any.whl"}
    whole = {**entry, "hashes": {"sha256": "a" * 64}, "size": 7, **fields}
    page = {"meta": {"api-version": "1.4"}, "name": "alpha", "versions": ["1.0"], "files": [whole]}
    return {**page, "project-status": status} if status else page


def test_a_file_that_one_stream_calls_yanked_is_yanked() -> None:
    for order in ((page_with(), page_with(yanked="bad")), (page_with(yanked="bad"), page_with())):
        assert merged(*order).files[0]["yanked"] == "bad"
    assert merged(page_with(yanked=True), page_with(yanked="bad")).files[0]["yanked"] == "bad"
    assert merged(page_with(yanked=True), page_with()).files[0]["yanked"] is True


def test_what_is_only_kept_for_locks_in_one_stream_is_as_the_other_says_it() -> None:
    kept = "left the plan on 2026-11-01; kept for locks until 2027-01-30"
    for order in ((page_with(), page_with(yanked=kept)), (page_with(yanked=kept), page_with())):
        assert "yanked" not in merged(*order).files[0]
    assert merged(page_with(yanked=kept), page_with(yanked="bad")).files[0]["yanked"] == "bad"
    assert merged(page_with(yanked=kept), page_with(yanked=kept)).files[0]["yanked"] == kept


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [(None, "archived", "archived"), ("deprecated", "archived", "archived"), ("quarantined", "archived", "quarantined"),
     ("deprecated", None, "deprecated"), ("active", "deprecated", "deprecated")],
)  # fmt: skip
def test_of_two_statuses_the_stricter_holds_in_both_orders(one: Any, other: Any, holds: str) -> None:
    said = [page_with({"status": status, "reason": f"since {status}"} if status else None) for status in (one, other)]
    for order in (said, said[::-1]):
        assert merged(*order).status == (holds, f"since {holds}")
        assert bool(merged(*order).files) is (holds != "quarantined")


# What is read is not believed


BAD_PAGES: dict[str, Any] = {
    "no JSON": b"<html>",
    "half of a character": json.dumps(page_with(**{"requires-python": "\ud800"})).encode(),
    "nested": b"[" * 100_000,
    "a list": b"[]",
    "another project": {**page_with(), "name": "beta"},
    "another API": {**page_with(), "meta": {"api-version": "2.0"}},
    "a URL elsewhere": page_with(url="https://files.example.com/alpha-1.0-py3-none-any.whl"),
    "a path that leads out": page_with(filename="../x.whl", url="../../packages/alpha/../x.whl"),
    "no hash": page_with(hashes={"md5": "a"}),
    "a hash that is markup": page_with(hashes={"sha256": '"><script>'}),
    "a size that is text": page_with(size="7"),
    "a size that is none": page_with(size=-1),
    "metadata that is true": page_with(**{"core-metadata": True}),
    "a yanked that is a list": page_with(yanked=["x"]),
    "a file twice": {**page_with(), "files": page_with()["files"] * 2},
    "a status that is text": page_with("archived"),
    "versions that are numbers": {**page_with(), "versions": [1]},
}


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_page_that_is_none_is_not_merged(name: str) -> None:
    page = BAD_PAGES[name]
    with pytest.raises(RECEIVER.Refused, match=r"index\.v1_json of bundle 1 of main can't be merged"):
        RECEIVER.read_page(page if isinstance(page, bytes) else json.dumps(page).encode(), "alpha", "bundle 1 of main")


def test_a_bundle_whose_page_can_not_be_merged_leaves_the_old_mirror(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA})})
    before = served(root)
    bad = state({"alpha": NEWER}, further={"simple/alpha/index.v1_json": b"{}"})
    done = receive(write_bundle(tmp_path / "stick", bad, stream="b"), root)
    assert done.returncode == 1
    assert "bundle 1 of b" in done.stderr
    assert served(root) == before
    assert [path.name for path in (root / "generations").iterdir()] == ["1"]


def test_what_the_pages_of_the_pipeline_say_is_found_in_them() -> None:
    held = world()
    gone = KeptFile(file_of("gone", "1.0", "gone-1.0-py3-none-any.whl"), "2026-11-01", until="2027-01-30")
    pages = replace(held, plan=replace(held.plan, kept=(gone,))).pages()
    front, page = pages["index.html"].decode(), pages["project/lib-core/index.html"].decode()
    rows = {texts[0]: (texts[1:], tags) for texts, tags in RECEIVER.tags_in(RECEIVER._PROJECT_ROW, front)}
    assert rows.keys() == {*held.plan.by_project, "gone"}
    assert rows["app"] == (["1.0", "", "The application"], ["laptop", "server"])
    assert rows["gone"][0][:2] == ["1.0", RECEIVER._LEFT]
    [(gap, where)] = RECEIVER.tags_in(RECEIVER._GAP_ROW, front.partition('id="gaps"')[2])
    assert (gap, where) == (["absent>=1", "app-1.0", held.plan.gaps[0].reason], ["server"])
    files = RECEIVER.tags_in(RECEIVER._FILE_ROW, page)
    assert sorted(name for (name,), _ in files) == [one.filename for one in held.plan.by_project["lib-core"]]
    assert {tuple(tags) for _, tags in files} == {("laptop",), ("server",), ("laptop", "server")}
    askers = [texts for texts, _ in RECEIVER.tags_in(RECEIVER._ASKER_ROW, page)]
    assert [" ".join("".join(texts).split()) for texts in askers] == [
        "completing app lib-core>12.0", "lib-core in mirror.yaml2.0", "appapp-1.0 lib-core>=12.0",
        "building appapp-1.0 lib-core<21.1",
    ]  # fmt: skip


def test_pages_for_people_of_a_stream_give_text_and_never_markup(tmp_path: Path) -> None:
    evil = '<tr><th scope="row"><a href="project/alpha/index.html">alpha</a></th><td class="version">1</td><td class="summary">{}'
    evil += '</td><td class="where"></td></tr>'
    nasty = [evil.format(one) for one in ("<script>x()</script>", "<b>bold</b>", html.escape(PLAIN), "&lt;i&gt;")]
    for number, row in enumerate(nasty):
        files = state({"alpha": ALPHA}, further={"index.html": row.encode(), "project/alpha/index.html": row.encode()})
        root = all_received(tmp_path, {f"a{number}": files, f"b{number}": state({"alpha": NEWER})}, f"mirror-{number}")
        for path in ("index.html", "project/alpha/index.html"):
            tags = [tag for tag, _ in Seen(served(root)[path]).elements]
            assert tags.count("script") == 1
            assert not {"b", "i", "img"} & set(tags)


ODD_SUMMARIES = [
    b"", b"[]", b"[" * 100_000, b'{"requirements": 3, "configuration": [], "releases": "x"}',
    b'{"requirements": ["\\ud800"]}', b'{"requirements": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"releases": ' + b"9" * 4300 + b"}",
    b'{"environments_in_full": [3, {"markers": {}}, {"name": ["<b>"]}], "lacking": "x"}',
]  # fmt: skip


@pytest.mark.parametrize("content", ODD_SUMMARIES)
def test_a_mirror_json_that_is_odd_costs_only_what_it_would_have_said(tmp_path: Path, content: bytes) -> None:
    states = {"a": state({"alpha": ALPHA}, further={"mirror.json": content}), "b": state({"beta": BETA})}
    about = json.loads(served(all_received(tmp_path, states))["mirror.json"])
    assert about["projects"] == 2


@pytest.mark.parametrize("name", ["_FILE_ROW", "_ASKER_ROW", "_PROJECT_ROW", "_GAP_ROW"])
def test_no_page_of_a_stream_keeps_the_merging_busy(name: str) -> None:
    """What is cut out of pages takes time by their length, not by its square: here that would be minutes."""
    for beginning in (
        '<th scope="row"><a href="x" download></a>',
        '<tr><th scope="row">',
        '<tr><th scope="row"><code>',
    ):
        for page in (beginning * 100_000, beginning + "a" * 1_000_000):
            assert RECEIVER.tags_in(getattr(RECEIVER, name), page) == []


# Locks, and what the mirror itself is


def test_locks_of_one_name_stand_beside_each_other(tmp_path: Path) -> None:
    path = "locks/app/uv.lock"
    states = {
        name: state({name: ALPHA if name == "alpha" else BETA}, further={path: name.encode()})
        for name in ("alpha", "beta")
    }
    now = served(all_received(tmp_path, states))
    assert now[path] == b"alpha"
    assert now["locks/beta/app/uv.lock"] == b"beta"


def test_a_lock_that_would_stand_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    root = all_received(tmp_path, {"a": state({"alpha": ALPHA}, further={"locks/app": b"a"})})
    bad = state({"beta": BETA}, further={"locks/app/uv.lock": b"b"})
    done = receive(write_bundle(tmp_path / "stick", bad, stream="b"), root)
    assert done.returncode == 1
    assert "locks/app" in done.stderr


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("packages/alpha/data", "packages/alpha/data/more"),
        ("project/alpha/index.html/more", "project/beta/index.html"),
        ("simple/alpha/Notes", "simple/alpha/notes"),
        ("site/notes", "site/notes/more"),
    ],
)
def test_files_of_two_bundles_that_can_not_stand_beside_each_other_are_named(
    tmp_path: Path, one: str, other: str
) -> None:
    first = state({"gamma": ALPHA}, further={one: b"a"})
    root = all_received(tmp_path, {"a": first})
    before = served(root)
    bad = state({"beta": BETA}, further={other.replace("beta/index.html", "alpha/index.html"): b"b"})
    done = receive(write_bundle(tmp_path / "stick", bad, stream="b"), root)
    assert done.returncode == 1
    assert one.rpartition("/")[0] in done.stderr
    assert "Errno" not in done.stderr
    assert served(root) == before


def test_a_lock_whose_place_beside_the_other_one_is_too_long_is_refused(tmp_path: Path) -> None:
    path = f"locks/{'a' * 190}/{'b' * 200}"
    root = all_received(tmp_path, {"first": state({"alpha": ALPHA}, further={path: b"a"})})
    bad = state({"beta": BETA}, further={path: b"b"})
    done = receive(write_bundle(tmp_path / "stick", bad, stream="second"), root)
    assert done.returncode == 1
    assert path in done.stderr


@pytest.mark.parametrize("newer", ["a", "b"])
def test_programs_and_what_pages_load_are_those_of_the_newest_version(tmp_path: Path, newer: str) -> None:
    root = tmp_path / "mirror"
    for stream, projects in (("a", {"alpha": ALPHA}), ("b", {"beta": BETA})):
        files = state(projects, further={"server.py": f"# {stream}\n".encode(), "site/style.css": stream.encode()})
        version = "0.10.0" if stream == newer else "0.9.1"
        made = {"at": "2026-11-26T12:00:00Z", "by": f"mirror-tasks {version}", "plan": "0" * 64}
        made |= {"proof": None, "report": None, "approval": None}  # type: ignore[dict-item]
        sent = write_bundle(tmp_path / "stick", files, stream=stream, changes={"made": made})
        assert receive(sent, root).returncode == 0
    now = served(root)
    assert (now["server.py"], now["site/style.css"]) == (f"# {newer}\n".encode(), newer.encode())
    assert (root / "server.py").read_bytes() == now["server.py"]


def test_roots_are_listed_once(tmp_path: Path) -> None:
    states = {"a": state({"alpha": ALPHA}, roots=ROOTS), "b": state({"beta": BETA}, roots=[*ROOTS, "<beta>"])}
    page = served(all_received(tmp_path, states))["index.html"].decode()
    assert page.count(html.escape(ROOTS[0])) == 1
    assert "&lt;beta&gt;" in page
