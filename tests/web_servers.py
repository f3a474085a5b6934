"""Static web servers, configured by the very lines of docs/serving.md, with only the places and ports put in."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import reserved_port
from tests.server_fixtures import PATIENCE, SERVER, Answer, wait_until

DOCUMENT = SERVER.parent.parent / "docs" / "serving.md"

NGINX = """\
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
{recipe}
}}
"""

# The types and encodings are among what Debian and others configure by themselves; the recipe has to cope with them.
APACHE = """\
ServerRoot {folder}
ServerName 127.0.0.1
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
User #65534
Group #65534
Listen 127.0.0.1:{port}
{modules}
TypesConfig {folder}/mime.types
AddType application/x-gzip .gz .tgz
AddEncoding x-gzip .gz .tgz
{recipe}
"""
APACHE_MODULES = Path("/usr/lib/apache2/modules")
MIME_TYPES = "text/html html\ntext/css css\ntext/javascript js\nimage/svg+xml svg\napplication/gzip gz\n"

CADDY = """\
{{
    admin off
    auto_https off
    default_bind 127.0.0.1
}}
{recipe}
"""


@dataclass(frozen=True)
class WebServer:
    """A web server: where its program is (None where it is not installed), how it is configured and run."""

    name: str
    program: str | None
    configure: Callable[[Path, int, str], str]
    arguments: Callable[[str], Sequence[str]]
    site: str  # what puts a recipe that is no whole site into one

    def recipe(self, number: int) -> str:
        """Return what the documentation has: 0 to serve the directory, 1 to stand in front of server.py."""
        recipes: list[str] = re.findall(rf"```{self.name}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        return recipes[number]


def configure_nginx(folder: Path, port: int, recipe: str) -> str:
    return NGINX.format(folder=folder, recipe=recipe.replace("listen 80;", f"listen 127.0.0.1:{port};"))


def configure_apache(folder: Path, port: int, recipe: str) -> str:
    (folder / "mime.types").write_text(MIME_TYPES)
    names = ("mpm_event", "authz_core", "dir", "headers", "mime", "rewrite", "proxy", "proxy_http")
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names)
    return APACHE.format(folder=folder, port=port, modules=modules, recipe=recipe.replace("*:80", f"127.0.0.1:{port}"))


def configure_caddy(folder: Path, port: int, recipe: str) -> str:
    return CADDY.format(recipe=recipe.replace("mirror.example.com {", f"http://:{port} {{"))


def program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


WEB_SERVERS = (
    WebServer("nginx", program("nginx"), configure_nginx, lambda path: ("-c", path), "server {{ listen 80;\n{} }}"),
    WebServer(
        "apache",
        program("apache2") if APACHE_MODULES.is_dir() else None,
        configure_apache,
        lambda path: ("-D", "FOREGROUND", "-f", path),
        "<VirtualHost *:80>\n{}</VirtualHost>",
    ),
    WebServer(
        "caddy",
        program("caddy"),
        configure_caddy,
        lambda path: ("run", "--adapter", "caddyfile", "--config", path),
        "mirror.example.com {{\n{}}}",
    ),
)


@contextlib.contextmanager
def web_server(kind: WebServer, folder: Path, recipe: str) -> Iterator[int]:
    """Run a web server with a recipe; yield its port."""
    if kind.program is None:
        pytest.skip(f"{kind.name} is not installed")
    configuration = folder / f"{kind.name}.conf"
    with reserved_port() as port, (folder / "output").open("w") as output:
        configuration.write_text(kind.configure(folder, port, recipe))
        process = subprocess.Popen(
            [kind.program, *kind.arguments(str(configuration))],
            stdout=output,
            stderr=output,
            env={"HOME": str(folder), "PATH": ""},
        )
        try:
            assert wait_until(lambda: answers(port) or process.poll() is not None)
            assert process.poll() is None, "".join(path.read_text() for path in folder.glob("[oe]*") if path.is_file())
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ask(port: int, path: str, *fields: str, method: str = "GET") -> Answer:
    """Ask by the standard library's client: unlike server.py, others may send chunks, or a field in several lines."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(method, path, headers=dict(field.split(": ", 1) for field in fields))
        answer = connection.getresponse()
        names = {name.lower() for name in answer.headers}
        return Answer(
            answer.status, {name: ", ".join(answer.headers.get_all(name, ())) for name in names}, answer.read()
        )


def answers(port: int) -> bool:
    try:
        return ask(port, "/simple/").status == 200
    except OSError:
        return False
