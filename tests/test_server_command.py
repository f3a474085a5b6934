"""The command line of server.py: what it says, what --check finds, what is written about requests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from tests.server_fixtures import (
    JSON,
    PATIENCE,
    Client,
    ask,
    load_server,
    make_mirror,
    run_here,
    run_server,
    running,
    seal_mirror,
    unchanged_server,
    wait_until,
    write,
)
from tests.stepping import Gate

PIP = f"Accept: {JSON}"
PIP_AGENT = (
    'pip/23.0.1 {"ci":null,"cpu":"x86_64","distro":{"id":"bookworm","libc":{"lib":"glibc","version":"2.36"},'
    '"name":"Debian GNU/Linux","version":"12"},"implementation":{"name":"CPython","version":"3.11.2"},'
    '"installer":{"name":"pip","version":"23.0.1"},"python":"3.11.2","system":{"name":"Linux","release":"6.1.0"}}'
)
UV = (
    'uv/0.13.9 {"installer":{"name":"uv","version":"0.13.9"},"python":"3.12.1","implementation":{"name":"CPython",'
    '"version":"3.12.1"},"distro":{"name":"macOS","version":"14.5","id":null,"libc":null},'
    '"system":{"name":"Darwin","release":"23.5.0"},"cpu":"arm64","ci":null}'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_mirror(tmp_path / "mirror")


def test_it_serves_its_own_directory_on_this_machine_only_and_says_how_to_use_it(root: Path) -> None:
    command = [sys.executable, str(root / "server.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        assert process.wait(PATIENCE) == 0
    address = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
    assert address
    assert "4 projects, 7 files" in lines[0]
    assert "this machine only" in lines[0]
    assert lines[1].strip() == f"pip install --index-url {address.group()}/simple/ NAME"
    assert lines[2].strip() == f"uv pip install --default-index {address.group()}/simple/ NAME"


def test_on_all_addresses_it_names_the_host_and_what_pip_needs_for_plain_http(root: Path) -> None:
    with running(root, "--host", "0.0.0.0") as served:
        assert socket.gethostname() in served.welcome[0]
        assert f"--trusted-host {socket.gethostname()}" in served.welcome[1]


def test_the_version_is_that_of_the_project() -> None:
    about = tomli.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    done = run_here("--version")
    assert done.returncode == 0
    python = ".".join(map(str, sys.version_info[:3]))
    assert done.stdout == f"server.py of mirror-tasks {about['project']['version']}, Python {python}\n"


def test_help_names_every_option() -> None:
    done = run_here("--help")
    assert done.returncode == 0
    for option in ("--root", "--host", "--port", "--check", "--wanted", "--certfile", "--keyfile", "--passwords"):
        assert option in done.stdout
    for option in ("--log", "--max-connections", "--grace", "add-user", "rewrite-lock", "Exit statuses of --check"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--root", "{empty}"], 1, "no mirror in"),
        (["--root", "{empty}/none"], 1, "no directory"),
        (["--port", "99999"], 2, "0 to 65535"),
        (["--max-connections", "0"], 2, "a number from 1"),
        (["--grace", "soon"], 2, "seconds"),
        (["--root", "{root}", "--keyfile", "x"], 1, "--certfile"),
        (["--root", "{root}", "--certfile", "{empty}/none.pem"], 1, "certificate"),
        (["--root", "{root}", "--passwords", "{empty}/none", "--passwords-over-plain-http"], 1, "password file"),
        (["--root", "{root}", "--host", "192.0.2.1", "--port", "0"], 1, "not an address of this machine"),
        (["--root", "{root}", "--host", "no host", "--port", "0"], 1, "can't listen"),
        (["--root", "{root}", "--wanted", "{empty}", "--port", "0"], 1, "{empty}"),
    ],
)
def test_what_can_not_work_is_said_in_one_line(
    root: Path, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"root": root, "empty": tmp_path / "empty"}
    done = run_here(*(argument.format(**places) for argument in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert said.format(**places) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(root: Path) -> None:
    with running(root) as served:
        done = run_here("--root", str(root), "--port", str(served.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {served.port} is in use" in done.stderr


def test_a_process_ends_with_the_status_of_the_check(root: Path) -> None:
    assert run_server("--root", str(root), "--check").returncode == 0
    (root / "mirror.json").unlink()
    assert run_server("--root", str(root), "--check").returncode == 8


def test_ctrl_c_ends_well(root: Path) -> None:
    with running(root) as served:
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE) == 0


def test_a_host_with_two_addresses_is_served_at_both(root: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with running(root, "--host", "::1") as served:
        port = int(re.findall(r"\[::1\]:(\d+)", served.welcome[0])[0])
        with socket.create_connection(("::1", port), PATIENCE) as client:
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


# --check


def test_a_mirror_that_arrived_whole_passes_the_check(root: Path) -> None:
    done = run_here("--root", str(root), "--check")
    assert (done.returncode, done.stderr.splitlines()[-1].split("%")[0]) == (0, "100")
    assert done.stdout.endswith(" files: 0 altered, 0 missing, 0 extra\n")


@pytest.mark.parametrize(
    ("harm", "status"), [("altered", 4), ("missing", 8), ("extra", 16), ("altered missing", 12), ("missing extra", 24)]
)
def test_the_check_tells_altered_missing_and_extra_files_apart(root: Path, harm: str, status: int) -> None:
    victims = {
        "altered": root / "packages/large/large-1.0.tar.gz",
        "missing": root / "simple/alpha/index.html",
        "extra": root / "packages/alpha/new-1.0.tar.gz",
    }
    if "altered" in harm:
        content = bytearray(victims["altered"].read_bytes())
        content[150_000] ^= 1
        victims["altered"].write_bytes(content)
    if "missing" in harm:
        victims["missing"].unlink()
    if "extra" in harm:
        write(victims["extra"], b"")
    done = run_here("--root", str(root), "--check")
    assert done.returncode == status
    named = [f"{kind}: {victims[kind].relative_to(root).as_posix()}" for kind in harm.split()]
    assert done.stdout.splitlines()[:-1] == named


def test_a_trusted_server_finds_that_the_mirrors_own_arrived_empty(root: Path) -> None:
    # As `cp -r` to a full stick leaves it; what checks by itself then says nothing, with status 0.
    (root / "server.py").write_bytes(b"")
    assert subprocess.run([sys.executable, str(root / "server.py"), "--check"], check=False).returncode == 0
    done = run_here("--root", str(root), "--check")
    assert (done.returncode, done.stdout.splitlines()[0]) == (4, "altered: server.py")
    sums = shutil.which("sha256sum")
    if sums is not None:
        checked = subprocess.run(
            [sums, "-c", "--quiet", "SHA256SUMS"], cwd=root, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout) == (1, "server.py: FAILED\n")


def test_the_check_of_a_mirror_that_was_not_finished_says_so(root: Path) -> None:
    (root / "SHA256SUMS").unlink()
    done = run_here("--root", str(root), "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not finished" in done.stderr


@pytest.mark.parametrize(
    "line", ["no checksum", f"{'0' * 64}  ../mirror/mirror.json", f"{'0' * 64}  /etc/passwd", "\xff"]
)
def test_the_check_trusts_no_line_of_the_manifest(root: Path, line: str) -> None:
    (root / "SHA256SUMS").write_bytes((line + "\n").encode("latin-1"))
    done = run_here("--root", str(root), "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert "SHA256SUMS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_check_takes_a_link_out_of_the_mirror_for_a_missing_file(root: Path, tmp_path: Path) -> None:
    path = root / "packages/large/large-1.0.tar.gz"
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    assert run_here("--root", str(root), "--check").returncode == 8
    path.with_name("other").symlink_to(tmp_path / "nowhere")
    assert run_here("--root", str(root), "--check").returncode == 8 + 16


def test_the_check_follows_links_within_the_mirror(root: Path) -> None:
    (root / "packages" / "large").rename(root / "elsewhere")
    (root / "packages" / "large").symlink_to(root / "elsewhere", target_is_directory=True)
    done = run_here("--root", str(root), "--check")
    assert done.stdout.splitlines()[:-1] == ["extra: elsewhere/large-1.0.tar.gz", "extra: packages/large"]


# --wanted


def test_what_clients_miss_is_written_down_once_with_a_count(root: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.txt"
    with running(root, "--wanted", str(wanted)) as served, Client(served.port) as client:
        for _ in range(3):
            client.ask("/simple/numpy/", PIP, f"User-Agent: {PIP_AGENT}")
        client.ask("/simple/Django.Rest/", PIP)  # redirected, so not yet asked for
        client.ask("/django-rest/", PIP)
        client.ask("/packages/alpha/alpha-9.9-py3-none-any.whl")
        client.ask("/packages/alpha/alpha-9.9-py3-none-any.whl.metadata", f"User-Agent: {UV}")
        client.ask("/packages/beta-two/beta_two-3.0.tar.gz")
        for path in ("/simple/alpha/", "/favicon.ico", "/wp-admin/", "/simple/../x/", "/packages/alpha/strange"):
            client.ask(path)
    assert wanted.read_text().splitlines()[1:] == [
        "alpha==9.9  # asked for 2 times; files: alpha-9.9-py3-none-any.whl; by: Python 3.12 on macos-arm64",
        "beta-two==3.0  # asked for 1 time; files: beta_two-3.0.tar.gz",
        "django-rest  # asked for 1 time",
        "numpy  # asked for 3 times; by: Python 3.11 on linux-x86_64 (glibc 2.36)",
    ]
    write(root / "simple" / "numpy" / "index.html", b"")
    with running(root, "--wanted", str(wanted)) as served:
        ask(served.port, "/packages/beta-two/beta_two-3.0.tar.gz")
    assert wanted.read_text().splitlines()[1:] == [
        "alpha==9.9  # asked for 2 times; files: alpha-9.9-py3-none-any.whl; by: Python 3.12 on macos-arm64",
        "beta-two==3.0  # asked for 2 times; files: beta_two-3.0.tar.gz",
        "django-rest  # asked for 1 time",
    ]
    write(root / "packages" / "beta-two" / "beta_two-3.0.tar.gz", b"it came")
    write(root / "simple" / "django-rest" / "index.html", b"")
    with running(root, "--wanted", str(wanted)) as served:
        for number in range(8):
            agent = PIP_AGENT.replace("3.11.2", f"3.1{number}.0")
            ask(served.port, f"/packages/alpha/alpha-9.9-{number}-py3-none-any.whl", f"User-Agent: {agent}")
    (line,) = wanted.read_text().splitlines()[1:]
    assert line.startswith("alpha==9.9  # asked for 10 times; files: alpha-9.9-py3-none-any.whl, alpha-9.9-0-py3-")
    assert (line.count(".whl"), line.count(", others")) == (5, 2)


def test_the_wish_list_reads_back_as_requirements(root: Path, tmp_path: Path) -> None:
    from packaging.requirements import Requirement

    wanted = tmp_path / "wanted.txt"
    with running(root, "--wanted", str(wanted)) as served:
        ask(served.port, "/simple/numpy/")
        ask(served.port, "/packages/x/x_y-1!2.0+local.1-1-cp311-cp311-linux_x86_64.whl")
        ask(served.port, "/packages/x/x-y-1.0.zip")
    lines = [line.partition("#")[0].strip() for line in wanted.read_text().splitlines()]
    assert {str(Requirement(line)) for line in lines if line} == {"numpy", "x-y==1!2.0+local.1", "x-y==1.0"}


def test_a_wish_list_that_can_not_be_written_stops_nobody(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with running(root, "--wanted", str(folder / "wanted.txt")) as served:
        folder.rmdir()
        assert ask(served.port, "/simple/numpy/").status == 404
        served.wait_for_line("can't write")
        assert ask(served.port, "/simple/alpha/").status == 200


def test_no_request_waits_for_the_wish_list(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = load_server()
    gate = Gate()
    monkeypatch.setattr(server.os, "replace", gate.before(os.replace))
    wanted = server.WishList(tmp_path / "wanted.txt", server.Tree(root))
    for number in range(wanted.LIMIT + 10):
        wanted.note(server.Missing(f"alpha=={number}", f"alpha-{number}.tar.gz"), "")
    wanted.flush(0.0)
    gate.wait_for_arrival()
    wanted.note(server.Missing("numpy"), "")  # more than the list may hold
    wanted.note(server.Missing("alpha==1", "alpha-1.tar.gz"), "")
    wanted.flush(100.0)  # comes back at once, whatever the disk does
    gate.open()
    wanted.close()
    lines = (tmp_path / "wanted.txt").read_text().splitlines()[1:]
    assert len(lines) == wanted.LIMIT
    assert lines[1] == "alpha==1  # asked for 2 times; files: alpha-1.tar.gz"


def test_ten_thousand_versions_cost_one_look_at_the_project(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = load_server()
    looks, listdir = list[str](), os.listdir

    def count(path: str) -> list[str]:
        looks.append(path)
        return listdir(path)

    monkeypatch.setattr(server.os, "listdir", count)
    wanted = server.WishList(tmp_path / "wanted.txt", server.Tree(root))
    for number in range(10_000):
        wanted.note(server.Missing(f"alpha=={number}", f"alpha-{number}.tar.gz"), "")
    wanted.flush(0.0)
    wanted._job.result(PATIENCE)
    wanted.note(server.Missing("alpha==5", "alpha-5.tar.gz"), "")
    wanted.close()
    assert len(looks) == 1


def test_a_list_that_could_not_be_written_is_written_when_it_can_be(root: Path, tmp_path: Path) -> None:
    server = load_server()
    wanted = server.WishList(tmp_path / "folder" / "wanted.txt", server.Tree(root))
    wanted.note(server.Missing("numpy"), "")
    wanted.flush(0.0)
    with contextlib.suppress(OSError):
        wanted._job.result(PATIENCE)
    (tmp_path / "folder").mkdir()
    wanted.flush(100.0)
    wanted.close()
    assert (tmp_path / "folder" / "wanted.txt").read_text().splitlines()[1:] == ["numpy  # asked for 1 time"]


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        (PIP_AGENT, "Python 3.11 on linux-x86_64 (glibc 2.36)"),
        (UV, "Python 3.12 on macos-arm64"),
        (PIP_AGENT.replace("CPython", "PyPy").replace("Linux", "Windows").replace("x86_64", "AMD64"), None),
        ("poetry/2.1", ""),
        ("pip/1 {", ""),
        ("pip/1 " + "[" * 16_000, ""),
        ("pip/1 {" + '"a":{' * 3000, ""),
        ("pip/1 []", ""),
        ("pip/1 {}", ""),
        (PIP_AGENT.replace("3.11.2", "3.11\x9b"), "Python 3.11 on linux-x86_64 (glibc 2.36)"),
        (PIP_AGENT.replace("3.11.2", "3" * 5000), ""),
        (PIP_AGENT.replace('"x86_64"', '"x86; by: me"'), ""),
        (PIP_AGENT.replace('"x86_64"', "5"), "Python 3.11 on linux-5 (glibc 2.36)"),
        (PIP_AGENT.replace('"Linux"', '"Li\u202enux"'), ""),
        (PIP_AGENT.replace('"Linux"', "[]"), ""),
        (PIP_AGENT.replace('"CPython"', "null"), ""),
        (PIP_AGENT.replace("2.36", r"2.36\n"), "Python 3.11 on linux-x86_64"),
        (PIP_AGENT.replace('"glibc"', "7"), "Python 3.11 on linux-x86_64"),
    ],
)
def test_a_client_is_told_by_what_it_says_and_by_nothing_else(agent: str, client: str | None) -> None:
    expected = "PyPy 3.11 on windows-amd64 (glibc 2.36)" if client is None else client
    assert unchanged_server().client_of(agent) == expected


# Log, health, metrics.


def test_a_log_line_can_not_be_forged(root: Path) -> None:
    with running(root) as served, Client(served.port) as client:
        client.send(b'GET /a"b\\ HTTP/1.1\r\nHost: a\r\n\r\n')
        assert client.read_answer().status == 404
        client.send(b"GET /\x1b[2J\nforged HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_answer().status == 400
    lines = "".join(served.output).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\\x22b\\x5c HTTP/1\.1" 404 \d+',
        lines[0],
    )
    assert r'"GET /\x1b[2J\x0aforged HTTP/1.1" 400' in lines[1]


def test_the_log_comes_as_json(root: Path) -> None:
    with running(root, "--log", "json") as served:
        ask(served.port, "/packages/large/large-1.0.tar.gz", 'User-Agent: p"ip/26')
    record = json.loads(served.output[0])
    assert record["line"] == "GET /packages/large/large-1.0.tar.gz HTTP/1.1"
    assert (record["status"], record["sent"], record["agent"], record["user"]) == (200, 300_000, 'p"ip/26', "")
    assert 0 < record["seconds"] < 20


def test_without_a_log_nothing_is_printed(root: Path) -> None:
    with running(root, "--log", "none") as served:
        ask(served.port, "/simple/")
    assert served.output == []


def test_a_reader_of_the_log_that_goes_away_stops_nobody(root: Path) -> None:
    command = [sys.executable, str(root / "server.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        port = int(re.findall(r":(\d+)/", process.stdout.readline())[0])
        for _ in range(3):
            process.stdout.readline()
        process.stdout.close()
        for _ in range(3):
            assert ask(port, "/simple/").status == 200
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in process.stderr.read()


def health(port: int) -> tuple[int, str]:
    answer = ask(port, "/health")
    return answer.status, json.loads(answer.body)["status"]


@pytest.mark.parametrize("gone", ["simple/index.html", "SHA256SUMS", "mirror.json", "packages"])
def test_health_tells_whether_there_is_a_whole_mirror_to_serve(root: Path, gone: str) -> None:
    with running(root) as served:
        assert health(served.port) == (200, "ok")
        (root / gone).rename(root / "elsewhere")
        status, said = health(served.port)
        assert status == 503
        assert gone in said
        (root / "elsewhere").rename(root / gone)
        assert health(served.port)[1] != said


@pytest.mark.parametrize("harm", ["missing", "cut short", "page", "metadata", "list", "project"])
def test_health_tells_that_pages_name_what_is_not_there(root: Path, harm: str) -> None:
    victims = {
        "page": "simple/alpha/index.v1_json",
        "list": "simple/index.v1_json",
        "project": "simple/beta-two/index.v1_json",
        "metadata": "packages/alpha/alpha-1.0-py3-none-any.whl.metadata",
    }
    victim = root / victims.get(harm, "packages/beta-two/beta_two-2.1-py3-none-any.whl")
    if harm in ("cut short", "page"):
        victim.write_bytes(b"")
    else:
        victim.unlink()
    with running(root) as served:
        assert wait_until(lambda: health(served.port)[0] == 503)
        assert "1 file is missing or not what the pages say" in health(served.port)[1]
        assert victim.name not in health(served.port)[1]  # it asks for no password
        assert victim.name in served.wait_for_line("is missing, or not what")


@pytest.mark.parametrize("name", ["../../elsewhere", "..", ".hidden", "", "a\x00b"])
def test_health_reads_nothing_outside_of_the_mirror_whatever_its_list_names(root: Path, name: str) -> None:
    page = json.dumps({"files": [{"url": "none.whl"}] * 3}).encode()
    for outside in (root / "simple" / name.replace("\x00", ""), root):
        if not (outside / "index.v1_json").exists():
            write(outside / "index.v1_json", page)
    write(root / "simple" / "index.v1_json", json.dumps({"projects": [{"name": name}]}).encode())
    inspection = (server := load_server()).Inspection(server.Tree(root))
    inspection.begin(0.0)
    inspection._job.result(PATIENCE)
    inspection.close()
    assert inspection.fault.startswith("1 file is missing")  # the page itself, and none of those that it names


def test_health_looks_at_the_files_in_the_background_and_seldom(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = load_server()
    looks, gate = list[str](), Gate()

    def look(_: object, path: str, size: int | None) -> bool:
        looks.append(path)
        gate.pass_through()
        return True

    monkeypatch.setattr(server.Inspection, "_is_there", look)
    inspection = server.Inspection(server.Tree(root))
    for second in range(1000):
        inspection.begin(second)  # comes back though the first file is still being looked at
    gate.open()
    inspection._job.result(PATIENCE)
    assert len(looks) == len(set(looks)) == 9
    inspection.begin(inspection._due - 0.1)
    assert len(looks) == 9
    inspection.begin(inspection._due)
    inspection._job.result(PATIENCE)
    assert len(looks) == 18
    inspection.close()


def test_metrics_count_requests_bytes_misses_and_time(root: Path) -> None:
    with running(root) as served, Client(served.port) as client:
        client.ask("/packages/large/large-1.0.tar.gz")
        client.ask("/packages/large/large-1.0.tar.gz", method="HEAD")
        client.ask("/simple/none/")
        answer = client.ask("/metrics")
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = dict(re.findall(r"(?m)^([a-z_]+(?:\{[^}]*\})?) ([0-9.]+)$", answer.body.decode()))
    comments = set(re.findall(r"(?m)^# (?:HELP|TYPE) ([a-z_]+) ", answer.body.decode()))
    assert {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in samples} <= comments
    assert samples['mirror_requests_total{method="GET",status="200"}'] == "1"
    assert samples['mirror_requests_total{method="HEAD",status="200"}'] == "1"
    assert samples['mirror_requests_total{method="GET",status="404"}'] == "1"
    assert samples["mirror_missing_total"] == "1"
    assert int(samples["mirror_sent_bytes_total"]) > 300_000
    assert samples['mirror_request_seconds_bucket{le="+Inf"}'] == samples["mirror_request_seconds_count"] == "3"
    assert samples["mirror_connections"] == "1"


def test_a_file_that_can_not_be_read_is_told_to_the_operator(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    (root / "packages/large/large-1.0.tar.gz").chmod(0)
    with running(root) as served:
        assert ask(served.port, "/packages/large/large-1.0.tar.gz").status == 500
        served.wait_for_line("can't read packages/large")


def test_a_mirror_with_another_manifest_is_served_too(root: Path) -> None:
    write(root / "mirror.json", b"[]")
    seal_mirror(root)
    with running(root) as served:
        assert str(root) in served.welcome[0]
