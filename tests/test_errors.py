"""Errors are part of the product: each says what to do next, and says it also when it happened in another process."""

from __future__ import annotations

import errno
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mirror_tasks
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import ConfigError, Fault, MirrorError, UpstreamError, in_words


def _all_below(kind: type[MirrorError]) -> Iterator[type[MirrorError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _all_below(one)


def every_error() -> list[type[MirrorError]]:
    """Every class of errors of this project, its modules all imported."""
    for module in pkgutil.walk_packages(mirror_tasks.__path__, "mirror_tasks."):
        importlib.import_module(module.name)
    found: list[type[MirrorError]] = [MirrorError, *dict.fromkeys(_all_below(MirrorError))]
    return [kind for kind in found if kind.__module__.startswith("mirror_tasks.")]


_VALUES = {
    "path": Path("mirror.yaml"),
    "faults": [Fault("environments.laptop", "expected a mapping"), Fault("index", "found nothing")],
    "status": 503,
}


def made(kind: type[MirrorError]) -> MirrorError:
    """Make an error of a kind with what its own ``__init__`` asks for; what that is called has to be known here."""
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            values[name] = _VALUES.get(name, f"the {name}")
    return kind(**values)


def test_all_kinds_of_errors_are_tried() -> None:
    names = {kind.__name__ for kind in every_error()}
    assert {"ConfigError", "BlockError", "UpstreamError", "ProcessError", "StorageError"} <= names
    assert any("__init__" in vars(kind) for kind in every_error())


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_crosses_to_another_process_whole(kind: type[MirrorError], protocol: int) -> None:
    error = made(kind)
    error.found_later = ("kept", 3)  # type: ignore[attr-defined]
    crossed = pickle.loads(pickle.dumps(error, protocol))
    assert type(crossed) is kind
    assert str(crossed) == str(error)
    assert crossed.args == error.args
    assert vars(crossed) == vars(error)


def test_the_faults_of_a_mirror_yaml_cross_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "mirror.yaml"
    path.write_text("environments: 5\nnonsense: true\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    crossed = pickle.loads(pickle.dumps(raised.value))
    assert crossed.faults == raised.value.faults
    assert crossed.path == path


def test_the_status_of_an_answer_crosses() -> None:
    error = UpstreamError("fetching", "x", "found none", "Run again.", status=410)
    assert pickle.loads(pickle.dumps(error)).status == 410


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "Make room"), (errno.EMFILE, "ulimit -n"), (errno.EACCES, "permissions")]
)
def test_what_the_system_says_comes_with_what_to_do_next(number: int, says: str) -> None:
    assert says in str(in_words(OSError(number, "it says so", "/a/file")))
    assert "/a/file" in str(in_words(OSError(number, "it says so", "/a/file")))
    assert "the disk" in str(in_words(OSError(number, "it says so")))


def test_output_that_nobody_reads_to_its_end_is_not_called_a_fault_of_the_disk() -> None:
    said = str(in_words(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert "writing the output" in said
    assert "disk" not in said
