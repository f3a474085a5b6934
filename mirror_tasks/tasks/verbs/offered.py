"""The verbs as doit lists them: the name of each, its options, and what is said of it.

What a verb does stands in the module of its name, which its action imports: a command does one verb, and `doit list` none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from doit.task import Task

from mirror_tasks.prove.proven import proof_path, proven_path
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.tasks.verbs.making import doit_command, verb, words_with_a_sign
from mirror_tasks.tasks.workshop import Workshop

_SINCE = option("since", "", "compare with this plan.json, not with what is inside or the last report")
_FORMAT = {
    **option("format", "text", "json: for programs"),
    "choices": (("text", "for people"), ("json", "for programs")),
}
_PYTHON = option("python", sys.executable, "the interpreter to describe")


def _bugs(mirror: Mirror) -> Path:
    return mirror.config.state / "bugs"


def environment(name: str) -> Task:
    """Describe an interpreter; needs no ``mirror.yaml``."""

    def answer(python: str) -> object:
        from mirror_tasks.tasks.verbs.describe import print_environment

        return attempt(print_environment, python)

    doc = "prints the mirror.yaml block of an interpreter (by default of this one)"
    return verb(name, answer, doc, [_PYTHON])


def requirements(name: str) -> Task:
    """Describe what is installed; needs no ``mirror.yaml``."""

    def answer(pin: str, python: str) -> object:
        from mirror_tasks.tasks.verbs.describe import print_requirements

        return attempt(print_requirements, pin, python)

    pin = {
        **option("pin", "==", "how each is pinned"),
        "choices": (("==", "to its version"), (">=", "to its version or a newer one"), ("none", "names only")),
    }
    doc = "prints what is installed in an environment, as requirement lines"
    return verb(name, answer, doc, [pin, _PYTHON])


def serve(name: str, output: Path) -> Task:
    """Serve the mirror, for this machine to try it."""

    def answer(host: str, port: int) -> object:
        from mirror_tasks.tasks.verbs.serve import serve

        return attempt(serve, output, host, port)

    params = [
        option("host", "127.0.0.1", "the address to listen on"),
        option("port", 8080, "the port to listen on"),
    ]
    return verb(name, answer, "serves the mirror as it is, with its own server.py", params)


def prune(name: str, mirror: Mirror) -> Task:
    """Delete what is not published."""

    def answer(dry_run: bool) -> object:
        from mirror_tasks.tasks.verbs.prune import prune

        return attempt(prune, mirror, dry_run)

    params = [{**option("dry_run", False, "only say what would be deleted"), "long": "dry-run"}]
    return verb(name, answer, "deletes what is not published any more; says what first", params, _bugs(mirror))


def prove(name: str, mirror: Mirror, after: Sequence[str] = ()) -> Task:
    """Prove every root installable on every environment.

    :param after: tasks that it waits for, here and below.
    """

    def answer(install: bool, build: bool, own: bool) -> object:
        from mirror_tasks.tasks.verbs.prove import prove

        return attempt(prove, mirror, install, build, own)

    params = [
        option(
            "install", False, "also install each requirement for real, where this interpreter is of the environment"
        ),
        option(
            "build",
            False,
            "also build the sdists of the requirements where a wheel fits (where none does, they are built anyway)",
        ),
        option("own", False, "only by this project's own solver, not by uv"),
    ]
    doc = "proves every requirement installable on every environment, from the mirror alone"
    targets = [str(path(mirror.config.state)) for path in (proof_path, proven_path)]
    return verb(name, answer, doc, params, _bugs(mirror), clean=True, targets=targets, task_dep=list(after))


def report(name: str, mirror: Mirror, workshop: Workshop, after: Sequence[str] = ()) -> Task:
    """Write the report."""

    def answer(since: str, format: str) -> object:  # noqa: A002 - the name of the option
        from mirror_tasks.tasks.verbs.report import report

        # Why it could not be asked who published a file, by its SHA-256, as far as it was asked before in this run.
        problems = workshop.tools.acquire.provenance.problems
        return attempt(report, mirror, problems, since, format)

    doc = "writes what is signed for: contents, licences, advisories, changes, exceptions; a page to print, and files"
    return verb(name, answer, doc, [_SINCE, _FORMAT], _bugs(mirror), task_dep=list(after))


def approve(name: str, mirror: Mirror, after: Sequence[str] = ()) -> Task:
    """Note who approves."""

    def answer(by: str, note: str) -> object:
        from mirror_tasks.tasks.verbs.approve import approve

        return attempt(approve, mirror, by, note)

    params = [
        option("by", "", "who approves"),
        option("note", "", "what is to be said with it"),
    ]
    doc = "notes who approves of the mirror, by its report: bundle refuses what is not approved, where policy.approval says so"
    return verb(name, answer, doc, params, _bugs(mirror), task_dep=list(after))


def bundle(name: str, mirror: Mirror, after: Sequence[str] = ()) -> Task:
    """Write what is not inside yet."""

    def answer(**asked: object) -> object:
        from mirror_tasks.tasks.verbs.bundle import bundle

        return attempt(bundle, mirror, asked)

    params = [
        option("sent", 0, "mark bundle N as sent: later ones build on it"),
        option("since", 0, "build on bundle N, not on what is known to be inside"),
        option("full", False, "build on nothing: carry everything"),
        option("again", "", "carry once more what this file names, which receive.py --missing wrote"),
        option("unproven", False, "also where `doit prove` did not prove all; the bundle says so"),
        option("volume", 0, "write this volume of the newest bundle once more"),
    ]
    return verb(name, answer, _bundle_doc(mirror), params, _bugs(mirror), task_dep=list(after))


def _bundle_doc(mirror: Mirror) -> str:
    """Return what `doit list` says; it is reckoned for that alone."""
    doc = "writes what is not inside yet onto a stick, signed"
    transfer = mirror.config.transfer
    if transfer is None or not doit_command().startswith("list"):
        return doc
    from mirror_tasks.transfer.outlook import outlook

    try:
        return outlook(mirror, transfer) or doc
    except OSError:  # `doit bundle` tells what
        return doc


def wanted(name: str, mirror: Mirror, workshop: Workshop) -> Task:
    """Review what clients asked for in vain."""

    def answer(accept: bool, drop: bool, names: list[str] | None) -> object:
        from mirror_tasks.tasks.verbs.wanted import review

        asked = [*(names or []), *words_with_a_sign()]
        return attempt(review, mirror, workshop.tools.acquire.pages, accept, drop, asked)

    params = [
        option("accept", False, "mirror what is named"),
        option("drop", False, "do not mirror what is named, and do not show it again"),
    ]
    doc = "shows what clients asked for in vain, and takes in what you accept of it"
    return verb(name, answer, doc, params, _bugs(mirror), pos_arg="names")


def audit(name: str, mirror: Mirror) -> Task:
    """Judge what is in the mirror already."""

    def answer(**given: str) -> object:
        from mirror_tasks.tasks.verbs.audit import audit

        return attempt(audit, mirror, given["from"], given["format"])

    named = option("from", "", "judge by this dump, a zip or a folder, and not by the one that the policy names")
    doc = "judges what is in the mirror already by a newer dump of advisories; asks nobody, changes nothing"
    return verb(name, answer, doc, [named, _FORMAT], _bugs(mirror))


def changes(name: str, mirror: Mirror) -> Task:
    """Print what changed."""

    def answer(since: str, format: str) -> object:  # noqa: A002 - the name of the option
        from mirror_tasks.tasks.verbs.changes import changes

        return attempt(changes, mirror, since, format)

    doc = "says what changed since the last report, or what is inside: projects, files, requirements, licences, advisories"
    return verb(name, answer, doc, [_SINCE, _FORMAT], _bugs(mirror))


def explain(name: str, mirror: Mirror, workshop: Workshop) -> Task:
    """Say why something is in the mirror, or why not."""

    def answer(size: bool, names: list[str] | None) -> object:
        from mirror_tasks.tasks.verbs.explain import explain

        asked = [*(names or []), *words_with_a_sign()]
        return attempt(explain, mirror, workshop.tools.acquire.pages, asked, size)

    doc = "says why a project, release or file is in the mirror, or why not"
    return verb(
        name, answer, doc, [option("size", False, "what each requirement costs")], _bugs(mirror), pos_arg="names"
    )
