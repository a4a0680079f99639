"""Browsers, TLS, secrets in settings, and bodies that nest too deep."""

import datetime
import ipaddress
import ssl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bandit.errors import SettingError
from bandit.service.app import create_app
from bandit.service.auth.tls_cors import HEADERS, edge_options, for_origins
from bandit.service.settings import Secret, Settings, load_settings
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, listening, running

SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def api():
    with running(MemoryLog(), Settings(cors_origins=f"{SHOP}, https://other.example")) as api:
        yield api


def test_every_answer_has_the_headers_that_browsers_mind(api):
    for answer in (
        api.client.get("/health"),
        api.client.post("/v1/placements/no/rank"),
        api.client.get("/nothing"),
    ):
        for name, value in HEADERS:
            assert answer.headers.get_list(name) == [value]


def test_pages_of_the_origins_may_ask_and_read_what_they_need(api):
    asked = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type,x-reward-token",
    }
    path = "/v1/placements/home/rank"
    allowed = api.client.options(path, headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == SHOP
    api.placement("home")
    answer = api.client.post(path, json={}, headers={"Origin": SHOP})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]


def test_pages_of_other_origins_may_not(api):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused = api.client.options("/v1/placements/home/rank", headers=asked)
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    answer = api.client.get("/v1/placements", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/path", "https://*.a.b"])
def test_what_is_no_origin_stops_the_start(origin):
    with pytest.raises(SettingError, match="COPYLOOP_CORS_ORIGINS"):
        for_origins(None, origin)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_bodies_that_nest_too_deep_are_refused_by_the_other_routes_too(api, method):
    deep = b'{"policy": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    path = "/v1/placements/deep" if method == "PUT" else "/v1/placements/home/creatives"
    sent = {"content": deep, "headers": {"content-type": "application/json"}}
    assert code_of(api.client.request(method, path, **sent)) == (422, "body_invalid")


def certificate(name, folder, issuer=None, *, client=False):
    """Writes a key and a certificate, signed by the issuer or itself; returns all three."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, signed_by = (key, subject) if issuer is None else (issuer[2], issuer[3])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if not client:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = made.sign(signer, hashes.SHA256())
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    return cert, private, key, subject


def test_it_speaks_tls_and_asks_for_certificates(tmp_path):
    authority = certificate("authority", tmp_path)
    cert, key, *_ = certificate("server", tmp_path, authority)
    mine, my_key, *_ = certificate("client", tmp_path, authority, client=True)
    settings = Settings(
        tls_cert=cert,
        tls_key=key,
        tls_client_ca=authority[0],
        tls_key_password=Secret("open sesame"),
    )
    log = MemoryLog()
    create_topics(log)
    with listening(create_app(log, settings), settings) as address:
        url = f"https://{address}/health"
        known = ssl.create_default_context(cafile=authority[0])
        known.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with pytest.raises(httpx.TransportError):
            httpx.get(url, verify=known)
        known.load_cert_chain(mine, my_key, "open sesame")
        answer = httpx.get(url, verify=known)
        assert answer.status_code == 200
        assert "max-age" in answer.headers["strict-transport-security"]


def test_half_of_tls_stops_the_start(tmp_path):
    there = tmp_path / "cert.pem"
    there.write_text("x")
    with pytest.raises(SettingError, match="COPYLOOP_TLS_KEY is not set"):
        edge_options(Settings(tls_cert=there))
    with pytest.raises(SettingError, match="COPYLOOP_TLS_CERT is not set"):
        edge_options(Settings(tls_client_ca=there))
    with pytest.raises(SettingError, match=r"COPYLOOP_TLS_KEY is .*no such file"):
        edge_options(Settings(tls_cert=there, tls_key=tmp_path / "gone"))


def test_secrets_come_from_the_environment_or_a_file_and_are_never_printed(tmp_path):
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    for environment in (
        {"COPYLOOP_TLS_KEY_PASSWORD": "hunter2"},
        {"COPYLOOP_TLS_KEY_PASSWORD_FILE": str(file)},
    ):
        settings = load_settings({}, environment)
        assert settings.tls_key_password.reveal() == "hunter2"
        assert "hunter2" not in repr(settings)
        assert "hunter2" not in str(settings)
    assert not load_settings({}, {}).tls_key_password.is_set
    with pytest.raises(SettingError, match="both set") as raised:
        load_settings(
            {},
            {
                "COPYLOOP_TLS_KEY_PASSWORD": "hunter2",
                "COPYLOOP_TLS_KEY_PASSWORD_FILE": str(file),
            },
        )
    assert "hunter2" not in str(raised.value)
    file.write_text("\n")
    with pytest.raises(SettingError, match="nothing in it"):
        load_settings({}, {"COPYLOOP_TLS_KEY_PASSWORD_FILE": str(file)})
    with pytest.raises(SettingError, match="cannot be read"):
        load_settings({}, {"COPYLOOP_TLS_KEY_PASSWORD_FILE": str(tmp_path / "gone")})
