"""What people see at a terminal, through one: tables that are drawn anew in their place."""

import os
import pty
import re
import select
import signal
import subprocess
import time

from conftest import MILLPOND
from load_balancing import Backend, free_port

REDRAW = "\x1b[H\x1b[J"


class Terminal:
    """A program with a terminal of its own, and what it has written there."""

    def __init__(self, *words):
        self.output, terminal = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MILLPOND_"))}
        self.process = subprocess.Popen(
            [MILLPOND, *words], stdin=terminal, stdout=terminal, stderr=terminal, env=kept, start_new_session=True
        )
        os.close(terminal)
        self.written = ""

    def until(self, is_so, within=20):
        deadline = time.monotonic() + within
        while not is_so(self.written):
            assert time.monotonic() < deadline and self.process.poll() is None, self.written
            if select.select([self.output], [], [], 0.5)[0]:
                self.written += os.read(self.output, 65536).decode()
        return self.written

    def end(self, how):
        self.process.send_signal(how)
        code = self.process.wait(10)
        os.close(self.output)
        return code


def test_lb_status_is_drawn_anew_each_second_and_shows_what_changes(platform):
    backend = Backend("one", free_port())
    balancer = platform.create([backend])
    terminal = Terminal("lb", "status", balancer.name, "--endpoint", platform.server.endpoint)
    pages = lambda: terminal.written.split(REDRAW)
    begun = time.monotonic()
    # The first time the whole screen is cleared, then only what is below the upper left corner.
    terminal.until(lambda _: len(pages()) > 2)
    assert pages()[0].startswith("\x1b[2J\x1b[H") and time.monotonic() - begun > 0.9
    instance = balancer.ids[backend]
    row = rf"{instance}\s.*InService"
    assert re.search(row, pages()[0]) and re.search(row, pages()[1]), pages()
    assert all(line.endswith("\r") for page in pages() for line in page.split("\n")[:-1]), "a terminal's lines"
    for _ in range(5):
        assert balancer.get().body == b"one"
    backend.kill()
    terminal.until(lambda _: re.search(rf"{instance}\s.*OutOfService", pages()[-1]))
    assert terminal.end(signal.SIGINT) == -signal.SIGINT
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def test_lb_status_ends_when_its_load_balancer_is_gone(platform):
    balancer = platform.create([])
    terminal = Terminal("lb", "status", balancer.name, "--endpoint", platform.server.endpoint)
    terminal.until(lambda written: balancer.name in written)
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)
    deadline = time.monotonic() + 10
    while terminal.process.poll() is None and time.monotonic() < deadline:
        if select.select([terminal.output], [], [], 0.2)[0]:
            try:
                terminal.written += os.read(terminal.output, 65536).decode()
            except OSError:
                break
    assert terminal.process.wait(10) == 1
    os.close(terminal.output)
    assert "there is no load balancer" in terminal.written
