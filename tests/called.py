"""What the tests of processes have done by others: a module that imports little, since each process that is begun anew does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mirror_tasks.errors import ConfigError, Fault, MirrorError, UpstreamError
from mirror_tasks.work.processes import Processes, Progress


def add(one: int, other: int, progress: Progress) -> tuple[int, int]:
    for _ in range(5):
        progress(600_000)
    return one + other, os.getpid()


def fail(kind: str, progress: Progress) -> None:
    if kind == "mirror":
        raise UpstreamError("fetching", "a page", "expected it, found none", "Run again.", status=503)
    if kind == "yaml":
        raise ConfigError(Path("mirror.yaml"), [Fault("index", "expected a URL"), Fault("sdists", "expected a word")])
    if kind == "disk":
        raise OSError(28, "No space left on device", "/disk")
    raise ValueError(f"a bug: {kind}")


def unsendable(progress: Progress) -> object:
    return lambda: None


def end(*arguments: object) -> None:
    os._exit(9)


def outcome(processes: Processes, function: object, *arguments: object) -> str:
    try:
        return repr(processes.call(function, *arguments, progress=lambda count: None))  # type: ignore[arg-type]
    except MirrorError as error:
        return f"{type(error).__name__} {error} {getattr(error, 'status', '')}"
    except OSError as error:
        return f"OSError {error.errno} {error.filename}"
    except RuntimeError as error:
        return str(error)


def unreadable(progress: Progress) -> object:
    return Unreadable()


class Unreadable:
    """Can be sent, and not be received."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


def end_at(name: str, progress: Progress) -> str:
    if name == "killer":
        os._exit(9)
    return name


def end_once(marker: str, progress: Progress) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return "done"


def hang(progress: Progress) -> None:
    print("called", flush=True)
    signal.pause()
