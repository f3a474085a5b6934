"""Mutation testing of the code that decides what is read, taken and sent: `python tests/mutation.py TARGET ...`.

A mutant is the program with one small fault put in. The tests that matter run against each; a mutant that they let
pass survives, and shows a promise that no test keeps. `docs/mutation.md` says which survive and why.

Why no tool: mutmut finds a mutant by the name of its module, but the tests load `server.py` by its path and run copies
of it; cosmic-ray begins a new pytest for each mutant, which costs more than the tests, and mutates annotations. Here a
process that has imported the libraries forks for each mutant.

It is run as a file, not as a module of `tests`: the tests have to be those of the copy that is mutated.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COPIED = ("mirror_tasks", "server_template", "tests", "pyproject.toml", "dodo.py", "mirror.yaml")
# What the tests import and no mutant changes: imported once, before the forks.
LIBRARIES = ("packaging.requirements", "packaging.tags", "requests", "yaml", "hypothesis", "pytest", "html5lib")


@dataclass(frozen=True)
class Target:
    """A file to mutate.

    :param functions: those to mutate, by qualified name; all where there are none.
    :param tests: arguments of pytest that choose the tests which matter, the quick ones first.
    """

    path: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]


SERVER = "server_template/server.py"
HEADS = ("parse_head", "parse_fields", "check_framing", "wants_to_stay", "split_target", "decode_segment")
PATHS = ("is_plain", "is_device", "Tree.get", "Tree.is_folder", "Tree.is_file", "Tree._inside")
RANGES = ("requested_spans", "parse_ranges", "merge", "partial_response", "content_range", "multipart")
SAFETY, HTTP, SELECTION = "tests/test_server_safety.py", "tests/test_server_http.py", "tests/test_selection.py"
INDEXES = ("tests/test_indexes.py", "tests/test_locked_indexes.py", "-k", "not mirror and not run")
TARGETS = {
    "heads": Target(SERVER, HEADS, (SAFETY, HTTP)),
    "paths": Target(SERVER, PATHS, (SAFETY, "tests/test_server_index.py")),
    "ranges": Target(SERVER, RANGES, (SAFETY, HTTP, "-k", "range or header_value")),
    "bindings": Target("mirror_tasks/config/bindings.py", (), INDEXES),
    "locked_indexes": Target(
        "mirror_tasks/config/locked_indexes.py", (), ("tests/test_locked_indexes.py", "tests/test_projects.py")
    ),
    "further_pages": Target("mirror_tasks/index/further_pages.py", (), ("tests/test_further_pages.py",)),
    **{
        name: Target(f"mirror_tasks/policy/{name}.py", (), ("tests/test_licences.py",))
        for name in ("licences", "licence_expressions", "licence_names")
    },
    "selection": Target("mirror_tasks/resolve/selection.py", (), (SELECTION, "tests/test_closure.py")),
    **{
        name: Target(f"mirror_tasks/archives/{name}.py", (), ("tests/test_archives.py", "tests/test_odd_files.py"))
        for name in ("members", "tar", "zip")
    },
}

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """A program with one fault: the line, what it said and what it says, and all of its text."""

    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.before}  ->  {self.after}"


def mutants(text: str, functions: Sequence[str]) -> Iterator[Mutant]:
    """Yield the mutants of a module's functions, in the order of their lines."""
    tree = ast.parse(text)
    for function in _functions(tree, ""):
        if functions and function.name not in functions:
            continue
        statements = function.node.body[1:] if ast.get_docstring(function.node) else function.node.body
        for statement in statements:
            for node in ast.walk(statement):
                for field, value in _faults(node):
                    yield _mutant(tree, node, field, value)
        yield from _without_statements(tree, function.node)


@dataclass(frozen=True)
class _Function:
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef


def _functions(node: ast.AST, prefix: str) -> Iterator[_Function]:
    """Yield functions and methods; what is defined in a function belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield _Function(prefix + child.name, child)
        elif not isinstance(child, ast.expr):
            yield from _functions(child, prefix)


def _mutant(tree: ast.Module, node: ast.AST, field: str, value: object) -> Mutant:
    original, before = getattr(node, field), ast.unparse(node)
    setattr(node, field, value)
    try:
        text = ast.unparse(ast.fix_missing_locations(tree))
        line = getattr(node, "lineno", None) or getattr(node, "target", original).lineno
        return Mutant(line, _one_line(before), _one_line(ast.unparse(node)), text)
    finally:
        setattr(node, field, original)


def _one_line(code: str) -> str:
    return code.partition("\n")[0][:110]


@functools.singledispatch
def _faults(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Yield what to put into which field of a node."""
    return iter(())


@_faults.register
def _(node: ast.Compare) -> Iterator[tuple[str, object]]:
    if len(node.ops) == 1:
        yield from (("ops", [other()]) for other in _COMPARISONS[type(node.ops[0])])


@_faults.register
def _(node: ast.BoolOp) -> Iterator[tuple[str, object]]:
    yield "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or()


@_faults.register(ast.BinOp)
@_faults.register(ast.AugAssign)
def _(node: ast.BinOp | ast.AugAssign) -> Iterator[tuple[str, object]]:
    if type(node.op) in _OPERATORS:
        yield "op", _OPERATORS[type(node.op)]()


@_faults.register
def _(node: ast.Constant) -> Iterator[tuple[str, object]]:
    if isinstance(node.value, bool):
        yield "value", not node.value
    elif isinstance(node.value, int):
        yield "value", node.value + 1


@_faults.register(ast.If)
@_faults.register(ast.IfExp)
@_faults.register(ast.While)
def _(node: ast.If | ast.IfExp | ast.While) -> Iterator[tuple[str, object]]:
    if not isinstance(node.test, ast.Compare):  # which is mutated itself
        yield "test", ast.UnaryOp(ast.Not(), node.test)


@_faults.register
def _(node: ast.comprehension) -> Iterator[tuple[str, object]]:
    if node.ifs:
        yield "ifs", []


@_faults.register
def _(node: ast.Return) -> Iterator[tuple[str, object]]:
    if node.value and ast.unparse(node.value) != "None":
        yield "value", ast.Constant(None)


@_faults.register
def _(node: ast.Slice) -> Iterator[tuple[str, object]]:
    yield from ((name, None) for name in ("lower", "upper") if getattr(node, name))


def _without_statements(tree: ast.Module, function: ast.AST) -> Iterator[Mutant]:
    """Yield the function without one of its statements each."""
    for node in ast.walk(function):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            for index, statement in enumerate(statements if isinstance(statements, list) else ()):
                if _can_be_left_out(statement):
                    yield _left_out(tree, node, field, index)


def _can_be_left_out(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Raise | ast.Continue | ast.Break | ast.AugAssign | ast.Delete)


def _left_out(tree: ast.Module, node: ast.AST, field: str, index: int) -> Mutant:
    statements = getattr(node, field)
    statement = statements[index]
    statements[index] = ast.Pass()
    try:
        text = ast.unparse(ast.fix_missing_locations(tree))
        return Mutant(statement.lineno, _one_line(ast.unparse(statement)), "pass", text)
    finally:
        statements[index] = statement


class Copy:
    """A copy of the project in which one mutant at a time stands.

    :param target: what is mutated.
    """

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self._target = target
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for name in COPIED:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
            else:
                shutil.copy(REPOSITORY / name, folder / name)

    def begin(self, text: str, cpu_seconds: int) -> int:
        """Run the tests against a text in a process of its own; return the process.

        It may use so much processor time: a mutant that never ends is one that a test has noticed.
        """
        path = self.folder / self._target.path
        path.write_text(text, "utf-8")
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)  # which could be of another mutant
        process = os.fork()
        if process:
            return process
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        signal.alarm(20 * cpu_seconds)
        os.chdir(self.folder)
        sys.path[0] = str(self.folder)
        with open(os.devnull, "r+b") as null:
            for descriptor in (0, 1, 2):
                os.dup2(null.fileno(), descriptor)
        os._exit(self._test())

    def _test(self) -> int:
        import pytest

        quick = ("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--no-header")
        every = ("-m", "not real_index")
        return int(pytest.main([*quick, *every, *self._target.tests]))


def survivors(target: Target, scratch: Path, options: argparse.Namespace) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant, and whether it survived; of some lines only, or each so many, where the options say so.

    :raises SystemExit: the tests fail without a mutant.
    """
    text = (REPOSITORY / target.path).read_text("utf-8")
    copies = [Copy(Path(tempfile.mkdtemp(dir=scratch)), target) for _ in range(options.processes)]
    process = copies[0].begin(ast.unparse(ast.parse(text)), 600)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"the tests of {target.path} fail as it is: {' '.join(target.tests)}")
    cpu_seconds = int(3 * (usage.ru_utime + usage.ru_stime)) + 3
    at_work: dict[int, tuple[Mutant, Copy]] = {}
    for mutant in itertools.islice(mutants(text, target.functions), 0, None, options.every):
        if options.lines and mutant.line not in options.lines:
            continue
        copy = copies.pop()
        at_work[copy.begin(mutant.text, cpu_seconds)] = (mutant, copy)
        if not copies:
            yield _ended(at_work, copies)
    while at_work:
        yield _ended(at_work, copies)


def _ended(at_work: dict[int, tuple[Mutant, Copy]], copies: list[Copy]) -> tuple[Mutant, bool]:
    process, status = os.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # servers that a test which was ended has left
    mutant, copy = at_work.pop(process)
    copies.append(copy)
    return mutant, status == 0


def main() -> None:
    """Try all mutants of the targets; print those that survive, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--lines", type=int, nargs="+", default=[], help="try mutants of these lines only")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each N-th mutant only")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    os.nice(10)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in LIBRARIES:
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        for name in options.targets or TARGETS:
            count = survived = 0
            for mutant, lives in survivors(TARGETS[name], Path(scratch), options):
                count, survived = count + 1, survived + lives
                if lives:
                    print(f"{name}: {mutant}", flush=True)
            print(f"{name}: {count} mutants, {count - survived} killed, {survived} survived", flush=True)


if __name__ == "__main__":
    main()
