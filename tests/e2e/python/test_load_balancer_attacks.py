"""What hostile clients find: testssl's whole list, and slowhttptest's slow clients while others are served."""

import json
import pathlib
import subprocess
import threading
import time
import uuid

import pytest

from load_balancing import Backend, free_port, speak


def test_testssl_finds_no_vulnerability_and_only_tls_1_2_and_1_3(platform, authority, tmp_path):
    backend = Backend("one", free_port())
    name = f"testssl-{uuid.uuid4().hex[:8]}"
    read = lambda file: (authority / file).read_text()
    arn = platform.iam.upload_server_certificate(
        ServerCertificateName=name,
        CertificateBody=read("web.pem"),
        PrivateKey=read("web.key"),
        CertificateChain=read("intermediate.pem"),
    )["ServerCertificateMetadata"]["Arn"]
    balancer = platform.create([backend])
    port = free_port()
    platform.elb.create_load_balancer_listeners(
        LoadBalancerName=balancer.name, Listeners=[balancer.listener("HTTPS", "HTTP", arn, port)]
    )
    findings = tmp_path / "findings.json"
    result = subprocess.run(
        [
            "testssl",
            "--quiet",
            "--warnings",
            "off",
            "--color",
            "0",
            "--nodns",
            "none",
            "--ip",
            balancer.where[0],
            "--connect-timeout",
            "10",
            "--openssl-timeout",
            "10",
            "--fast",
            "-p",
            "-U",
            "--jsonfile",
            str(findings),
            f"web.example.com:{port}",
        ],
        capture_output=True,
        text=True,
        timeout=170,
        stdin=subprocess.DEVNULL,
    )
    found = json.loads(findings.read_text())
    by_id = {one["id"]: one for one in found}
    assert by_id, result.stdout + result.stderr
    protocols = {
        id: by_id[id]["finding"].split(" ")[0] for id in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3")
    }
    assert protocols == {
        "SSLv2": "not",
        "SSLv3": "not",
        "TLS1": "not",
        "TLS1_1": "not",
        "TLS1_2": "offered",
        "TLS1_3": "offered",
    }, protocols
    checked = {
        "heartbleed",
        "CCS",
        "ticketbleed",
        "ROBOT",
        "secure_renego",
        "secure_client_renego",
        "CRIME_TLS",
        "POODLE_SSL",
        "SWEET32",
        "FREAK",
        "DROWN",
        "LOGJAM",
        "BEAST",
        "LUCKY13",
        "RC4",
    }
    assert checked <= set(by_id), checked - set(by_id)
    # This machine's openssl is too new to ask for RC4: it is asked for below.
    here = lambda one: (
        one["id"] == "engine_problem" or (one["id"] == "RC4" and "not supported by local" in one["finding"])
    )
    bad = [one for one in found if one["severity"] not in ("OK", "INFO") and not here(one)]
    assert not bad, bad
    for suites in (b"\x00\x05\xc0\x11\xc0\x07", b"\x00\x0a\xc0\x12", b"\x00\x2f\xc0\x13"):
        assert speak((balancer.where[0], port), client_hello(suites))[:1] in (b"\x15", b""), (
            "RC4, 3DES or CBC is spoken"
        )
    assert speak((balancer.where[0], port), client_hello(b"\xc0\x2f\xc0\x2b"), closes=False)[:1] == b"\x16"
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def client_hello(suites):
    """A TLS 1.2 client's first words, offering just these suites; P-256, and the usual signatures."""
    extensions = (
        b"\x00\x0a\x00\x04\x00\x02\x00\x17"
        + b"\x00\x0b\x00\x02\x01\x00"
        + b"\x00\x0d\x00\x0a\x00\x08\x04\x01\x08\x04\x05\x01\x06\x01"
        + b"\x00\x17\x00\x00"
    )
    body = b"\x03\x03" + bytes(32) + b"\x00" + len(suites).to_bytes(2) + suites + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


@pytest.fixture(scope="module")
def attacked(platform):
    backend = Backend("one", free_port())
    balancer = platform.create([backend])
    balancer.modify(ConnectionSettings={"IdleTimeout": 5})
    yield balancer
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


@pytest.mark.parametrize(
    ("mode", "flags"),
    [
        ("slow headers", ["-H", "-x", "24"]),
        ("slow bodies", ["-B", "-t", "POST", "-s", "8192", "-x", "10"]),
        ("slow reading", ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1"]),
    ],
)
def test_slow_clients_keep_nobody_from_being_served(attacked, tmp_path, mode, flags):
    path = "/large/400000" if "-X" in flags else "/index.html"
    stop, times, failures = threading.Event(), [], []

    def serve():
        while not stop.is_set():
            began = time.monotonic()
            try:
                answer = attacked.get("/")
                if (answer.status, answer.body) != (200, b"one"):
                    failures.append(answer.raw)
            except OSError as error:
                failures.append(repr(error))
            times.append(time.monotonic() - began)
            time.sleep(0.05)

    others = [threading.Thread(target=serve) for _ in range(2)]
    for other in others:
        other.start()
    result = subprocess.run(
        [
            "slowhttptest",
            "-c",
            "200",
            "-r",
            "100",
            "-l",
            "8",
            "-i",
            "3",
            "-p",
            "3",
            "-g",
            "-o",
            str(tmp_path / "slow"),
            *flags,
            "-u",
            f"http://{attacked.where[0]}:{attacked.where[1]}{path}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    stop.set()
    for other in others:
        other.join()
    rows = [line.split(",") for line in (pathlib.Path(tmp_path) / "slow.csv").read_text().splitlines()[1:]]
    assert rows and max(int(row[3]) + int(row[1]) for row in rows) > 0, result.stdout
    assert failures == [] and len(times) > 30, mode
    assert max(times) < 3, f"{mode}: another client waited {max(times):.1f} s"
