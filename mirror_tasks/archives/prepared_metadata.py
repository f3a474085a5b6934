"""What a project requires, where only its build backend says it (PEP 517, ``prepare_metadata_for_build_wheel``).

This runs code of the project, so it is done only where ``mirror.yaml`` says ``build-requirements: ask``. What comes of it is
read like the METADATA of any wheel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.archives.build_backend import last_words, run_hook
from mirror_tasks.archives.build_environment import FAILURES, BuildEnvironment, From, build_system
from mirror_tasks.archives.core_metadata import LARGEST_TEXT, CoreMetadata, parse_metadata
from mirror_tasks.errors import IntegrityError, MetadataError
from mirror_tasks.files import check_filename

# The same sources say the same, in the same order.
_SAME = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
_ADVICE = (
    "Try `pip wheel --no-deps` on it; or name a requirements file that `uv pip compile` makes of it, "
    "`- {file: requirements.txt}`, where that works."
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a backend says.

    :param build_requires: what it asks for to build a wheel, beyond what the project declares.
    """

    metadata: CoreMetadata
    build_requires: tuple[str, ...]


def ask_project(source: Path, index: From, subject: str) -> Prepared:
    """Run the backend of a folder of sources, and return what it says that the project requires.

    :param source: the backend may write into it.
    :param subject: whose backend it is, for messages.
    :raises MetadataError: it can't be run on this machine, or says what is no metadata; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="mirror-build-") as folder:
        try:
            return _prepared(source, index, Path(folder))
        except FAILURES as error:
            problem = last_words(error)
        except (MetadataError, IntegrityError) as error:
            problem = f"{error.subject}: {error.problem}"
    raise MetadataError(
        "asking the build backend of", subject, f"expected the metadata of the project, found: {problem}", _ADVICE
    )


def _prepared(source: Path, index: From, folder: Path) -> Prepared:
    environment, system = BuildEnvironment(folder / "venv", index), build_system(source)
    environment.have(system.requires)
    caller = environment.caller(source, system, _run)
    asked = tuple(map(str, caller.get_requires_for_build_wheel()))
    environment.have(asked)
    made = folder / "metadata"
    made.mkdir()
    name = check_filename(str(caller.prepare_metadata_for_build_wheel(str(made))))
    return Prepared(_read(made / name), asked)


def _read(dist_info: Path) -> CoreMetadata:
    """Return what the METADATA in a folder says; the folder's name begins as that of the wheel would."""
    with (dist_info / "METADATA").open("rb") as stream:
        content = stream.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"a METADATA of more than the {LARGEST_TEXT:,} bytes that are read")
    return parse_metadata(content, f"{dist_info.name.removesuffix('.dist-info')}-py3-none-any.whl")


def _run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    run_hook(cmd, cwd, {**(extra_environ or {}), **_SAME})
