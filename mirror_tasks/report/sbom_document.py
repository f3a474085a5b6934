"""The documents of :mod:`mirror_tasks.report.sbom`, in the model of ``cyclonedx-python-lib``, which only this imports.

What stands for what:

- a component is a release, with its purl; each of its files is a reference of the kind "distribution" with hashes;
- what a release requires, and what building its sdist requires, is what it depends on; the mirror depends on what its
  roots ask for;
- the scope is "required", or "excluded" for what is there only so that something can be built, or "optional" for what left
  the plan and is kept for locks;
- what CycloneDX has no word for are properties, whose names begin with "mirror-tasks:".
"""

from __future__ import annotations

import datetime
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any
from urllib.parse import quote

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Part
from cyclonedx.model.component import ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema.schema import SchemaVersion1Dot6
from cyclonedx.spdx import is_supported_id

from mirror_tasks.policy.licences import Licence
from mirror_tasks.report.carried_sboms import CarriedSboms
from mirror_tasks.report.components import Component
from mirror_tasks.report.graph import Key
from mirror_tasks.report.purls import purl_of, ref_of
from mirror_tasks.report.sbom_subject import CARRIED, Subject, name_of
from mirror_tasks.report.sbom_vulnerabilities import vulnerabilities
from mirror_tasks.resolve.plan import PlannedFile, Waived

_LONGEST = 500  # characters of foreign text
_MOST_SAID = 50  # texts on the licence of a release
_ALGORITHMS = {
    "md5": HashAlgorithm.MD5,
    "sha1": HashAlgorithm.SHA_1,
    "sha256": HashAlgorithm.SHA_256,
    "sha384": HashAlgorithm.SHA_384,
    "sha512": HashAlgorithm.SHA_512,
}
_MIDNIGHT = datetime.time(tzinfo=datetime.timezone.utc)


class Documents:
    """Makes the documents of a mirror; what is the same in several is made once.

    The library's model of a whole document takes time by the square of its size, so that components are written one by one.
    """

    def __init__(self, components: Sequence[Component], waived: Sequence[Waived], carried: CarriedSboms) -> None:
        self._components = components
        self._waived = waived
        self._carried = carried
        self._made: dict[tuple[Key, ComponentScope, tuple[str, ...]], Mapping[str, Any]] = {}

    def document(self, subject: Subject) -> Mapping[str, Any]:
        """Return a document as JSON has it; its time and serial number are not final."""
        there = [one for one in self._components if subject.environment is None or subject.has(one.environments)]
        scopes, whole = _scopes(there, subject), _whole(subject)
        bom = Bom(metadata=_metadata(whole, subject), vulnerabilities=vulnerabilities(there, self._waived))
        made: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
        made["components"] = [self._component(one, scopes[one.key], subject) for one in there]
        made["dependencies"] = list(_dependencies(whole, there, subject))
        return made

    def _component(self, one: Component, scope: ComponentScope, subject: Subject) -> Mapping[str, Any]:
        files = [file for file in one.files if subject.has(file.environments)]
        key = (one.key, scope, tuple(file.filename for file in files))
        if key not in self._made:
            part: Any = _part(one, scope, files, self._carried)  # its methods are given by a decorator
            self._made[key] = json.loads(part.as_json(view_=SchemaVersion1Dot6))
        return self._made[key]


def _metadata(whole: Part, subject: Subject) -> BomMetaData:
    day = datetime.date.fromisoformat(subject.day or "1970-01-01")
    tool = Part(type=ComponentType.APPLICATION, name="mirror-tasks", version=version_of("mirror-tasks"))
    return BomMetaData(
        component=whole,
        timestamp=datetime.datetime.combine(day, _MIDNIGHT),
        tools=ToolRepository(components=[tool]),
        properties=[_property("advisories", subject.source or "not checked")],
    )


def _whole(subject: Subject) -> Part:
    """Return what the document is of: the mirror, or an environment of it."""
    if subject.environment is not None:
        return Part(
            type=ComponentType.PLATFORM,
            name=subject.environment,
            bom_ref=f"environment:{subject.environment}",
            description=f"what the mirror {subject.mirror} has for this environment",
        )
    others = (_reference(ExternalReferenceType.BOM, name_of(name), name) for name in subject.environments)
    return Part(
        type=ComponentType.DATA,
        name=subject.mirror,
        bom_ref="mirror",
        description="a mirror of Python packages",
        external_references=others,
    )


# Components


def _part(one: Component, scope: ComponentScope, files: Sequence[PlannedFile], carried: CarriedSboms) -> Part:
    return Part(
        type=ComponentType.LIBRARY,
        name=one.project,
        version=one.version,
        bom_ref=ref_of(one.key),
        purl=purl_of(one.key),
        description=_brief(one.summary or "") or None,
        scope=scope,
        # Of a release with several files it would not say of which.
        hashes=_hashes(files[0]) if len(files) == 1 else (),
        licenses=_licences(one.licence),
        external_references=[*map(_distribution, files), *_carried(files, carried)],
        properties=_properties(one, files, carried),
    )


def _hashes(file: PlannedFile) -> Iterator[HashType]:
    for name, digest in file.file.hashes.items():
        if name in _ALGORITHMS:
            yield HashType(alg=_ALGORITHMS[name], content=digest)


def _distribution(file: PlannedFile) -> ExternalReference:
    """Return the reference to a file: where its index has it; one of the user's own, where it is in the mirror."""
    url = file.file.url
    if not url.startswith(("https:", "http:")):
        url = f"packages/{file.project}/{file.filename}"
    size = "size unknown" if file.size is None else f"{file.size} bytes"
    told = f"{file.filename}; {size}; {', '.join(file.environments)}"
    return _reference(ExternalReferenceType.DISTRIBUTION, url, told, _hashes(file))


def _carried(files: Iterable[PlannedFile], carried: CarriedSboms) -> Iterator[ExternalReference]:
    for file in files:
        for one in carried.by_wheel.get(file.filename, ()):
            told = f"carried by {file.filename} as {_brief(one.path)}"
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=one.sha256)]
            yield _reference(ExternalReferenceType.BOM, f"{CARRIED}/{one.name}", told, hashes)


def _reference(
    kind: ExternalReferenceType, url: str, comment: str, hashes: Iterable[HashType] = ()
) -> ExternalReference:
    quoted = quote(url, safe="%/:?#[]@!$&'()*+,;=~")
    return ExternalReference(type=kind, url=XsUri(quoted), comment=comment, hashes=hashes)


def _licences(licence: Licence) -> Iterator[License]:
    """Yield the licence; of one that is unknown, each text that names one, as it stands there."""
    declared = LicenseAcknowledgement.DECLARED
    if licence.expression is None:
        named = dict.fromkeys(_brief(text) for field, text in licence.said if field != "License-File" and text)
        yield from (DisjunctiveLicense(name=text, acknowledgement=declared) for text in [*named][:_MOST_SAID])
    elif is_supported_id(licence.expression):
        yield DisjunctiveLicense(id=licence.expression, acknowledgement=declared)
    else:
        yield LicenseExpression(licence.expression, acknowledgement=declared)


def _properties(one: Component, files: Iterable[PlannedFile], carried: CarriedSboms) -> Iterator[Property]:
    values = {
        "environment": one.environments,
        "asked-by": one.asked_by,
        "index": one.indexes.values(),
        "kept": one.kept.values(),
        "licence-source": [one.licence.source],
        "licence-problem": [one.licence.problem],
        "licence-file": [text for field, text in one.licence.said if field == "License-File"][:_MOST_SAID],
        "unread": [one.unread],
        "advisories": ["not checked"] if one.matches is None else [],
        "unread-sboms": [carried.problems.get(file.filename, "") for file in files],
    }
    for name, texts in values.items():
        yield from (_property(name, _brief(text)) for text in dict.fromkeys(texts) if text)


def _property(name: str, value: str) -> Property:
    return Property(name=f"mirror-tasks:{name}", value=value)


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


# The graph


def _scopes(components: Sequence[Component], subject: Subject) -> Mapping[Key, ComponentScope]:
    by_key = {one.key: one for one in components}
    todo = deque(key for key, one in by_key.items() if subject.has(one.direct))
    installed = set(todo)
    while todo:
        for other in _others(by_key[todo.popleft()].requires, subject):
            if other in by_key and other not in installed:
                installed.add(other)
                todo.append(other)
    kept = {one.key for one in components if not one.environments}
    return {
        key: ComponentScope.REQUIRED
        if key in installed
        else ComponentScope.OPTIONAL
        if key in kept
        else ComponentScope.EXCLUDED
        for key in by_key
    }


def _others(edges: Mapping[str, tuple[Key, ...]], subject: Subject) -> Iterator[Key]:
    for name, keys in edges.items():
        if subject.has([name]):
            yield from keys


def _dependencies(whole: Part, components: Sequence[Component], subject: Subject) -> Iterator[Mapping[str, Any]]:
    there = {one.key for one in components}
    yield _edges(str(whole.bom_ref), [one.key for one in components if subject.has(one.direct)])
    for one in components:
        others = {*_others(one.requires, subject), *_others(one.built_with, subject)}
        yield _edges(ref_of(one.key), others & there)


def _edges(ref: str, others: Iterable[Key]) -> Mapping[str, Any]:
    return {"ref": ref, "dependsOn": sorted(map(ref_of, others))}
