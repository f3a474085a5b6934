"""One project that can't be read, solved or fetched keeps no other out of the mirror, and the exit status tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import DODO, IMPATIENT, assert_valid, launcher, mirror_folder, packages

BROKEN = """
import os
def breaking(module, name, is_bad, how):
    was = getattr(module, name)
    def broken(*arguments, **options):
        if is_bad(*arguments):
            how()
        return was(*arguments, **options)
    setattr(module, name, broken)

def raises(error):
    def how():
        raise error("something that nobody foresaw, at https://user:hush@index.example.com/simple/")
    return how

from mirror_tasks.resolve import closure, solver
from mirror_tasks.work import jobs
from mirror_tasks.archives import core_metadata as metadata
from mirror_tasks.index import pages
"""
BAD = "lambda *arguments: any(str(getattr(one, 'project', one)).startswith('bad') for one in arguments)"
CASES = {
    "a page": f"breaking(jobs, 'parse_page', {BAD}, raises(ValueError))",
    "core metadata": f"breaking(jobs, 'read_metadata', {BAD}, raises(RecursionError))",
    "an archive": f"breaking(jobs, 'sdist_metadata', {BAD}, raises(ValueError))",
    "what is chosen": f"breaking(closure.Closure, '_settle', {BAD}, raises(RecursionError))",
    "what is solved": (
        "breaking(solver.Solver, 'solve', lambda self, root, *rest: root.name.startswith('bad'), raises(RecursionError))"
    ),
    "memory": f"breaking(jobs, 'sdist_metadata', {BAD}, raises(MemoryError))",
    "a process": f"breaking(jobs, 'sdist_metadata', {BAD}, lambda: os._exit(9))",
}


# One that is begun anew does not read dodo.py: let it have the same fault.
BEGUN_ANEW = """
from mirror_tasks.work import processes
processes._SPAWNED = processes._SPAWNED.replace("processes.work", "sys.path.insert(0, {folder!r}); import broken; processes.work")
"""


def world() -> dict[str, list[tuple[str, bytes]]]:
    return {
        "good": [wheel("good", "1.0", requires=["lib"]), sdist("good", "1.0", requires=["lib"])],
        "lib": [wheel("lib", "2.0"), sdist("lib", "2.0")],
        "bad": [wheel("bad", "1.0", requires=["lib"]), sdist("bad", "1.0")],
    }


@pytest.mark.parametrize("case", CASES)
def test_what_nobody_foresaw_of_one_project_leaves_the_others_in_the_mirror(tmp_path: Path, case: str) -> None:
    with FakeIndex(world()) as index:
        broken = BROKEN + CASES[case] + "\n"
        (tmp_path / "broken.py").write_text(broken, encoding="utf-8")
        dodo = IMPATIENT + broken + BEGUN_ANEW.replace("{folder!r}", repr(str(tmp_path))) + DODO
        project = mirror_folder(tmp_path, index, dodo=dodo, requirements=["good", "bad"])
        launcher().start(tmp_path, "mirror")
        done = launcher().wait()
        output = done.stdout + done.stderr
        assert done.returncode not in (0, None), output
        assert "Traceback" not in output
        assert "hush" not in output
        for name in ("good", "lib"):
            assert len(packages(project.output)[name]) == 2, output
        assert_valid(project.output)
        assert (project.output / "simple" / "good" / "index.html").exists()
        assert "bad" in output
        reports = list((project.state / "bugs").glob("*.txt"))
        if case == "a process":
            assert "a second one that did only this" in output
        else:
            assert "Please report it with" in output
            assert any("Traceback" in report.read_text() for report in reports)
            assert all("hush" not in report.read_text() for report in reports)

        (tmp_path / "dodo.py").write_text(IMPATIENT + DODO)
        launcher().start(tmp_path, "mirror")
        done = launcher().wait()
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(packages(project.output)["bad"]) == 2
