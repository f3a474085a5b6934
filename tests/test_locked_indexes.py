"""What a lock took from one of the configured indexes comes from that one, and locks that disagree are told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.bindings import binding_of, reason_of_absence
from mirror_tasks.config.lock_files.model import Lock, LockedFile, LockedPackage, Selection
from mirror_tasks.config.locked_indexes import bind_locked, configured, further_files, why_not_asked
from mirror_tasks.config.model import Index, NamedIndex, RequestedRequirement, Root
from mirror_tasks.errors import Fault, UpstreamError
from mirror_tasks.index.client import Upstream
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder

A, B = Index("https://a.example.com/simple/"), Index("https://me:secret@b.example.com/simple", name="b")


def package(
    name: str, index: str | None, source: str = "", version: str = "1", sha256: str = "a" * 64
) -> LockedPackage:
    files = (LockedFile(f"{name}-{version}-py3-none-any.whl", sha256 or None),)
    return LockedPackage(canonicalize_name(name), Version(version), files, index=index, source=source)


def locks(*packages: LockedPackage, name: str = "app/uv.lock", number: int = 0) -> Root:
    selected = {"server": (Selection(0, packages),)}
    lock = Lock(path=Path("/", name), kind="uv.lock", groups=(), extras=(), selected=selected)
    return Root(name=name, key_path=f"requirements[{number}]", requirements=(), lock=lock)


def bound(indexes: Sequence[Index], *roots: Root) -> tuple[Index, ...]:
    faults: list[Fault] = []
    found = bind_locked(indexes, roots, faults)
    assert faults == []
    return found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://a.example.com/simple", A),
        ("https://A.example.com:443/simple//", A),
        ("https://other:login@b.example.com/simple/", B),
        ("https://a.example.com/", A),
        ("https://b.example.com/+simple/", B),
        ("http://a.example.com/simple/", None),
        ("https://a.example.com:8443/simple/", None),
        ("https://a.example.com/simple/team/", None),
        ("https://a.example.com/Simple/", None),
        ("https://a.example.com.evil.example/simple/", None),
        ("https://a.example.com:x/simple/", None),
        ("../wheels", None),
        ("", None),
    ],
)
def test_two_spellings_of_one_index_are_one_and_two_indexes_never(written: str, meant: Index | None) -> None:
    assert configured(written, [A, B]) == meant


def test_simple_at_the_end_counts_where_the_same_url_is_there_or_two_may_be_meant() -> None:
    root, simple, devpi = (Index(f"https://a.example.com/{path}") for path in ("", "simple/", "+simple/"))
    assert configured("https://a.example.com/", [simple, root]) == root
    assert configured("https://a.example.com/simple", [root, simple]) == simple
    assert configured("https://a.example.com", [simple, devpi]) is None


def test_a_locked_project_comes_from_the_index_of_its_lock_alone() -> None:
    indexes = bound([A, B], locks(package("torch", "https://b.example.com/simple/"), package("flask", A.url)))
    assert [index.name for index in binding_of("torch", indexes).indexes] == ["b"]
    assert [index.url for index in binding_of("flask", indexes).indexes] == [A.url]
    assert len(binding_of("other", indexes).indexes) == 2
    assert "the index that a lock or project binds it to" in reason_of_absence("torch", indexes)


@pytest.mark.parametrize("index", [None, "", "https://proxy.example.com/simple/"])
def test_an_index_that_is_not_configured_changes_nothing(index: str | None) -> None:
    assert bound([A, B], locks(package("torch", index))) == (A, B)


def test_what_comes_from_a_source_of_its_own_is_bound_to_no_index() -> None:
    assert bound([A, B], locks(package("torch", A.url, "git+https://git.example.com/torch@4f1c"))) == (A, B)


def test_patterns_under_projects_count_more_than_locks() -> None:
    ours = Index("https://ours.example.com/", projects=("torch",))
    indexes = bound([A, ours], locks(package("torch", A.url), package("flask", ours.url)))
    assert binding_of("torch", indexes).indexes == (ours,)
    assert binding_of("flask", indexes).indexes == (A,)  # an index with projects serves nothing else


def test_locks_that_disagree_are_a_fault_that_names_both() -> None:
    faults: list[Fault] = []
    two = locks(package("torch", B.url), name="tool/poetry.lock", number=3)
    bind_locked([A, B], [locks(package("torch", A.url), package("flask", A.url)), two], faults)
    assert [str(fault) for fault in faults] == [
        "requirements[3].lock: tool/poetry.lock takes torch 1 from b, and app/uv.lock (requirements[0]) takes it from "
        "https://a.example.com/simple/; a mirror has a release from one index: bind torch to that with projects, or "
        "make a mirror for each"
    ]


def test_a_lock_that_takes_a_release_from_two_indexes_is_a_fault_unless_projects_decides() -> None:
    lock = locks(package("torch", A.url), package("torch", B.url))
    faults: list[Fault] = []
    bind_locked([A, B], [lock], faults)
    assert ["and it takes it from" in fault.problem for fault in faults] == [True]
    ours = Index("https://ours.example.com/", projects=("torch",))
    bound([A, B, ours], lock)


def served(name: str, indexes: Sequence[Index]) -> tuple[list[str], list[str]]:
    """Return the names of the indexes that serve a project, and of those that add what locks name."""
    binding = binding_of(name, indexes)
    return [one.name for one in binding.indexes], [one.name for one in binding.further]


C, D = Index("https://c.example.com/simple/", name="c"), Index("https://d.example.com/simple/", name="d")


def test_of_the_indexes_that_locks_take_a_project_from_the_first_serves_it_and_the_others_add_to_it() -> None:
    one = locks(package("torch", D.url, version="1+cu"), package("torch", C.url), package("flask", D.url))
    two = locks(package("torch", D.url, version="2+cu"), package("torch", "https://proxy.example.com/", version="3"))
    indexes = bound([B, C, D], one, two)
    assert served("torch", indexes) == (["c"], ["d"])
    assert served("flask", indexes) == (["d"], [])
    assert served("other", indexes) == (["b", "c", "d"], [])
    assert {
        version: [file.filename for file in files] for version, files in taken(indexes[2], indexes, one, two).items()
    } == {
        "1+cu": ["torch-1+cu-py3-none-any.whl"],
        "2+cu": ["torch-2+cu-py3-none-any.whl"],
    }


def test_what_a_lock_names_no_index_for_may_be_on_any_that_it_does_not_name_for_the_project() -> None:
    """Poetry names none where it asked the one of everyone; a lock that names none at all, as PDM's, changes nothing."""
    lock = locks(package("torch", D.url, version="1+cpu"), package("torch", None, version="2"), package("flask", None))
    other = locks(package("flask", D.url), package("torch", None, version="3"), name="pdm.lock", number=1)
    ours = replace(B, projects=("ours",))
    indexes = bound([ours, C, D], lock, other)
    assert served("torch", indexes) == (["d"], ["c"])
    assert list(taken(indexes[1], indexes, lock, other)) == ["2"]
    assert served("flask", indexes) == (["d"], [])
    assert served("torch", bound([C, replace(D, projects=("torch",))], lock)) == (["d"], [])


def taken(index: Index, indexes: Sequence[Index], *roots: Root) -> dict[str, list[LockedFile]]:
    return {str(version): files for version, files in further_files(indexes, roots)["torch", index].items()}


def project(*indexes: Index) -> Root:
    named = tuple(NamedIndex(one.name, one.url) for one in indexes)
    line = RequestedRequirement(requirement=Requirement("torch"), indexes=named, where="pyproject.toml")
    return Root(name="pyproject.toml", key_path="requirements[1]", requirements=(line,))


def test_the_index_that_a_project_names_serves_it_whatever_the_order() -> None:
    assert served("torch", bound([C, D], locks(package("torch", C.url)), project(D))) == (["d"], ["c"])


def test_indexes_that_a_project_names_are_no_matter_where_projects_decides() -> None:
    ours = replace(B, projects=("torch",))
    assert served("torch", bound([C, D, ours], project(C, D))) == (["b"], [])
    assert served("torch", bound([C, replace(D, projects=("flask",))], project(D))) == (["c"], [])


def test_only_indexes_with_a_pattern_for_it_add_to_a_project_that_projects_binds() -> None:
    one, two = replace(B, projects=("torch",)), replace(D, projects=("t*",))
    lock = locks(package("torch", C.url), package("torch", D.url, version="2"), package("torch", B.url, version="3"))
    assert served("torch", bound([C, one, two], lock)) == (["b"], ["d"])
    assert served("torch", bound([replace(C, projects=("*",)), one, D], lock)) == (["c"], ["b"])


def test_why_an_index_that_a_lock_names_is_not_asked_is_told() -> None:
    torch = package("torch", D.url)
    assert "projects: t* there binds it to another" in why_not_asked(torch, [D, replace(B, projects=("t*",))])
    assert "projects: no pattern there matches it" in why_not_asked(torch, [C, replace(D, projects=("flask",))])
    asked = [[C, D], [replace(B, projects=("torch",)), replace(D, projects=("torch",))], [C], None]
    assert [why_not_asked(torch, indexes) for indexes in asked] == [""] * 4


def test_a_lock_that_takes_a_release_from_a_further_index_without_a_hash_is_a_fault() -> None:
    faults: list[Fault] = []
    bind_locked([C, D], [locks(package("torch", C.url), package("torch", D.url, version="2", sha256=""))], faults)
    assert [str(fault) for fault in faults] == [
        "requirements[0].lock: app/uv.lock takes torch 2 from d and gives no sha256 of torch-2-py3-none-any.whl, without which "
        "nothing is added to what c has of the project; lock it with hashes, or bind it with projects"
    ]
    bound([C, D], locks(package("torch", C.url, sha256=""), package("torch", D.url, version="2")))


def test_what_the_user_brings_along_is_bound_to_no_index_whatever_locks_say() -> None:
    faults: list[Fault] = []
    lock = locks(package("torch", A.url), package("torch", B.url))
    assert bind_locked([A, B], [lock], faults, frozenset({"torch"})) == (A, B)
    assert faults == []


def test_a_locked_project_that_its_index_lacks_is_not_asked_of_another() -> None:
    with FakeIndex({"torch": [wheel("torch", "1")]}) as other, FakeIndex({}) as named:
        indexes = bound([Index(other.url), Index(named.url)], locks(package("torch", named.url)))
        with (
            Upstream(indexes) as upstream,
            pytest.raises(UpstreamError, match="a lock or project takes it from that index") as gone,
        ):
            upstream.page("torch", None)
        assert gone.value.status == 404
        assert other.log == []


# --- From mirror.yaml to the mirror


def pylock(index: FakeIndex, filename: str, content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    file = f'{{name = "{filename}", url = "https://files.example.com/{filename}", hashes = {{sha256 = "{sha256}"}}}}'
    return (
        'lock-version = "1.0"\ncreated-by = "tests"\n[[packages]]\nname = "torch"\nversion = "1"\n'
        f'index = "{index.url.rstrip("/")}"\nwheels = [{file}]\n'
    )


def test_a_mirror_has_the_file_that_a_lock_took_from_the_second_of_two_indexes(tmp_path: Path) -> None:
    """Of the same name on both: the other one's has another hash, and would be a fault of the lock."""
    ours, theirs = wheel("torch", "1"), wheel("torch", "1", requires=["other"])
    project = mirror_folder(tmp_path, None)
    with (
        FakeIndex({"torch": [theirs], "flask": [wheel("flask", "1")]}) as first,
        FakeIndex({"torch": [ours]}) as second,
    ):
        (tmp_path / "pylock.toml").write_text(pylock(second, *ours), encoding="utf-8")
        entries = [first.url, {"url": second.url, "name": "second"}]
        project.configure(entries, requirements=[{"lock": "pylock.toml"}, "flask"])
        project.mirrored()
        assert (project.output / "packages" / "torch" / ours[0]).read_bytes() == ours[1]
        assert first.requests["/simple/torch/"] == 0
        assert second.requests["/simple/flask/"] == 0

        (tmp_path / "pylock.other.toml").write_text(pylock(first, *theirs), encoding="utf-8")
        project.configure(entries, requirements=[{"lock": "pylock.toml"}, {"lock": "pylock.other.toml"}])
        done = project.doit("mirror")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "requirements[1].lock: pylock.other.toml takes torch 1 from " in said
    assert "and pylock.toml (requirements[0]) takes it from second" in said
