"""Runs commands beside a mirror's own server, where there is no network but that of this machine itself.

This file is a program of its own, which :mod:`.lock_installation` starts, by ``unshare`` in a namespace without a network
where that is permitted. Its one argument is JSON: ``server`` (the command that starts server.py on a free port), ``commands``,
the ``folder`` in which they are run and the ``settings`` that are added to their environment variables; in commands and
settings ``{url}`` stands for where the server is. It ends with what the first command says that fails, and its status.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

_ADDRESS = re.compile(r" at (http://[^/\s]+/)")


def main(text: str) -> int:
    """Start the server, run the commands one after the other, and end the server."""
    asked = json.loads(text)
    server = subprocess.Popen(asked["server"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        first = server.stdout.readline()
        match = _ADDRESS.search(first)
        if match is None:
            sys.stderr.write(f"server.py did not start: {first}")
            return 1
        settings = {name: value.replace("{url}", match[1]) for name, value in asked["settings"].items()}
        for command in asked["commands"]:
            words = [word.replace("{url}", match[1]) for word in command]
            env = {**os.environ, **settings}
            done = subprocess.run(
                words,
                cwd=asked["folder"],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.stderr.write(done.stdout)
                return done.returncode
        return 0
    finally:
        server.terminate()
        server.communicate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
