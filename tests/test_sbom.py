"""The SBOM is valid CycloneDX 1.6 and says what the mirror is made of: files, licences, the graph, vulnerabilities."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mirror_tasks.policy.advisories import Match
from mirror_tasks.policy.licences import Licence
from mirror_tasks.report.carried_sboms import CarriedSbom, CarriedSboms
from mirror_tasks.report.components import components
from mirror_tasks.report.sbom import MissingLibraryError, sboms
from mirror_tasks.resolve.plan import Judged, KeptFile, PlannedFile, Waived
from mirror_tasks.tasks.dossiers import Gatherer
from tests.components_world import BOTH, INDEX, planned
from tests.test_people_browser import needed, needed_module

if TYPE_CHECKING:
    from cyclonedx.validation.json import JsonStrictValidator

WORLD = {
    "environments": BOTH,
    "requirements": ["app>=1"],
    "index": {
        "app": {"1": {"requires": ["lib", "win; sys_platform == 'win32'"], "build_requires": ["tool"]}},
        "lib": {"2": {"files": ["py3-none-any"]}, "1": {}},
        "win": {"1": {"files": ["cp312-cp312-win_amd64"], "requires": ["lib"]}},
        "tool": {"1": {"files": ["py3-none-any"]}},
    },
}
NOTHING = CarriedSboms({}, {})
WHEEL = "lib-2-py3-none-any.whl"
CARRIED = CarriedSboms({WHEEL: (CarriedSbom("lib.cdx.json", f"{WHEEL}/lib.cdx.json", "0" * 64, b"{}"),)}, {})
HOLE = Match(
    "GHSA-aaaa-bbbb-cccc", ("CVE-2026-1", "PYSEC-2026-2"), "moderate", "CVSS 3.1: 5.0", False, "a hole", ("3",)
)
MALWARE = Match("MAL-2026-1", (), "critical", "malware", True, "steals keys", ())
WAIVED = Waived(
    "lib", "2", "lib-2-py3-none-any.whl", "advisories", "…", HOLE.id, "not reachable", "2027-01-31", "policy[0]"
)


@cache
def validator() -> JsonStrictValidator:
    """Return what judges a document, imported by who asks for it alone: the grammars of IRIs take seconds."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from jsonschema import Draft7Validator

    checkers = Draft7Validator.FORMAT_CHECKER.checkers
    check, raises = checkers["iri-reference"]
    checkers["iri-reference"] = (cache(check), raises)  # judging an IRI takes a tenth of a second
    return JsonStrictValidator(SchemaVersion.V1_6)


def assert_valid(*documents: bytes) -> None:
    for content in documents:
        assert validator().validate_str(content.decode()) is None


class World:
    """A mirror, and what is said of it."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.plan = planned(WORLD, folder)
        self.components = components(self.mirror, self.plan, None)

    def change(self, name: str, **changes: Any) -> None:
        self.components = tuple(replace(one, **changes) if one.project == name else one for one in self.components)

    def make_full(self) -> None:
        """Have everything in it that there can be."""
        said = (("License", "our own"), ("License-File", "LICENCE"))
        self.change("app", licence=Licence("MIT", "License-Expression", (), ""))
        self.change("lib", licence=Licence("MIT OR LicenseRef-own", "License-Expression", (), ""), matches=(HOLE,))
        self.change("tool", licence=Licence(None, "", said, "which one?"), matches=(HOLE, MALWARE))
        self.change("win", unread="no wheel")
        self.plan = replace(self.plan, judged=Judged("2026-11-26", "0" * 64), waived=(WAIVED,))

    def made(self, **options: Any) -> dict[str, bytes]:
        settings: dict[str, Any] = {"mirror": "mirror", "source": "", "carried": NOTHING, **options}
        return dict(sboms(self.components, self.plan, settings.pop("carried"), **settings))

    def of(self, name: str = "sbom.cdx.json", **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.made(**options)[name])
        return found

    def part(self, project: str, document: str = "sbom.cdx.json", **options: Any) -> dict[str, Any]:
        (found,) = (one for one in self.of(document, **options)["components"] if one["name"] == project)
        return dict(found)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def graph(document: Mapping[str, Any]) -> dict[str, list[str]]:
    return {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}


def properties(part: Mapping[str, Any], name: str) -> list[str]:
    return [one["value"] for one in part.get("properties", ()) if one["name"] == f"mirror-tasks:{name}"]


# The documents


def test_what_has_everything_in_it_is_valid(world: World) -> None:
    world.make_full()
    assert_valid(*world.made(carried=CARRIED, source="all.zip").values())


def test_there_is_one_of_all_and_one_for_each_environment_with_what_is_for_it(world: World) -> None:
    made = world.made()
    names = {name: [one["name"] for one in json.loads(content)["components"]] for name, content in made.items()}
    assert names == {
        "sbom.cdx.json": ["app", "lib", "tool", "win"],
        "sbom-linux.cdx.json": ["app", "lib", "tool"],
        "sbom-windows.cdx.json": ["app", "lib", "tool", "win"],
    }
    references = world.of()["metadata"]["component"]["externalReferences"]
    assert [one["url"] for one in references] == ["sbom-linux.cdx.json", "sbom-windows.cdx.json"]
    assert world.of("sbom-linux.cdx.json")["metadata"]["component"]["name"] == "linux"


def test_the_same_mirror_gives_the_same_bytes_and_another_one_another_serial_number(
    world: World, tmp_path: Path
) -> None:
    first = world.made()
    again = World(tmp_path)
    assert again.made() == first
    numbers = {json.loads(content)["serialNumber"] for content in first.values()}
    again.change("lib", summary="another text")
    numbers |= {json.loads(content)["serialNumber"] for content in again.made().values()}
    assert len(numbers) == 6


def test_its_time_is_the_day_of_judging_or_it_has_none(world: World) -> None:
    assert "timestamp" not in world.of()["metadata"]
    world.plan = replace(world.plan, judged=Judged("2026-11-26", "0" * 64))
    assert world.of()["metadata"]["timestamp"] == "2026-11-26T00:00:00+00:00"


def test_an_empty_mirror_has_a_valid_one_too(world: World) -> None:
    world.components = ()
    assert_valid(*world.made().values())


def test_without_the_library_the_error_says_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mirror_tasks.report.sbom_document", raising=False)
    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'mirror-tasks\[report\]'"):
        sboms(world.components, world.plan, NOTHING, mirror="mirror", source="")


def test_a_report_without_the_library_has_all_the_rest_and_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Gatherer(world.mirror).report(world.plan, None)
    assert {"packages.csv", "sbom.cdx.json", "sbom-linux.cdx.json", "sbom-windows.cdx.json"} <= set(whole.files)
    assert whole.lacks == ()
    monkeypatch.delitem(sys.modules, "mirror_tasks.report.sbom_document", raising=False)
    monkeypatch.setitem(sys.modules, "cyclonedx.model", None)
    without = Gatherer(world.mirror).report(world.plan, None)
    assert set(whole.files) - set(without.files) == {name for name in whole.files if name.startswith("sbom")}
    assert "pip install 'mirror-tasks[report]'" in without.lacks[0]


def test_a_version_with_a_local_part_is_the_same_wherever_it_is_named(world: World) -> None:
    world.change("lib", version="2+cpu", matches=(HOLE,))
    document = world.of()
    ref = world.part("lib")["bom-ref"]
    assert ref == "pkg:pypi/lib@2%2Bcpu"
    assert ref in graph(document)
    assert document["vulnerabilities"][0]["affects"][0]["ref"] == ref


# Components


def test_a_release_has_its_purl_and_each_file_with_its_hash(world: World) -> None:
    app = world.part("app")
    assert (app["purl"], app["version"], app["type"]) == ("pkg:pypi/app@1", "1", "library")
    wheel, tar = app["externalReferences"]
    assert wheel["type"] == "distribution"
    assert wheel["url"] == "https://index.example.com/packages/app-1-py3-none-any.whl"
    assert wheel["comment"] == "app-1-py3-none-any.whl; 1000 bytes; linux, windows"
    assert wheel["hashes"] == [{"alg": "SHA-256", "content": world.components[0].files[0].sha256}]
    assert tar["url"].endswith("app-1.tar.gz")


def test_of_a_release_with_one_file_the_hash_is_the_components_own_too(world: World) -> None:
    assert "hashes" not in world.part("app")
    lib = world.part("lib")
    assert lib["hashes"] == lib["externalReferences"][0]["hashes"]


def test_no_path_of_this_machine_is_told(world: World) -> None:
    file = world.components[1].files[0]
    own = replace(file, file=replace(file.file, url="file:///home/somebody/lib-2-py3-none-any.whl"))
    world.change("lib", files=(own,))
    assert world.part("lib")["externalReferences"][0]["url"] == "packages/lib/lib-2-py3-none-any.whl"


def test_who_asked_where_from_and_for_what_is_told(world: World) -> None:
    lib = world.part("lib")
    assert properties(lib, "asked-by") == ["app>=1"]
    assert properties(lib, "environment") == ["linux", "windows"]
    assert properties(lib, "index") == [INDEX]
    assert properties(lib, "advisories") == ["not checked"]


def test_a_licence_is_an_identifier_an_expression_or_what_is_said(world: World) -> None:
    world.change("app", licence=Licence("MIT", "License-Expression", (), ""))
    world.change("lib", licence=Licence("MIT OR LicenseRef-own", "License-Expression", (), ""))
    said = (("License", "our own"), ("License-File", "LICENCE"))
    world.change(
        "tool", licence=Licence(None, "", said, "License says 'our own', which is neither SPDX nor a known name")
    )
    assert world.part("app")["licenses"] == [{"license": {"id": "MIT", "acknowledgement": "declared"}}]
    assert world.part("lib")["licenses"] == [{"expression": "MIT OR LicenseRef-own", "acknowledgement": "declared"}]
    tool = world.part("tool")
    assert tool["licenses"] == [{"license": {"name": "our own", "acknowledgement": "declared"}}]
    assert properties(tool, "licence-problem")[0].startswith("License says 'our own'")
    assert properties(tool, "licence-file") == ["LICENCE"]


def test_what_nobody_could_read_is_told(world: World) -> None:
    world.change("lib", unread="no wheel", licence=Licence(None, "", (), "no wheel"), summary=None)
    assert properties(world.part("lib"), "unread") == ["no wheel"]


@pytest.mark.parametrize("text", ["x" * 100_000, "\x00\x1b[31m\ud7ff", "<script>", "a\r\nb"])
def test_foreign_text_leaves_it_valid_and_brief(world: World, text: str) -> None:
    said = (("License", text),)
    world.change("lib", summary=text, licence=Licence(None, "", said, text), matches=(replace(HOLE, summary=text),))
    made = world.made()["sbom.cdx.json"]
    assert_valid(made)
    assert len(made) < 20_000


def test_a_project_that_says_a_thousand_licences_makes_no_document_long(world: World) -> None:
    said = tuple((field, f"{number}") for field in ("Classifier", "License-File") for number in range(1000))
    world.change("lib", licence=Licence(None, "", said, "many"))
    lib = world.part("lib")
    assert (len(lib["licenses"]), len(properties(lib, "licence-file"))) == (50, 50)


# The graph


def test_the_graph_is_that_of_the_environment(world: World) -> None:
    linux, windows = graph(world.of("sbom-linux.cdx.json")), graph(world.of("sbom-windows.cdx.json"))
    assert linux == {
        "environment:linux": ["pkg:pypi/app@1"],
        "pkg:pypi/app@1": ["pkg:pypi/lib@2", "pkg:pypi/tool@1"],
        "pkg:pypi/lib@2": [],
        "pkg:pypi/tool@1": [],
    }
    assert windows["pkg:pypi/app@1"] == ["pkg:pypi/lib@2", "pkg:pypi/tool@1", "pkg:pypi/win@1"]
    assert graph(world.of())["mirror"] == ["pkg:pypi/app@1"]


def test_what_is_there_only_to_build_or_only_kept_is_told_by_its_scope(world: World) -> None:
    wheel = world.components[0].files[0]
    old = PlannedFile(replace(wheel.file, filename="old-1-py3-none-any.whl"), "old", "1", ("linux",))
    world.plan = replace(world.plan, kept=(KeptFile(old, "2026-11-01", until="2027-01-30"),))
    world.components = components(world.mirror, world.plan, None)
    scopes = {one["name"]: one["scope"] for one in world.of()["components"]}
    expected = {"app": "required", "lib": "required", "old": "optional", "tool": "excluded", "win": "required"}
    assert scopes == expected
    assert properties(world.part("old"), "kept")[0].startswith("left the plan on 2026-11-01")
    assert "old" not in [one["name"] for one in world.of("sbom-linux.cdx.json")["components"]]


# Vulnerabilities


def test_an_advisory_is_told_once_with_all_that_it_affects(world: World) -> None:
    for name in ("lib", "tool"):
        world.change(name, matches=(HOLE,))
    (found,) = world.of(source="all.zip")["vulnerabilities"]
    assert found["id"] == HOLE.id
    assert {one["id"]: one["source"]["name"] for one in found["references"]} == {
        "CVE-2026-1": "NVD",
        "PYSEC-2026-2": "OSV",
    }
    assert found["ratings"] == [{"severity": "medium", "justification": "CVSS 3.1: 5.0"}]
    assert (found["description"], found["recommendation"]) == ("a hole", "fixed in 3")
    assert [one["ref"] for one in found["affects"]] == ["pkg:pypi/lib@2", "pkg:pypi/tool@1"]
    assert found["affects"][0]["versions"] == [{"version": "2", "status": "affected"}]
    assert "analysis" not in found
    assert properties(world.of(source="all.zip")["metadata"], "advisories") == ["all.zip"]


def test_what_is_waived_has_a_state_and_says_why_and_until_when(world: World) -> None:
    for name in ("lib", "tool"):
        world.change(name, matches=(HOLE,))
    world.plan = replace(world.plan, waived=(WAIVED,))
    plain, waived = world.of()["vulnerabilities"]
    assert ([one["ref"] for one in plain["affects"]], "analysis" in plain) == (["pkg:pypi/tool@1"], False)
    assert [one["ref"] for one in waived["affects"]] == ["pkg:pypi/lib@2"]
    assert waived["analysis"] == {"state": "exploitable", "detail": "let in until 2027-01-31, policy[0]: not reachable"}


def test_an_environment_has_the_advisories_on_what_is_for_it(world: World) -> None:
    world.change("win", matches=(MALWARE,))
    assert "vulnerabilities" not in world.of("sbom-linux.cdx.json")
    (found,) = world.of("sbom-windows.cdx.json")["vulnerabilities"]
    assert (found["ratings"][0]["severity"], properties(found, "malware")) == ("critical", ["true"])


# SBOMs that wheels carry


def test_an_sbom_that_a_wheel_carries_is_named_with_its_place_and_hash(world: World) -> None:
    references = world.part("lib", carried=CARRIED)["externalReferences"]
    assert references[0] == {
        "type": "bom",
        "url": f"sboms/{WHEEL}/lib.cdx.json",
        "comment": f"carried by {WHEEL} as lib.cdx.json",
        "hashes": [{"alg": "SHA-256", "content": "0" * 64}],
    }
    unread = world.part("lib", carried=CarriedSboms({}, {WHEEL: "too large"}))
    assert properties(unread, "unread-sboms") == ["too large"]


# Another reader

READER = """
const { readFileSync } = require("fs");
const { Validation, Spec } = require("@cyclonedx/cyclonedx-library");
const { PackageURL } = require("packageurl-js");
(async () => {
  for (const path of process.argv.slice(1)) {
    const text = readFileSync(path, "utf8");
    const fault = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text);
    if (fault !== null) throw new Error(path + ": " + JSON.stringify(fault));
    const { components } = JSON.parse(text);
    console.log(components.map((one) => PackageURL.fromString(one.purl).name).join(" "));
  }
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.clients
def test_the_javascript_library_of_cyclonedx_finds_it_valid_and_reads_its_purls(world: World, tmp_path: Path) -> None:
    node = needed("node", shutil.which("node"))
    for name in ("@cyclonedx/cyclonedx-library", "ajv", "packageurl-js"):
        needed_module(node, name)
    world.make_full()
    paths = []
    for name, content in world.made().items():
        (tmp_path / name).write_bytes(content)
        paths.append(name)
    done = subprocess.run([node, "-e", READER, *paths], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["app lib tool win", "app lib tool", "app lib tool win"]
