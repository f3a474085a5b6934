"""What a command takes before it does anything: the processor time of ``doit list`` in an empty state, beside doit's own.

In turn, so that a machine that others use is as busy for each; the least of the runs counts for most. Bytecode is written
before, as an installation has it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parent.parent
DODO = "from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n"
CONFIG = """\
environments:
  server: {python: "3.12", platform: linux-x86_64, glibc: "2.28"}
requirements: [requests, flask, rich]
"""
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "doit help": ["-m", "doit", "help"],
    "import mirror_tasks": ["-c", "from mirror_tasks import pipeline"],
    "doit list, empty state": ["-m", "doit", "list"],
    "pip config list": ["-m", "pip", "config", "list"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dodo.py").write_text(DODO, encoding="utf-8")
        Path(folder, "mirror.yaml").write_text(CONFIG, encoding="utf-8")
        for command in COMMANDS.values():
            took(command, folder)
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(options.rounds):
            for name, command in COMMANDS.items():
                taken[name].append(took(command, folder))
    for name, seconds in taken.items():
        print(f"{name:24} {median(seconds):6.3f} s of processor time, at least {min(seconds):.3f}")


def took(command: list[str], folder: str) -> float:
    """Return the processor time that a command takes, in seconds."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**env, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
