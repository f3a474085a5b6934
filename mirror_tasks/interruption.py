"""Ctrl-C before the first task: doit knows what to do with it only while tasks run, and shows a traceback otherwise.

From here on, nothing is imported but what Python and doit have imported already: it is the first that a ``dodo.py`` does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended


def is_quiet_while_doit_begins() -> None:
    """End the process without more than a word at Ctrl-C, if this is doit reading a ``dodo.py``.

    Until tasks run, nothing is under way that could be left half-done.
    """
    loader = sys.modules.get("doit.loader")
    is_doit = getattr(loader, "initial_workdir", None) is not None  # doit keeps it when it begins to read a dodo.py
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_doit and is_default and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "mirror_tasks.tasks.run" and frame.f_code.co_name == "begin":  # no task has begun yet
            break
        if module == "doit.runner":  # tasks run, with a reporter of somebody else's
            signal.default_int_handler(number, frame)
        frame = frame.f_back
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)
