"""What clients and servers see of the balancer: bytes on sockets, in every case that has a name."""

import hashlib
import os
import socket
import ssl
import threading
import time
import uuid
from collections import Counter

import pytest

from load_balancing import Answer, Backend, address, eventually, free_port, get, openssl, read_all, speak

NOW_EMPTY = "Content-Length: 0"


@pytest.fixture
def pair(platform):
    """A load balancer before two servers; both, and it."""
    port = free_port()
    one, two = Backend("one", port), Backend("two", port)
    balancer = platform.create([one, two])
    yield balancer, one, two
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


@pytest.fixture
def single(platform):
    """A load balancer before one server; both."""
    one = Backend("one", free_port())
    balancer = platform.create([one])
    yield balancer, one
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def set_policies(balancer, *names):
    balancer.platform.elb.set_load_balancer_policies_of_listener(
        LoadBalancerName=balancer.name, LoadBalancerPort=balancer.port, PolicyNames=list(names)
    )


def cookie_of(answer, name="AWSELB"):
    for line in answer.all("Set-Cookie"):
        known, _, rest = line.partition("=")
        if known == name:
            return rest.split(";")[0], [part.strip() for part in rest.split(";")[1:]]
    return None


def test_clients_stick_by_the_load_balancers_cookie(pair):
    balancer, one, two = pair
    balancer.platform.elb.create_lb_cookie_stickiness_policy(
        LoadBalancerName=balancer.name, PolicyName="sticky", CookieExpirationPeriod=60
    )
    set_policies(balancer, "sticky")
    first = balancer.get()
    value, attributes = cookie_of(first)
    assert {part.upper() for part in attributes} == {"PATH=/", "MAX-AGE=60"}
    assert int(value, 16) and "HttpOnly" not in attributes
    again = [balancer.get("/", f"Cookie: AWSELB={value}") for _ in range(10)]
    assert {answer.body for answer in again} == {first.body}
    # The server is gone: the client gets another, and another cookie.
    mine, other = (one, two) if first.body == b"one" else (two, one)
    balancer.deregister(balancer.ids[mine])
    moved = balancer.get("/", f"Cookie: AWSELB={value}")
    assert moved.body == other.name.encode() and cookie_of(moved)[0] != value
    # What nobody made is no cookie.
    assert balancer.get("/", "Cookie: AWSELB=zzzz").status == 200
    # Without a period it lasts for the browser's session; without a policy there is none.
    balancer.platform.elb.create_lb_cookie_stickiness_policy(LoadBalancerName=balancer.name, PolicyName="session")
    set_policies(balancer, "session")
    assert {part.upper() for part in cookie_of(balancer.get())[1]} == {"PATH=/"}
    set_policies(balancer)
    assert cookie_of(balancer.get()) is None


def test_clients_stick_by_the_applications_cookie(pair):
    balancer, _, _ = pair
    balancer.platform.elb.create_app_cookie_stickiness_policy(
        LoadBalancerName=balancer.name, PolicyName="app", CookieName="JSESSIONID"
    )
    set_policies(balancer, "app")
    assert cookie_of(balancer.get("/")) is None
    login = balancer.get("/login")
    value, attributes = cookie_of(login)
    assert {part.lower() for part in attributes} == {"path=/app", "httponly"}
    both = f"Cookie: JSESSIONID=abc; AWSELB={value}"
    assert {balancer.get("/app", both).body for _ in range(10)} == {login.body}


def test_what_the_server_is_told_of_the_client(single):
    balancer, one = single
    balancer.get("/headers", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: gopher", "X-Odd: a b", "Keep-Alive: 5")
    method, target, headers = one.seen[-1]
    plain = {name.lower(): value for name, value in headers}
    assert (method, target) == ("GET", "/headers")
    assert plain["x-forwarded-for"].startswith("203.0.113.7, 127.")
    assert (plain["x-forwarded-proto"], plain["x-forwarded-port"]) == ("http", str(balancer.port))
    assert (plain["host"], plain["x-odd"]) == ("web.example.com", "a b")
    assert "keep-alive" not in plain
    balancer.get("/headers")
    assert {name.lower(): value for name, value in one.seen[-1][2]}["x-forwarded-for"].startswith("127.")
    # HTTP/1.0 without Host: the node's address.
    answer = speak(balancer.where, b"GET /headers HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.") and b" 200 " in answer
    assert {name.lower(): value for name, value in one.seen[-1][2]}["host"] == balancer.where[0]


def test_bodies_go_both_ways_unchanged(single):
    balancer, _ = single
    body = os.urandom(3_000_000)
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert Answer(speak(balancer.where, head + body)).body == hashlib.sha256(body).hexdigest().encode()
    chunks = (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:70_000], body[70_000:70_001])) + b"0\r\n\r\n"
    )
    head = b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert Answer(speak(balancer.where, head + chunks)).body == hashlib.sha256(body[:70_001]).hexdigest().encode()
    assert balancer.get("/large/3000000").body == b"x" * 3_000_000
    head = b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with socket.create_connection(balancer.where, timeout=10) as client:
        client.sendall(head)
        assert client.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert read_all(client).startswith(b"HTTP/1.1 200")


def test_web_sockets_pass(single):
    balancer, _ = single
    ask = (
        b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(balancer.where, timeout=10) as client:
        client.sendall(ask)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        for frame in (b"\x81\x05hello", os.urandom(100_000)):
            client.sendall(frame)
            echoed = b""
            while len(echoed) < len(frame):
                echoed += client.recv(65536)
            assert echoed == frame


def refused(balancer, request):
    return Answer(speak(balancer.where, request))


def test_failures_are_answered_in_elbs_words(single):
    """400, 405, 408, 502, 503 and 504, to the byte."""
    balancer, one = single
    close = b"\r\nHost: x\r\nConnection: close\r\n\r\n"
    for request in (
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"CONNECT web.example.com:443 HTTP/1.1\r\nHost: web.example.com:443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    ):
        answer = refused(balancer, request)
        assert answer.status_line == "HTTP/1.1 400 BAD_REQUEST", request
        assert answer.all("Content-Length") == ["0"] and answer.all("Connection") == ["close"] and answer.body == b""
    answer = refused(balancer, b"X" * 128 + b" / HTTP/1.1" + close)
    assert answer.status_line == "HTTP/1.1 405 METHOD_NOT_ALLOWED"
    assert refused(balancer, b"X" * 127 + b" / HTTP/1.1" + close).status == 200
    for path in ("/garbage", "/half"):
        assert balancer.get(path).status_line == "HTTP/1.1 502 BAD_GATEWAY", path
    # A server that hangs up on a new connection has answered badly; on a kept one, its goodbye crossed the request.
    assert balancer.get("/gone").status_line == "HTTP/1.1 502 BAD_GATEWAY"
    with socket.create_connection(balancer.where, timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not client.recv(4096).endswith(b"one"):
            pass
        client.sendall(b"POST /gone HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\nHost: x\r\n\r\n")
        assert Answer(read_all(client)).status_line == "HTTP/1.1 504 GATEWAY_TIMEOUT"
    balancer.modify(ConnectionSettings={"IdleTimeout": 2})
    began = time.monotonic()
    assert balancer.get("/silent").status_line == "HTTP/1.1 504 GATEWAY_TIMEOUT"
    assert 1.5 < time.monotonic() - began < 8
    began = time.monotonic()
    answer = refused(balancer, b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert answer.status_line == "HTTP/1.1 408 REQUEST_TIMEOUT" and 1.5 < time.monotonic() - began < 8
    # A client that asks nothing is closed without a word.
    began = time.monotonic()
    assert speak(balancer.where, b"") == b"" and 1.5 < time.monotonic() - began < 8
    balancer.deregister(balancer.ids[one])
    answer = balancer.get()
    assert answer.status_line == "HTTP/1.1 503 Service Unavailable: Back-end server is at capacity"
    assert answer.all("Content-Length") == ["0"] and answer.body == b""


def test_draining_lets_an_upload_finish(pair):
    balancer, one, two = pair
    balancer.modify(ConnectionDraining={"Enabled": True, "Timeout": 30})
    body = os.urandom(400_000)
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(balancer.where, timeout=30) as client:
        client.sendall(head + body[:200_000])
        uploading = eventually(
            "the upload reaches a server",
            lambda: next(
                (backend for backend in (one, two) if any(target == "/upload" for _, target, _ in backend.seen)), None
            ),
        )
        instance = balancer.ids[uploading]
        balancer.deregister(instance)
        assert balancer.health(instance) == ("InService", "N/A", "Instance deregistration currently in progress.")
        other = two if uploading is one else one
        assert {balancer.get().body for _ in range(6)} == {other.name.encode()}
        for start in range(200_000, len(body), 50_000):
            client.sendall(body[start : start + 50_000])
            time.sleep(0.2)
        assert Answer(read_all(client)).body == hashlib.sha256(body).hexdigest().encode()
    balancer.wait(instance, waiter="instance_deregistered")
    gone = ("OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer.")
    eventually("it has drained", lambda: balancer.health(instance) == gone)
    # Without draining, what is under way is cut.
    balancer.modify(ConnectionDraining={"Enabled": False})
    with socket.create_connection(balancer.where, timeout=30) as client:
        client.sendall(b"GET /slow/20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        eventually("the request is there", lambda: any(target == "/slow/20" for _, target, _ in other.seen))
        began = time.monotonic()
        balancer.deregister(balancer.ids[other])
        answer = read_all(client)
        assert time.monotonic() - began < 5
        assert answer == b"" or b" 502 " in answer.split(b"\r\n")[0] or b" 504 " in answer.split(b"\r\n")[0], answer


class Recorder:
    """A TCP server that keeps what it gets, and answers after each piece."""

    def __init__(self):
        self.ip, self.got = address(), []
        self.listener = socket.create_server((self.ip, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        place = len(self.got)
        self.got.append(b"")
        with connection:
            while data := connection.recv(65536):
                self.got[place] += data
                connection.sendall(b"got it")


def test_the_proxy_protocol_tells_a_tcp_server_who_speaks(platform):
    server = Recorder()
    port = free_port()
    balancer = platform.create(
        [server],
        [{"Protocol": "TCP", "LoadBalancerPort": port, "InstanceProtocol": "TCP", "InstancePort": server.port}],
    )
    platform.elb.create_load_balancer_policy(
        LoadBalancerName=balancer.name,
        PolicyName="proxy",
        PolicyTypeName="ProxyProtocolPolicyType",
        PolicyAttributes=[{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}],
    )

    def say(words):
        with socket.create_connection(balancer.where, timeout=10) as client:
            client.sendall(words)
            assert client.recv(100).startswith(b"got it")
            return client.getsockname()

    say(b"plain")
    assert b"plain" in server.got
    set_backend = lambda *names: platform.elb.set_load_balancer_policies_for_backend_server(
        LoadBalancerName=balancer.name, InstancePort=server.port, PolicyNames=list(names)
    )
    set_backend("proxy")
    host, client_port = say(b"hello")
    line = f"PROXY TCP4 {host} {balancer.where[0]} {client_port} {port}\r\n".encode()
    assert eventually("the line", lambda: [got for got in server.got if got.endswith(b"hello")]) == [line + b"hello"]
    set_backend()
    say(b"again")
    assert b"again" in server.got
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def test_tcp_connections_go_round_and_close_by_halves(platform):
    port = free_port()
    one, two = Backend("one", port), Backend("two", port)
    balancer = platform.create(
        [one, two],
        [{"Protocol": "TCP", "LoadBalancerPort": free_port(), "InstanceProtocol": "TCP", "InstancePort": port}],
    )
    assert Counter(balancer.get().body for _ in range(10)) in (
        {b"one": 5, b"two": 5},
        {b"one": 6, b"two": 4},
        {b"one": 4, b"two": 6},
    )
    # The client has said all that it will; the server's answer still comes.
    with socket.create_connection(balancer.where, timeout=10) as client:
        client.sendall(b"GET /slow/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith((b"one", b"two"))
    for backend in (one, two):
        backend.kill()
    failed = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
    eventually("all are out", lambda: all(balancer.health(one)[2] == failed for one in balancer.ids.values()))
    assert speak(balancer.where, b"") == b""
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def test_requests_wait_for_a_busy_server_and_beyond_the_queue_get_503(tmp_path):
    from load_balancing import Platform

    platform = Platform(tmp_path, "[balancer]\nworker_threads = 1\ntarget_connections_max = 1\nsurge_queue_max = 2\n")
    one = Backend("one", free_port())
    balancer = platform.create([one])
    answers = []
    ask = lambda: answers.append(balancer.get("/slow/2"))
    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
        time.sleep(0.3)
    spilt = balancer.get()
    assert spilt.status_line == "HTTP/1.1 503 Service Unavailable: Back-end server is at capacity"
    for client in clients:
        client.join()
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert platform.server.stop() == 0


def test_servers_that_speak_tls_are_known_by_their_keys(platform, authority):
    arn = upload_certificate(platform, authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(authority / "next.pem"), str(authority / "next.key"))
    one = Backend("one", free_port(), tls=context)
    balancer = platform.create([one], check=None)
    elb, https, ssl_port = platform.elb, free_port(), free_port()
    listeners = [balancer.listener("HTTPS", "HTTPS", arn, https), balancer.listener("SSL", "SSL", arn, ssl_port)]
    # The port cannot speak TLS for some listeners and not for others.
    with pytest.raises(elb.exceptions.InvalidConfigurationRequestException, match="share InstancePort"):
        elb.create_load_balancer_listeners(LoadBalancerName=balancer.name, Listeners=listeners)
    elb.delete_load_balancer_listeners(LoadBalancerName=balancer.name, LoadBalancerPorts=[balancer.port])
    elb.create_load_balancer_listeners(LoadBalancerName=balancer.name, Listeners=listeners)
    trusted = ssl.create_default_context(cafile=str(authority / "root.pem"))
    wrap = lambda plain: trusted.wrap_socket(plain, server_hostname="web.example.com")
    ask = lambda port: get((balancer.where[0], port), "/headers", wrap=wrap)
    # Without authentication any certificate will do.
    for port in (https, ssl_port):
        assert ask(port).status == 200
    assert {name.lower(): value for name, value in ask(https).json()}["x-forwarded-proto"] == "https"
    assert "x-forwarded-proto" not in {name.lower() for name, _ in ask(ssl_port).json()}
    for name in ("web", "next"):
        pem = openssl(authority, "rsa", "-in", f"{name}.key", "-pubout")
        key = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
        create_policy(balancer, f"key-{name}", "PublicKeyPolicyType", PublicKey=key)
        create_policy(
            balancer, f"auth-{name}", "BackendServerAuthenticationPolicyType", PublicKeyPolicyName=f"key-{name}"
        )
    authenticate = lambda *names: elb.set_load_balancer_policies_for_backend_server(
        LoadBalancerName=balancer.name, InstancePort=one.port, PolicyNames=list(names)
    )
    authenticate("auth-web")
    assert ask(https).status in (502, 503, 504)
    authenticate("auth-next")
    eventually("the right key serves", lambda: ask(https).status == 200)
    elb.delete_load_balancer(LoadBalancerName=balancer.name)


def create_policy(balancer, name, of, **attributes):
    attributes = [{"AttributeName": name, "AttributeValue": value} for name, value in attributes.items()]
    balancer.platform.elb.create_load_balancer_policy(
        LoadBalancerName=balancer.name, PolicyName=name, PolicyTypeName=of, PolicyAttributes=attributes
    )


def upload_certificate(platform, authority):
    read = lambda file: (authority / file).read_text()
    return platform.iam.upload_server_certificate(
        ServerCertificateName=f"traffic-{uuid.uuid4().hex[:8]}",
        CertificateBody=read("web.pem"),
        PrivateKey=read("web.key"),
        CertificateChain=read("intermediate.pem"),
    )["ServerCertificateMetadata"]["Arn"]


def test_the_desync_mitigation_mode_decides_what_is_forwarded(single):
    balancer, one = single
    request = b"GET /acceptable HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    mode = lambda value: balancer.modify(
        AdditionalAttributes=[{"Key": "elb.http.desyncmitigationmode", "Value": value}]
    )
    for value, status in (("monitor", 200), ("defensive", 200), ("strictest", 400)):
        assert mode(value)["AdditionalAttributes"][0]["Value"] == value
        assert Answer(speak(balancer.where, request)).status == status, value
    assert len([target for _, target, _ in one.seen if target == "/acceptable"]) == 2
