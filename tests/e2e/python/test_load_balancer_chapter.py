"""The load balancer's chapter, listing by listing, typed on the command line."""

import datetime
import json
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections import Counter

import botocore.exceptions
import pytest

from load_balancing import ZONES, Backend, address, eventually, free_port, get, speak

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def test_http_with_a_health_check(platform):
    """Listing by listing: create, configure the check, register, kill a server, start it again."""
    name, port, instance_port = f"elb-{uuid.uuid4().hex[:8]}", free_port(), free_port()
    one, two = Backend("one", instance_port), Backend("two", instance_port)
    ids = [platform.add_instance(backend.ip) for backend in (one, two)]
    created = platform.aws(
        "elb",
        "create-load-balancer",
        "--load-balancer-name",
        name,
        "--availability-zones",
        "us-east-1a",
        "--listeners",
        f"Protocol=HTTP,LoadBalancerPort={port},InstanceProtocol=HTTP,InstancePort={instance_port}",
    )
    assert re.fullmatch(rf"{name}-\d{{10}}\.us-east-1\.elb\.example\.com", created["DNSName"])
    check = f"Target=HTTP:{instance_port}/index.html,Interval=5,Timeout=2,UnhealthyThreshold=2,HealthyThreshold=3"
    told = platform.aws("elb", "configure-health-check", "--load-balancer-name", name, "--health-check", check)
    assert told["HealthCheck"]["Target"] == f"HTTP:{instance_port}/index.html"
    told = platform.aws(
        "elb", "register-instances-with-load-balancer", "--load-balancer-name", name, "--instances", *ids
    )
    assert told["Instances"] == [{"InstanceId": one} for one in ids]
    platform.aws("elb", "wait", "instance-in-service", "--load-balancer-name", name)
    health = platform.aws("elb", "describe-instance-health", "--load-balancer-name", name)
    assert [state["State"] for state in health["InstanceStates"]] == ["InService", "InService"]

    where = (platform.node(name), port)
    assert Counter(get(where).body for _ in range(20)) == {b"one": 10, b"two": 10}
    one.kill()
    failed = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
    state = lambda: platform.aws(
        "elb", "describe-instance-health", "--load-balancer-name", name, "--instances", ids[0]
    )["InstanceStates"][0]
    out = eventually("the dead server is out of service", lambda: state()["State"] == "OutOfService" and state())
    assert (out["ReasonCode"], out["Description"]) == ("Instance", failed)
    assert Counter(get(where).body for _ in range(10)) == {b"two": 10}
    one.start()
    not_yet = "Instance has not passed the configured HealthyThreshold number of health checks consecutively."
    eventually("the server passes checks again", lambda: state()["Description"] == not_yet)
    eventually("the server is back", lambda: state()["State"] == "InService")
    assert Counter(get(where).body for _ in range(20)) == {b"one": 10, b"two": 10}

    platform.aws("elb", "delete-load-balancer", "--load-balancer-name", name)
    gone = platform.aws("elb", "describe-load-balancers", "--load-balancer-names", name, check=False)
    assert gone.returncode != 0 and f"There is no ACTIVE Load Balancer named '{name}'" in gone.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where, timeout=5)


class MariaDb:
    """A real database server, on an instance's address."""

    def __init__(self, directory, port):
        self.ip, self.port, self.directory = address(), port, directory
        data, sock = directory / "data", directory / "socket"
        user = ["--user=root"] if subprocess.run(["id", "-u"], capture_output=True, text=True).stdout == "0\n" else []
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                *user,
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        program = next(
            p
            for p in ("/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/bin/mariadbd")
            if pathlib.Path(p).exists()
        )
        self.process = subprocess.Popen(
            [
                program,
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={sock}",
                f"--bind-address={self.ip}",
                f"--port={port}",
                "--skip-log-bin",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=8M",
                "--innodb-log-file-size=8M",
                *user,
            ],
            stdout=subprocess.DEVNULL,
            stderr=open(directory / "log", "wb"),
        )
        self.sock = sock
        eventually("MariaDB is up", lambda: self.query("SELECT 1", f"--socket={sock}", check=False) == "1\n", every=0.3)
        self.query("CREATE USER app IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app", f"--socket={sock}")

    def query(self, sql, *where, user="root", check=True):
        words = ["mariadb", "--no-defaults", f"--user={user}", "--batch", "--skip-column-names", *where, "-e", sql]
        result = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": "/usr/bin:/bin", "MYSQL_PWD": "secret" if user == "app" else ""},
        )
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def test_mysql_on_3306_behind_an_internal_load_balancer(platform, tmp_path):
    database = MariaDb(tmp_path, free_port())
    try:
        balancer = platform.create(
            [database],
            [
                {
                    "Protocol": "TCP",
                    "LoadBalancerPort": (port := free_port()),
                    "InstanceProtocol": "TCP",
                    "InstancePort": database.port,
                }
            ],
            scheme="internal",
        )
        assert balancer.platform.describe(balancer.name)["Scheme"] == "internal"
        assert platform.dns_name(balancer.name).startswith("internal-")
        here = ["--protocol=tcp", f"--host={balancer.where[0]}", f"--port={port}"]
        ask = lambda sql: database.query(sql, *here, user="app")
        ask("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, what LONGTEXT)")
        large = "x" * 300_000
        ask("INSERT INTO shop.orders VALUES (1, REPEAT('x', 300000)), (2, 'tea')")
        assert ask("SELECT what FROM shop.orders WHERE id = 1") == large + "\n"
        assert ask("SELECT COUNT(*), MAX(what) FROM shop.orders WHERE id = 2") == "1\ttea\n"
        # The balancer is who connects.
        assert ask("SELECT SUBSTRING_INDEX(USER(), '@', 1)") == "app\n"
    finally:
        database.stop()
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def upload(platform, authority, name):
    """`aws iam upload-server-certificate`, as the user guide types it; the ARN."""
    unique = f"{name}-{uuid.uuid4().hex[:8]}"
    told = platform.aws(
        "iam",
        "upload-server-certificate",
        "--server-certificate-name",
        unique,
        "--certificate-body",
        f"file://{authority / (name + '.pem')}",
        "--private-key",
        f"file://{authority / (name + '.key')}",
        "--certificate-chain",
        f"file://{authority / 'intermediate.pem'}",
    )
    arn = told["ServerCertificateMetadata"]["Arn"]
    assert arn.endswith(f":server-certificate/{unique}") and "PRIVATE" not in json.dumps(told)
    return arn


def trusting(authority):
    return ssl.create_default_context(cafile=str(authority / "root.pem"))


def serial(authority, name):
    told = subprocess.run(
        ["openssl", "x509", "-in", str(authority / f"{name}.pem"), "-noout", "-serial"], capture_output=True, text=True
    )
    return told.stdout.strip().rpartition("=")[2]


def test_https_with_an_uploaded_certificate_and_a_security_policy(platform, authority):
    backend = Backend("one", free_port())
    first, second = upload(platform, authority, "web"), upload(platform, authority, "next")
    balancer = platform.create([backend])
    port = free_port()
    platform.aws(
        "elb",
        "create-load-balancer-listeners",
        "--load-balancer-name",
        balancer.name,
        "--listeners",
        f"Protocol=HTTPS,LoadBalancerPort={port},InstanceProtocol=HTTP,InstancePort={backend.port},SSLCertificateId={first}",
    )
    listener = platform.describe(balancer.name)["ListenerDescriptions"][1]
    assert listener["PolicyNames"] == ["ELBSecurityPolicy-2016-08"]
    platform.aws(
        "elb",
        "create-load-balancer-policy",
        "--load-balancer-name",
        balancer.name,
        "--policy-name",
        "tls12",
        "--policy-type-name",
        "SSLNegotiationPolicyType",
        "--policy-attributes",
        "AttributeName=Reference-Security-Policy,AttributeValue=ELBSecurityPolicy-TLS-1-2-2017-01",
    )
    platform.aws(
        "elb",
        "set-load-balancer-policies-of-listener",
        "--load-balancer-name",
        balancer.name,
        "--load-balancer-port",
        str(port),
        "--policy-names",
        "tls12",
    )
    described = platform.aws(
        "elb", "describe-load-balancer-policies", "--load-balancer-name", balancer.name, "--policy-names", "tls12"
    )["PolicyDescriptions"][0]["PolicyAttributeDescriptions"]
    values = {one["AttributeName"]: one["AttributeValue"] for one in described}
    assert (values["Protocol-TLSv1.2"], values["Protocol-TLSv1.1"], values["AES128-SHA"]) == ("true", "false", "false")

    node = balancer.where[0]
    # curl checks the chain up to the root and the name.
    told = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--cacert",
            str(authority / "root.pem"),
            "--noproxy",
            "*",
            "--resolve",
            f"web.example.com:{port}:{node}",
            f"https://web.example.com:{port}/headers",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert told.returncode == 0, told.stderr
    headers = {name.lower(): value for name, value in json.loads(told.stdout)}
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", str(port))
    for version in ("-tls1", "-tls1_1"):
        refused = subprocess.run(
            ["openssl", "s_client", "-connect", f"{node}:{port}", version, "-cipher", "ALL:@SECLEVEL=0"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
        assert refused.returncode != 0, version
    # Rotation: a connection that was there before goes on, with its old certificate, and new ones see the new one.
    context = trusting(authority)
    connect = lambda: context.wrap_socket(
        socket.create_connection((node, port), timeout=10), server_hostname="web.example.com"
    )
    old = connect()
    ask(old)
    assert old.getpeercert()["serialNumber"].lstrip("0") == serial(authority, "web").lstrip("0")
    stop, lost = threading.Event(), []
    clients = [threading.Thread(target=keep_asking, args=(connect, stop, lost)) for _ in range(4)]
    for client in clients:
        client.start()
    platform.aws(
        "elb",
        "set-load-balancer-listener-ssl-certificate",
        "--load-balancer-name",
        balancer.name,
        "--load-balancer-port",
        str(port),
        "--ssl-certificate-id",
        second,
    )
    new = connect()
    ask(new)
    assert new.getpeercert()["serialNumber"].lstrip("0") == serial(authority, "next").lstrip("0")
    ask(old)
    stop.set()
    for client in clients:
        client.join()
    assert lost == []
    in_use = platform.aws(
        "iam", "delete-server-certificate", "--server-certificate-name", second.rpartition("/")[2], check=False
    )
    assert in_use.returncode != 0 and "(DeleteConflict)" in in_use.stderr
    platform.aws("iam", "delete-server-certificate", "--server-certificate-name", first.rpartition("/")[2])
    old.close(), new.close()
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def ask(connection):
    """One request on a connection that stays."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: web.example.com\r\n\r\n")
    answer = b""
    while not answer.endswith(b"one"):
        data = connection.recv(65536)
        assert data, f"closed after {answer}"
        answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")


def keep_asking(connect, stop, lost):
    try:
        connection = connect()
        while not stop.is_set():
            ask(connection)
    except Exception as error:  # what a client sees is what counts
        lost.append(repr(error))


LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<elb>\S+) (?P<client>\S+) (?P<backend>\S+)"
    r" (?P<request_time>-1|\d+\.\d{6}) (?P<backend_time>-1|\d+\.\d{6}) (?P<response_time>-1|\d+\.\d{6})"
    r" (?P<status>\d{3}|-) (?P<backend_status>\d+|-) (?P<received>\d+) (?P<sent>\d+)"
    r' "(?P<request>[^"]*)" "(?P<agent>[^"]*)" (?P<cipher>\S+) (?P<protocol>\S+)'
)


def test_access_logs_with_the_bucket_policy(platform, authority):
    who = uuid.uuid4().hex[:8]
    bucket = f"elb-logging-bucket-{who}"
    backend = Backend("one", free_port())
    arn = upload(platform, authority, "web")
    balancer = platform.create([backend])
    tls_port, tcp_port = free_port(), free_port()
    platform.elb.create_load_balancer_listeners(
        LoadBalancerName=balancer.name,
        Listeners=[
            balancer.listener("HTTPS", "HTTP", arn, tls_port),
            balancer.listener("TCP", port=tcp_port),
        ],
    )
    platform.aws("s3", "mb", f"s3://{bucket}")
    attributes = json.dumps(
        {"AccessLog": {"Enabled": True, "S3BucketName": bucket, "EmitInterval": 5, "S3BucketPrefix": "my-app"}}
    )
    turn_on = [
        "elb",
        "modify-load-balancer-attributes",
        "--load-balancer-name",
        balancer.name,
        "--load-balancer-attributes",
        attributes,
    ]
    refused = platform.aws(*turn_on, check=False)
    assert refused.returncode != 0 and "(InvalidConfigurationRequest)" in refused.stderr
    assert f"Access Denied for bucket: {bucket}. Please check S3bucket permission" in refused.stderr
    policy = platform.directory / "policy.json"
    policy.write_text((FIXTURES / "elb-logging-policy.json").read_text().replace("$YourName", who))
    platform.aws("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", f"file://{policy}")
    told = platform.aws(*turn_on)
    assert told["LoadBalancerAttributes"]["AccessLog"]["Enabled"] is True
    keys = lambda: [row["Key"] for row in platform.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert keys() == ["my-app/AWSLogs/000000000000/ELBAccessLogTestFile"]

    before = datetime.datetime.now(datetime.UTC)
    node = balancer.where[0]
    assert balancer.get('/a?b="c"', 'User-Agent: probe "1"').status == 200
    body = b"POST /upload HTTP/1.1\r\nHost: web.example.com\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    assert speak(balancer.where, body).startswith(b"HTTP/1.1 200")
    assert balancer.get("/gone").status == 502
    wrap = lambda plain: trusting(authority).wrap_socket(plain, server_hostname="web.example.com")
    assert get((node, tls_port), "/", wrap=wrap).body == b"one"
    through_tcp = b"GET /tcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((node, tcp_port), timeout=10) as connection:
        connection.sendall(through_tcp)
        answer = b""
        while not answer.endswith(b"one"):
            answer += connection.recv(4096)
    # What waits is delivered when logging is turned off; nobody wants to wait five minutes here.
    time.sleep(1.5)
    balancer.modify(AccessLog={"Enabled": False})
    logs = [key for key in keys() if not key.endswith("TestFile")]
    key = logs[0]
    shape = (
        r"my-app/AWSLogs/000000000000/elasticloadbalancing/us-east-1/\d{4}/\d\d/\d\d/"
        rf"000000000000_elasticloadbalancing_us-east-1_{balancer.name}_\d{{8}}T\d{{4}}Z_{re.escape(node)}_[0-9a-z]{{8}}\.log"
    )
    assert re.fullmatch(shape, key), key
    text = "".join(platform.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in sorted(logs))
    lines = text.splitlines()
    seen = [LINE.match(line.replace('\\"', "'")) for line in lines]
    assert all(seen) and len(seen) == 5, text
    records = [one.groupdict() for one in seen]
    paths = ("/a", "/upload", "/gone", f":{tls_port}/ ", "- - - ")
    plain, posted, failed, secure, tcp = (next(one for one in records if path in one["request"]) for path in paths)
    # The threads that serve each follow the wall's clock to within two milliseconds.
    near = datetime.timedelta(milliseconds=5)
    for one in records:
        at = datetime.datetime.fromisoformat(one["time"])
        assert before - near <= at <= datetime.datetime.now(datetime.UTC) + near
        assert one["elb"] == balancer.name and re.fullmatch(r"127\.\d+\.\d+\.\d+:\d+", one["client"])
    instance = f"{backend.ip}:{backend.port}"
    assert plain["backend"] == instance
    assert min(float(plain[key]) for key in ("request_time", "backend_time", "response_time")) >= 0
    assert (plain["status"], plain["backend_status"], plain["received"], plain["sent"]) == ("200", "200", "0", "3")
    assert plain["request"] == f"GET http://web.example.com:{balancer.port}/a?b='c' HTTP/1.1"
    assert (plain["agent"], plain["cipher"], plain["protocol"]) == ("probe '1'", "-", "-")
    assert (posted["received"], posted["sent"], posted["agent"]) == ("5", "64", "-")
    assert posted["request"] == f"POST http://web.example.com:{balancer.port}/upload HTTP/1.1"
    assert (failed["status"], failed["backend_status"]) == ("502", "0") and failed["request"].startswith(
        "GET http://web.example.com:"
    )
    assert secure["protocol"] == "TLSv1.3" and re.fullmatch(r"TLS_(AES|CHACHA20)_\w+", secure["cipher"])
    assert secure["request"] == f"GET https://web.example.com:{tls_port}/ HTTP/1.1"
    assert (tcp["status"], tcp["backend_status"], tcp["request"], tcp["agent"]) == ("-", "-", "- - - ", "-")
    assert (int(tcp["received"]), int(tcp["sent"])) == (len(through_tcp), len(answer))
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def test_access_logs_by_the_service_principal_survive_a_crash(platform_to_kill):
    """A newer bucket policy, and records that a killed server leaves behind."""
    platform, backend = platform_to_kill, Backend("one", free_port())
    bucket = f"logs-{uuid.uuid4().hex[:8]}"
    balancer = platform.create([backend])
    platform.s3.create_bucket(Bucket=bucket)
    platform.s3.put_bucket_policy(
        Bucket=bucket,
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "s3:PutObject",
                        "Resource": f"arn:aws:s3:::{bucket}/AWSLogs/000000000000/*",
                        "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                    }
                ],
            }
        ),
    )
    balancer.modify(AccessLog={"Enabled": True, "S3BucketName": bucket, "EmitInterval": 60})
    for number in range(50):
        assert balancer.get(f"/{number}").status == 200
    time.sleep(1.5)
    platform.restart(9)
    balancer.wait(*balancer.ids.values())
    assert balancer.get("/after").status == 200
    time.sleep(1.5)
    balancer.modify(AccessLog={"Enabled": False})
    keys = [row["Key"] for row in platform.s3.list_objects_v2(Bucket=bucket)["Contents"] if row["Key"].endswith(".log")]
    text = "".join(platform.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys)
    paths = [line.split('"')[1].split("/", 3)[3].split(" ")[0] for line in text.splitlines()]
    assert sorted(paths) == sorted([*(str(number) for number in range(50)), "after"])


@pytest.fixture
def platform_to_kill(tmp_path):
    from load_balancing import Platform

    running = Platform(tmp_path)
    yield running
    assert running.server.stop() == 0


def test_cross_zone_and_what_dig_sees(platform):
    port = free_port()
    one, others = Backend("a", port), [Backend(f"b{number}", port) for number in range(3)]
    balancer = platform.create([(one, ZONES[0]), *((other, ZONES[1]) for other in others)], zones=ZONES)
    name = platform.dns_name(balancer.name)
    nodes = [balancer.nodes[zone] for zone in ZONES]
    assert platform.dig(name) == set(nodes)
    whole = platform.dig(name, "+noall", "+answer")
    assert re.findall(r"\s60\s+IN\s+A\s", whole) and len(whole.splitlines()) == 2
    assert platform.dig(name.upper()) == set(nodes)
    assert platform.dig(f"dualstack.{name}") == set(nodes)
    assert "NXDOMAIN" in platform.dig("absent.us-east-1.elb.example.com", "+noall", "+comments")
    firsts = {platform.dig(name, "+short").split()[0] for _ in range(30)}
    assert firsts == set(nodes), "the order of the addresses changes"

    served = lambda zone, count: Counter(balancer.get(zone=zone).body.decode() for _ in range(count))
    assert served(ZONES[0], 12) == {"a": 12}
    assert served(ZONES[1], 12) == {"b0": 4, "b1": 4, "b2": 4}
    cross = json.dumps({"CrossZoneLoadBalancing": {"Enabled": True}})
    told = platform.aws(
        "elb",
        "modify-load-balancer-attributes",
        "--load-balancer-name",
        balancer.name,
        "--load-balancer-attributes",
        cross,
    )
    assert told["LoadBalancerAttributes"]["CrossZoneLoadBalancing"] == {"Enabled": True}
    all_serve = lambda zone: eventually(f"{zone} uses all", lambda: len(served(zone, 12)) == 4)
    for zone in ZONES:
        all_serve(zone)
        assert set(served(zone, 40).values()) == {10}
    balancer.modify(CrossZoneLoadBalancing={"Enabled": False})
    # A zone without a healthy instance is not given out.
    balancer.deregister(balancer.ids[one])
    eventually("dig sees one node", lambda: platform.dig(name) == {nodes[1]})
    platform.aws(
        "elb",
        "disable-availability-zones-for-load-balancer",
        "--load-balancer-name",
        balancer.name,
        "--availability-zones",
        ZONES[1],
    )
    off = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to."
    assert balancer.health(balancer.ids[others[0]]) == ("OutOfService", "ELB", off)
    with pytest.raises(botocore.exceptions.ClientError, match="at least one Availability Zone"):
        platform.elb.disable_availability_zones_for_load_balancer(
            LoadBalancerName=balancer.name, AvailabilityZones=[ZONES[0]]
        )
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)
    assert "NXDOMAIN" in platform.dig(name, "+noall", "+comments")
