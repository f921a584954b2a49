"""What the load balancer's tests share: instances that answer over HTTP, clients that look at every byte, and the
setting-up that a user does with `millpond instances add` and boto3."""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import socket
import socketserver
import subprocess
import threading
import time
import uuid

from conftest import MILLPOND, Server, cli_environment

# Each run has addresses of its own, so that two runs on one machine do not meet.
_OURS = random.Random(os.getpid() ^ time.time_ns())
_RUN, _FIRST = _OURS.randrange(64, 250), _OURS.randrange(1, 200)
_next = itertools.count()
ZONES = ["us-east-1a", "us-east-1b"]


def address():
    """A loopback address that nobody else has."""
    above, host = divmod(next(_next), 250)
    return f"127.{_RUN}.{_FIRST + above}.{host + 1}"


def free_port():
    """A port that nobody listens on at any loopback address."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


def eventually(what, is_so, within=40, every=0.1):
    """Waits until `is_so` says so, and gives back what it said."""
    deadline = time.monotonic() + within
    while True:
        answer = is_so()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(every)


class Backend:
    """An HTTP server on an instance's address. Its paths say how it behaves."""

    def __init__(self, name, port, ip=None, tls=None):
        self.name, self.ip, self.port, self.tls = name, ip or address(), port, tls
        self.seen = []
        self.server = None
        self.connections = set()
        self.start()

    def start(self):
        backend = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                backend.connections.add(self.request)
                try:
                    backend.serve(self.request)
                except OSError:
                    pass
                finally:
                    backend.connections.discard(self.request)

        class Listening(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 256

            def get_request(self):
                connection, peer = super().get_request()
                return (backend.tls.wrap_socket(connection, server_side=True) if backend.tls else connection), peer

            def handle_error(self, request, client_address):
                pass

        self.server = Listening((self.ip, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self):
        """As if the process had died: nothing listens, and open connections are cut."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self, connection):
        buffered = b""
        while True:
            while b"\r\n\r\n" not in buffered:
                data = connection.recv(65536)
                if not data:
                    return
                buffered += data
            head, buffered = buffered.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            method, target, _version = lines[0].split(" ")
            headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
            plain = {name.lower(): value for name, value in headers}
            if not plain.get("user-agent", "").startswith("ELB-HealthChecker"):
                self.seen.append((method, target, headers))
            if plain.get("upgrade") == "websocket":
                return self.web_socket(connection, plain, buffered)
            body, buffered = read_body(connection, plain, buffered)
            if target.startswith("/upload"):
                self.answer(connection, hashlib.sha256(body).hexdigest().encode())
            elif target == "/silent":
                time.sleep(60)
            elif target == "/gone":
                return
            elif target == "/garbage":
                connection.sendall(b"this is no HTTP\r\n\r\n")
                return
            elif target == "/half":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
                return
            elif target.startswith("/slow/"):
                time.sleep(float(target.rpartition("/")[2]))
                self.answer(connection, self.name.encode())
            elif target.startswith("/status/"):
                self.answer(connection, b"x", status=target.rpartition("/")[2])
            elif target.startswith("/large/"):
                self.answer(connection, b"x" * int(target.rpartition("/")[2]))
            elif target == "/login":
                self.answer(connection, self.name.encode(), "Set-Cookie: JSESSIONID=abc; Path=/app; HttpOnly")
            elif target == "/headers":
                self.answer(connection, json.dumps(headers).encode())
            else:
                self.answer(connection, self.name.encode())
            if plain.get("connection", "").lower() == "close":
                return

    def answer(self, connection, body, *headers, status="200"):
        lines = [f"HTTP/1.1 {status} OK", f"Content-Length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)

    def web_socket(self, connection, headers, buffered):
        accept = hashlib.sha1((headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        # Bytes come back as they are: what is upgraded is none of the balancer's business.
        while True:
            if buffered:
                connection.sendall(buffered)
            buffered = connection.recv(65536)
            if not buffered:
                return


def read_body(connection, headers, buffered):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while True:
            while b"\r\n" not in buffered:
                buffered += receive(connection)
            size, buffered = buffered.split(b"\r\n", 1)
            count = int(size.split(b";")[0], 16)
            while len(buffered) < count + 2:
                buffered += receive(connection)
            body, buffered = body + buffered[:count], buffered[count + 2 :]
            if count == 0:
                return body, buffered
    length = int(headers.get("content-length", 0))
    while len(buffered) < length:
        buffered += receive(connection)
    return buffered[:length], buffered[length:]


def receive(connection):
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the client went away")
    return data


class Answer:
    """A response, with its head as it came."""

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status_line, *lines = head.decode("latin-1").split("\r\n")
        self.headers = [tuple(line.split(": ", 1)) for line in lines]
        self.status = int(self.status_line.split(" ")[1]) if raw else None

    def all(self, name):
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)


def speak(where, request, timeout=20, wrap=None, closes=True):
    """Sends bytes and reads until the other side closes, or just what comes first."""
    with socket.create_connection(where, timeout=timeout) as plain:
        connection = wrap(plain) if wrap else plain
        connection.sendall(request)
        return read_all(connection) if closes else connection.recv(65536)


def read_all(connection):
    answer = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return answer
        if not data:
            return answer
        answer += data


def get(where, path="/", *headers, wrap=None, timeout=20):
    lines = [f"GET {path} HTTP/1.1", "Host: web.example.com", "Connection: close", *headers, "", ""]
    return Answer(speak(where, "\r\n".join(lines).encode(), timeout, wrap))


class Platform:
    """A server with its data directory, and load balancers on it as a user makes them."""

    def __init__(self, directory, config="", *flags):
        self.directory = pathlib.Path(directory)
        self.dns = ("127.0.0.1", free_port())
        self.nodes = {zone: [address() for _ in range(24)] for zone in ZONES}
        zones = "".join(f'[[zone]]\nname = "{zone}"\naddresses = {json.dumps(self.nodes[zone])}\n' for zone in ZONES)
        dns = f'[dns]\nlisten = "127.0.0.1:{self.dns[1]}"\nzone = "elb.example.com"\n'
        self.config = self.directory / "millpond.toml"
        self.config.write_text(config + zones + dns)
        self.server = Server(
            self.directory, "--config", str(self.config), *flags, data_dir=self.directory / "data"
        ).start()
        self.connect()

    def connect(self):
        self.elb, self.s3 = self.server.client("elb"), self.server.client("s3", s3={"addressing_style": "path"})
        self.ec2, self.iam = self.server.client("ec2"), self.server.client("iam")

    def restart(self, how):
        self.server.stop(how)
        self.server.start()
        self.connect()

    def aws(self, *words, check=True):
        """The AWS CLI, as a user types it; its answer as JSON."""
        result = subprocess.run(
            ["aws", "--output", "json", *words],
            capture_output=True,
            text=True,
            env=cli_environment(self.server.endpoint),
            cwd=self.directory,
            timeout=60,
        )
        if not check:
            return result
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) if result.stdout.startswith(("{", "[")) else None

    def add_instance(self, ip, zone=ZONES[0]):
        """`millpond instances add`, which prints the id."""
        result = subprocess.run(
            [MILLPOND, "instances", "add", "--ip", ip, "--zone", zone, "--data-dir", str(self.directory / "data")]
            + ["--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode == 0, result.stderr
        instance = result.stdout.strip()
        assert re.fullmatch(r"i-[0-9a-f]{8,17}", instance), result.stdout
        return instance

    def node(self, name, zone=ZONES[0]):
        """The address of a load balancer's node, as DNS says it."""
        return eventually(
            f"DNS answers for {name}", lambda: self.dig(self.dns_name(name)) & set(self.nodes[zone])
        ).pop()

    def dns_name(self, name):
        return self.describe(name)["DNSName"]

    def dig(self, name, *options):
        words = ["dig", f"@{self.dns[0]}", "-p", str(self.dns[1]), "+tries=1", "+time=5", *options, name, "A"]
        if not options:
            words.append("+short")
        result = subprocess.run(words, capture_output=True, text=True, timeout=20)
        assert result.returncode == 0, result.stdout
        return result.stdout if options else set(result.stdout.split())

    def describe(self, name):
        return self.elb.describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"][0]

    def create(self, backends, listeners=None, check=None, zones=(ZONES[0],), scheme=None, name=None):
        """A load balancer before `backends` (a backend, or it and its zone), all in service when this returns."""
        pairs = [pair if isinstance(pair, tuple) else (pair, ZONES[0]) for pair in backends]
        instance_port = pairs[0][0].port if pairs else free_port()
        balancer = LoadBalancer(self, name or f"lb-{uuid.uuid4().hex[:10]}", instance_port)
        listeners = listeners or [balancer.listener("HTTP")]
        extra = {"Scheme": scheme} if scheme else {}
        self.elb.create_load_balancer(
            LoadBalancerName=balancer.name, AvailabilityZones=list(zones), Listeners=listeners, **extra
        )
        balancer.port = listeners[0]["LoadBalancerPort"]
        self.elb.configure_health_check(
            LoadBalancerName=balancer.name,
            HealthCheck={
                "Target": check or f"TCP:{instance_port}",
                "Interval": 5,
                "Timeout": 2,
                "UnhealthyThreshold": 2,
                "HealthyThreshold": 2,
            },
        )
        for backend, zone in pairs:
            balancer.ids[backend] = self.add_instance(backend.ip, zone)
        if pairs:
            balancer.register(*balancer.ids.values())
            balancer.wait(*balancer.ids.values())
            for zone in zones:
                balancer.nodes[zone] = self.node(balancer.name, zone)
        return balancer


class LoadBalancer:
    """A load balancer that a test has made."""

    def __init__(self, platform, name, instance_port):
        self.platform, self.name, self.instance_port = platform, name, instance_port
        self.ids, self.nodes, self.port = {}, {}, None

    @property
    def where(self):
        return (self.nodes[ZONES[0]], self.port)

    def listener(self, protocol, instance_protocol=None, certificate=None, port=None):
        listener = {
            "Protocol": protocol,
            "LoadBalancerPort": port or free_port(),
            "InstanceProtocol": instance_protocol or protocol,
            "InstancePort": self.instance_port,
        }
        return {**listener, "SSLCertificateId": certificate} if certificate else listener

    def register(self, *ids):
        instances = [{"InstanceId": one} for one in ids]
        self.platform.elb.register_instances_with_load_balancer(LoadBalancerName=self.name, Instances=instances)

    def deregister(self, *ids):
        instances = [{"InstanceId": one} for one in ids]
        self.platform.elb.deregister_instances_from_load_balancer(LoadBalancerName=self.name, Instances=instances)

    def health(self, instance):
        answer = self.platform.elb.describe_instance_health(
            LoadBalancerName=self.name, Instances=[{"InstanceId": instance}]
        )
        state = answer["InstanceStates"][0]
        return state["State"], state["ReasonCode"], state["Description"]

    def wait(self, *ids, waiter="instance_in_service"):
        self.platform.elb.get_waiter(waiter).wait(
            LoadBalancerName=self.name,
            Instances=[{"InstanceId": one} for one in ids],
            WaiterConfig={"Delay": 1, "MaxAttempts": 40},
        )

    def modify(self, **attributes):
        return self.platform.elb.modify_load_balancer_attributes(
            LoadBalancerName=self.name, LoadBalancerAttributes=attributes
        )["LoadBalancerAttributes"]

    def get(self, path="/", *headers, zone=ZONES[0], **options):
        return get((self.nodes[zone], self.port), path, *headers, **options)


def make_authority(directory):
    """A root and an intermediate, made by openssl as its manual says; what signs servers' certificates."""
    directory = pathlib.Path(directory)
    openssl(
        directory,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "root.key",
        "-out",
        "root.pem",
        "-days",
        "30",
        "-subj",
        "/CN=Millpond test root",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    )
    (directory / "ca.ext").write_text(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    )
    request(directory, "intermediate", "Millpond test intermediate")
    sign(directory, "intermediate", "root", "ca.ext")
    return directory


def make_certificate(directory, name, host="web.example.com"):
    """A server's certificate, key and chain."""
    (directory / f"{name}.ext").write_text(
        f"basicConstraints=CA:FALSE\nsubjectAltName=DNS:{host}\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        "extendedKeyUsage=serverAuth\n"
    )
    request(directory, name, host)
    sign(directory, name, "intermediate", f"{name}.ext")


def request(directory, name, subject):
    openssl(
        directory,
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.csr",
        "-subj",
        f"/CN={subject}",
    )


def sign(directory, name, by, extensions):
    openssl(
        directory,
        "x509",
        "-req",
        "-in",
        f"{name}.csr",
        "-CA",
        f"{by}.pem",
        "-CAkey",
        f"{by}.key",
        "-CAcreateserial",
        "-out",
        f"{name}.pem",
        "-days",
        "20",
        "-extfile",
        extensions,
    )


def openssl(directory, *words):
    result = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout
