"""`millpond demo`: the story told by a server of its own, and nothing left of it, whether it ends or is ended."""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import MILLPOND
from load_balancing import eventually


def environment(directory):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MILLPOND_"))}
    return {**kept, "TMPDIR": str(directory)}


def left(directory):
    """Files, and processes that know the demo's directory: its server, its instances and what they run."""
    found = [str(path) for path in directory.iterdir()]
    for process in pathlib.Path("/proc").iterdir():
        try:
            if process.name.isdigit():
                line = (process / "cmdline").read_bytes()
                if str(directory).encode() in (process / "environ").read_bytes() + line:
                    found.append(line.replace(b"\0", b" ").decode())
        except OSError:
            pass
    return found


def test_both_halves_of_the_story_are_told(tmp_path):
    told = subprocess.run(
        [MILLPOND, "demo"], capture_output=True, text=True, env=environment(tmp_path), cwd=tmp_path, timeout=170
    )
    story = told.stdout
    assert told.returncode == 0, story + told.stderr
    # The load balancer's: deployed, taking turns, killed, found out, replaced, deleted.
    assert re.search(r"CREATE_COMPLETE  LoadBalancer \(AWS::ElasticLoadBalancing::LoadBalancer\)", story), story
    assert "URL = http://web-" in story
    servers = re.findall(r"\$ curl http://127\.16\.[\d.]+:\d+/\n    (172\.31\.[\d.]+)\n", story)
    assert len(servers) == 8 and len(set(servers[:4])) == len(set(servers[4:])) == 2, servers
    assert servers[0] not in servers[4:], servers
    assert re.search(r"kill -9 \d+     # python3 -m http.server \d+ --bind 127\.31\.", story)
    (out,) = re.findall(rf"([\d.]+) s  i-\w+ \({re.escape(servers[0])}\) is OutOfService", story)
    replaced = [float(seconds) for seconds in re.findall(r"([\d.]+) s  i-\w+ \([^)]*\) is InService", story)]
    assert 0 < float(out) < max(replaced) < 120, story
    assert "instances left: 0" in story
    # The queue's.
    assert "received 2 times" in story and "<h1>Done.</h1>" in story and "queues left: 0" in story
    assert story.index("instances left: 0") < story.index("create-queue")
    assert left(tmp_path) == []


@pytest.mark.parametrize("until", ["InService|curl http", "is working on it"])
def test_ctrl_c_ends_it_and_all_that_it_began(tmp_path, until):
    half = ["servers"] if "curl" in until else ["queue"]
    output, terminal = pty.openpty()
    process = subprocess.Popen(
        [MILLPOND, "demo", *half],
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
        start_new_session=True,
        env=environment(tmp_path),
        cwd=tmp_path,
    )
    os.close(terminal)
    story, deadline = b"", time.monotonic() + 90
    while not re.search(until.encode(), story):
        assert time.monotonic() < deadline, story
        if select.select([output], [], [], 1)[0]:
            story += os.read(output, 65536)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    os.close(output)
    eventually("nothing is left", lambda: left(tmp_path) == [], within=10)
