"""Where errors of reading get the name of the file that was read.

Who reads an archive or metadata says only what is wrong (:class:`BrokenError`). The public functions of this folder are
:func:`untrusted`: they say of which file, and let nothing else out that a parser may raise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from mirror_tasks.errors import MetadataError

_Input = TypeVar("_Input")
_Others = ParamSpec("_Others")
_Result = TypeVar("_Result")
_Reader = Callable[Concatenate[_Input, str, _Others], _Result]


class BrokenError(Exception):
    """An archive, or the metadata in it, breaks a rule; says which, for a sentence that begins with the file's name."""


def untrusted(read: _Reader[_Input, _Others, _Result]) -> _Reader[_Input, _Others, _Result]:
    """Let a function that reads untrusted input raise a MetadataError, which names the file, whatever it raised itself.

    :param read: its second parameter is the name of the file.
    """

    @wraps(read)
    def reading(source: _Input, filename: str, *others: _Others.args, **named: _Others.kwargs) -> _Result:
        try:
            return read(source, filename, *others, **named)
        except BrokenError as error:
            raise _named(filename, str(error)) from error
        except (ValueError, RecursionError, OverflowError, MemoryError) as error:
            said = " ".join(str(error).split())[:200]
            raise _named(filename, f"its metadata can't be read: {said or type(error).__name__}") from error

    return cast(_Reader[_Input, _Others, _Result], reading)


def _named(filename: str, problem: str) -> MetadataError:
    return MetadataError("reading", filename, problem, "The file is left out; whoever publishes it can mend it")
