"""The verbs that stand alone: each is one task, which nothing depends on and which is always due."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from doit.task import Task

from mirror_tasks.errors import ResolutionError
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks import reviewing, verbs
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.work.project_pages import ProjectPages


def environment(name: str) -> Task:
    """Describe an interpreter; needs no ``mirror.yaml``."""
    doc = "print the mirror.yaml block of an interpreter (by default of this one)"
    return _verb(name, lambda python: attempt(verbs.print_environment, python), doc, [_PYTHON])


def requirements(name: str) -> Task:
    """Describe what is installed; needs no ``mirror.yaml``."""
    pin = option("pin", "==", "==, >= or none (names only)")
    doc = "print what is installed in an environment, as requirement lines"
    return _verb(name, lambda pin, python: attempt(verbs.print_requirements, pin, python), doc, [pin, _PYTHON])


_PYTHON = option("python", sys.executable, "the interpreter to describe")


def serve(name: str, output: Path) -> Task:
    """Serve the mirror, for this machine to try it."""
    params = [
        option("host", "127.0.0.1", "the address to listen on"),
        option("port", 8080, "the port to listen on"),
    ]
    doc = "serves the mirror as it is, with its own server.py"
    return _verb(name, lambda host, port: attempt(verbs.serve, output, host, port), doc, params)


def prune(name: str, mirror: Mirror) -> Task:
    """Delete what is not published."""
    params = [{**option("dry_run", False, "only say what would be deleted"), "long": "dry-run"}]
    doc = "deletes what is not published any more; says what first"
    return _verb(name, lambda dry_run: attempt(partial(verbs.prune, dry_run=dry_run), mirror), doc, params)


def prove(name: str, mirror: Mirror) -> Task:
    """Prove every root installable on every environment."""
    params = [
        option("install", False, "also install each root for real, where this interpreter is of the environment"),
        option("build", False, "also build the roots' sdists where a wheel fits (the others are built anyway)"),
        option("own", False, "only by this project's own solver, not by uv"),
    ]
    doc = "proves every requirement installable on every environment, from the mirror alone"
    proven = _verb(
        name, lambda install, build, own: attempt(verbs.prove, mirror, install, build, own), doc, params, clean=True
    )
    proven.targets.append(str(verbs.proof_path(mirror.config)))
    return proven


def explain(name: str, mirror: Mirror, pages: ProjectPages, rules: Rules) -> Task:
    """Say why something is in the mirror, or why not."""

    def answer(plan: Plan, size: bool, names: list[str] | None) -> None:
        verbs.explain(mirror, pages, plan, rules, [*(names or []), *_words_with_a_sign()], size=size)

    doc = "says why a project, release or file is in the mirror, or why not"
    advice = "Run `doit plan` first."
    return _verb(
        name,
        lambda size, names: attempt(_with_plan, answer, mirror, "explaining", advice, size, names),
        doc,
        [option("size", False, "what each root costs")],
        pos_arg="names",
    )


def wanted(name: str, mirror: Mirror, pages: ProjectPages, rules: Rules) -> Task:
    """Review what clients asked for in vain."""

    def review(accept: bool, drop: bool, names: list[str] | None) -> object:
        return attempt(reviewing.review, mirror, pages, rules, accept, drop, [*(names or []), *_words_with_a_sign()])

    params = [
        option("accept", False, "mirror what is named"),
        option("drop", False, "do not mirror what is named, and do not show it again"),
    ]
    doc = "shows what clients asked for in vain, and takes in what you accept of it"
    return _verb(name, review, doc, params, pos_arg="names")


def _words_with_a_sign() -> list[str]:
    """Return the words of the command line such as ``numpy==2.1.0``: doit takes them for variables, and hands them to no task."""
    return [word for word in sys.argv[1:] if re.match(r"[A-Za-z0-9][A-Za-z0-9._\[\],-]*\s*[=<>~!]=", word)]


def _verb(name: str, action: Callable[..., object], doc: str, params: Any = (), **settings: Any) -> Task:
    return Task(
        name,
        [action],
        params=list(params),
        doc=doc,
        verbosity=2,
        io={"capture": False},
        meta={"mirror": "verb"},
        **settings,
    )


def _with_plan(verb: Callable[..., None], mirror: Mirror, doing: str, advice: str, *arguments: Any) -> None:
    plan = mirror.plans.last()
    if plan is None:
        raise ResolutionError(doing, str(mirror.config.path), "expected a plan, found none", advice)
    verb(plan, *arguments)
