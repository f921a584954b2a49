"""Server certificates: uploaded, shown without their key, tagged, renamed, listed by path and deleted."""

import json
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def iam(server):
    return server.client("iam")


@pytest.fixture
def certificate(iam, authority):
    name = f"c-{uuid.uuid4().hex[:10]}"
    iam.upload_server_certificate(
        ServerCertificateName=name,
        Path="/web/",
        CertificateBody=(authority / "web.pem").read_text(),
        PrivateKey=(authority / "web.key").read_text(),
        CertificateChain=(authority / "intermediate.pem").read_text(),
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    yield name
    for one in iam.list_server_certificates()["ServerCertificateMetadataList"]:
        if one["ServerCertificateName"].startswith(name):
            iam.delete_server_certificate(ServerCertificateName=one["ServerCertificateName"])


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def names(told):
    return [one["ServerCertificateName"] for one in told["ServerCertificateMetadataList"]]


def test_a_certificate_is_shown_with_its_chain_and_without_its_key(iam, aws, authority, certificate):
    told = iam.get_server_certificate(ServerCertificateName=certificate)["ServerCertificate"]
    metadata = told["ServerCertificateMetadata"]
    assert metadata["Arn"] == f"arn:aws:iam::000000000000:server-certificate/web/{certificate}"
    assert metadata["Path"] == "/web/" and metadata["Expiration"] > metadata["UploadDate"]
    assert told["CertificateBody"].split() == (authority / "web.pem").read_text().split()
    assert told["CertificateChain"].split() == (authority / "intermediate.pem").read_text().split()
    assert "PRIVATE KEY" not in json.dumps(told, default=str)
    shown = aws("iam", "get-server-certificate", "--server-certificate-name", certificate, "--output", "json")
    assert json.loads(shown.stdout)["ServerCertificate"]["CertificateBody"] == told["CertificateBody"]
    assert refused(iam.get_server_certificate, ServerCertificateName="absent") == "NoSuchEntity"


def test_certificates_are_listed_by_path_and_in_pages(iam, authority, certificate):
    body, key = (authority / "next.pem").read_text(), (authority / "next.key").read_text()
    iam.upload_server_certificate(ServerCertificateName=f"{certificate}-2", CertificateBody=body, PrivateKey=key)
    of_web = names(iam.list_server_certificates(PathPrefix="/web/"))
    assert certificate in of_web and f"{certificate}-2" not in of_web
    pages = iam.get_paginator("list_server_certificates").paginate(PaginationConfig={"PageSize": 1})
    found = [names(page) for page in pages]
    assert all(len(page) == 1 for page in found)
    assert {certificate, f"{certificate}-2"} <= {name for page in found for name in page}
    again = {"ServerCertificateName": certificate, "CertificateBody": body, "PrivateKey": key}
    assert refused(iam.upload_server_certificate, **again) == "EntityAlreadyExists"
    other = {"ServerCertificateName": f"{certificate}-3", "CertificateBody": body}
    assert refused(iam.upload_server_certificate, **other, PrivateKey=(authority / "web.key").read_text()) == (
        "KeyPairMismatch"
    )


def test_a_certificate_is_renamed_and_moved_and_keeps_what_it_is(iam, aws, certificate):
    before = iam.get_server_certificate(ServerCertificateName=certificate)["ServerCertificate"]
    aws("iam", "update-server-certificate", "--server-certificate-name", certificate, "--new-server-certificate-name",
        f"{certificate}-new", "--new-path", "/other/")
    assert refused(iam.get_server_certificate, ServerCertificateName=certificate) == "NoSuchEntity"
    after = iam.get_server_certificate(ServerCertificateName=f"{certificate}-new")["ServerCertificate"]
    assert after["CertificateBody"] == before["CertificateBody"]
    old, new = before["ServerCertificateMetadata"], after["ServerCertificateMetadata"]
    assert new["ServerCertificateId"] == old["ServerCertificateId"]
    assert new["Arn"].endswith(f":server-certificate/other/{certificate}-new")
    iam.update_server_certificate(ServerCertificateName=f"{certificate}-new", NewServerCertificateName=certificate)
    assert refused(iam.update_server_certificate, ServerCertificateName="absent", NewPath="/") == "NoSuchEntity"


def test_tags_of_a_certificate_come_and_go(iam, certificate):
    tags = lambda: {
        one["Key"]: one["Value"]
        for one in iam.list_server_certificate_tags(ServerCertificateName=certificate)["Tags"]
    }
    assert tags() == {"team": "blue"}
    iam.tag_server_certificate(
        ServerCertificateName=certificate, Tags=[{"Key": "team", "Value": "red"}, {"Key": "stage", "Value": "prod"}]
    )
    assert tags() == {"team": "red", "stage": "prod"}
    iam.untag_server_certificate(ServerCertificateName=certificate, TagKeys=["team", "absent"])
    assert tags() == {"stage": "prod"}
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
    assert refused(iam.tag_server_certificate, ServerCertificateName=certificate, Tags=many) == "LimitExceeded"
    assert tags() == {"stage": "prod"}
