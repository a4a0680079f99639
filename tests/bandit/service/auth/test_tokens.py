"""Tokens signed by real keys, and a JWKS that is really fetched."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bandit.errors import RequestError, SettingError
from bandit.service.auth.tokens import Tokens
from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running
from tests.http_stub import answering

ISSUER, AUDIENCE = "https://id.example", "copyloop"


@pytest.fixture(scope="module")
def keys():
    return {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "stranger": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }


def public(kid, key):
    algorithm = jwt.get_algorithm_by_name(
        "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    )
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}


class Jwks:
    """An identity provider's keys."""

    def __init__(self, keys):
        self.keys, self.asked, self.broken = keys, 0, False

    def answer(self, handler):
        self.asked += 1
        return b"oops" if self.broken else json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def jwks(keys):
    provider = Jwks([public("rsa", keys["rsa"]), public("ec", keys["ec"])])
    with answering("GET", provider.answer) as url:
        provider.url = f"{url}/jwks.json"
        yield provider


def settings_of(jwks, **more):
    return Settings(jwt_jwks_url=jwks.url, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **more)


def token(key, kid, algorithm="RS256", **claims):
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 60}
    told = {name: value for name, value in (told | claims).items() if value is not None}
    return jwt.encode(told, key, algorithm=algorithm, headers={"kid": kid})


def whose(tokens, text):
    return asyncio.run(tokens.caller(text.encode()))


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_token_names_its_caller_and_what_it_may(keys, jwks, kid, algorithm):
    tokens = Tokens(settings_of(jwks))
    found = whose(tokens, token(keys[kid], kid, algorithm, scope="openid review rank"))
    assert found.id == "jwt:ada"
    assert found.scopes == {"rank", "review", "view"}
    listed = token(keys[kid], kid, algorithm, scope=["reward", "root"])
    assert whose(tokens, listed).scopes == {"reward"}
    assert whose(tokens, token(keys[kid], kid, algorithm)).scopes == set()
    assert jwks.asked == 1, "the keys are kept"


def test_the_claim_of_scopes_is_a_setting(keys, jwks):
    tokens = Tokens(settings_of(jwks, jwt_scope_claim="roles"))
    text = token(keys["rsa"], "rsa", roles=["operate"], scope="admin")
    assert whose(tokens, text).scopes == {"operate", "review", "view"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example"},
        {"aud": "another-service"},
        {"exp": time.time() - 120},
        {"nbf": time.time() + 3600},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "  "},
        {"iss": None},
        {"aud": None},
    ],
)
def test_a_token_that_is_not_for_us_or_not_now_is_refused(keys, jwks, wrong):
    tokens = Tokens(settings_of(jwks))
    with pytest.raises(RequestError) as raised:
        whose(tokens, token(keys["rsa"], "rsa", scope="admin", **wrong))
    assert (raised.value.status, raised.value.code) == (401, "unauthenticated")


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


@pytest.mark.parametrize("header", [b"[" * 5000, b"1" * 5000, b'{"alg":"RS256","kid":[]}', b"\xff"])
def test_a_header_that_no_reader_takes_is_refused(jwks, header):
    text = base64.urlsafe_b64encode(header).rstrip(b"=").decode() + ".e30.e30"
    with pytest.raises(RequestError) as raised:
        whose(Tokens(settings_of(jwks)), text)
    assert (raised.value.status, raised.value.code) == (401, "unauthenticated")


def test_signatures_that_prove_nothing_are_refused(keys, jwks):
    tokens = Tokens(settings_of(jwks))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": time.time() + 60}
    stranger = token(keys["stranger"], "rsa", scope="admin")
    unsigned = part({"alg": "none", "kid": "rsa"}) + b"." + part(claims) + b"."
    # The public key as a shared secret: what a verifier falls for that takes any algorithm.
    secret = (
        keys["rsa"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    signed = part({"alg": "HS256", "kid": "rsa"}) + b"." + part(claims)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    confused = signed + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")
    other = token(keys["rsa"], "rsa", "RS512", scope="admin")
    crossed = token(keys["rsa"], "ec", scope="admin")
    for text in (stranger, unsigned.decode(), confused.decode(), other, crossed, "a.b.c"):
        with pytest.raises(RequestError) as raised:
            whose(tokens, text)
        assert raised.value.code == "unauthenticated"


def test_a_key_that_was_added_is_found_and_made_up_ones_are_no_lever(keys, jwks):
    now = [1_000_000.0]
    jwks.keys = [public("rsa", keys["rsa"])]
    tokens = Tokens(settings_of(jwks), clock=lambda: now[0])
    lasting = {"exp": time.time() + 3600, "scope": "rank"}
    assert whose(tokens, token(keys["rsa"], "rsa", **lasting))
    for n in range(20):
        with pytest.raises(RequestError):
            whose(tokens, token(keys["ec"], f"made-up-{n}", "ES256", **lasting))
    assert jwks.asked == 1
    jwks.keys.append(public("ec", keys["ec"]))
    now[0] += 11
    assert whose(tokens, token(keys["ec"], "ec", "ES256", **lasting))
    assert jwks.asked == 2


def test_keys_outlive_an_outage_for_an_hour_and_no_longer(keys, jwks):
    now = [1_000_000.0]
    tokens = Tokens(settings_of(jwks), clock=lambda: now[0])
    assert whose(tokens, token(keys["rsa"], "rsa", exp=time.time() + 3600))
    jwks.broken = True
    now[0] += 3500
    assert whose(tokens, token(keys["rsa"], "rsa", exp=time.time() + 3600, n=1))
    now[0] += 200
    with pytest.raises(RequestError) as raised:
        whose(tokens, token(keys["rsa"], "rsa", exp=time.time() + 3600, n=2))
    assert (raised.value.status, raised.value.code) == (503, "jwks_unavailable")


def test_a_withdrawn_key_opens_nothing_once_the_keys_are_read_again(keys, jwks):
    now = [1_000_000.0]
    tokens = Tokens(settings_of(jwks), clock=lambda: now[0])
    old = token(keys["rsa"], "rsa", exp=time.time() + 3600)
    assert whose(tokens, old)
    jwks.keys = [public("ec", keys["ec"])]
    now[0] += 301
    assert whose(tokens, token(keys["ec"], "ec", "ES256", exp=time.time() + 3600))
    with pytest.raises(RequestError, match="none of the issuer's"):
        whose(tokens, old)


def test_a_server_takes_tokens_beside_keys(keys, jwks):
    with running(MemoryLog(), settings_of(jwks)) as api:
        assert code_of(api.client.get("/v1/placements")) == (401, "unauthenticated")
        good = {"Authorization": f"Bearer {token(keys['rsa'], 'rsa', scope='admin')}"}
        assert api.client.get("/v1/placements", headers=good).status_code == 200
        made = api.client.post(
            "/v1/keys", headers=good, json={"name": "site", "scopes": ["view"]}
        ).json()
        assert api.client.get("/v1/acts", headers=good).json()["items"][0]["who"] == "jwt:ada"
        by_key = api.client.get("/v1/placements", headers={"X-API-Key": made["key"]})
        assert by_key.status_code == 200
        small = {"Authorization": f"Bearer {token(keys['ec'], 'ec', 'ES256', scope='rank')}"}
        assert code_of(api.client.get("/v1/keys", headers=small)) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"jwt_issuer": ""}, "COPYLOOP_JWT_ISSUER"),
        ({"jwt_audience": ""}, "COPYLOOP_JWT_AUDIENCE"),
        ({"jwt_algorithms": "HS256"}, "COPYLOOP_JWT_ALGORITHMS"),
        ({"jwt_algorithms": "none"}, "COPYLOOP_JWT_ALGORITHMS"),
        ({"jwt_algorithms": ""}, "COPYLOOP_JWT_ALGORITHMS"),
        ({"jwt_jwks_url": "http://id.example/keys"}, "COPYLOOP_JWT_JWKS_URL"),
        ({"jwt_jwks_url": "file:///etc/passwd"}, "COPYLOOP_JWT_JWKS_URL"),
    ],
)
def test_settings_that_would_open_the_door_stop_the_start(wrong, named):
    right = {
        "jwt_jwks_url": "https://id.example/keys",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    with pytest.raises(SettingError, match=named):
        Tokens(Settings(**(right | wrong)))


def test_a_token_is_for_the_placements_that_it_names(keys, jwks):
    tokens = Tokens(settings_of(jwks))

    def of(claim, tokens=tokens, name="placements"):
        text = token(keys["rsa"], "rsa", scope="rank", **{name: claim})
        return whose(tokens, text)

    listed = of(["home", "shop-*"])
    assert [listed.may_ask(name) for name in ("home", "shop-1", "shop", "other")] == [
        *(True, True, False, False)
    ]
    assert of("home shop-*").placements == listed.placements
    assert whose(tokens, token(keys["rsa"], "rsa", scope="rank")).may_ask("any")
    assert not of([]).may_ask("home")
    assert not of("").may_ask("home")
    named = Tokens(settings_of(jwks, jwt_placements_claim="shops"))
    assert not of(["home"], named, "shops").may_ask("other")
    assert of(["home"], named).may_ask("other")
    for odd in (7, {"home": True}, [1], [["home"]], True):
        with pytest.raises(RequestError) as raised:
            of(odd)
        assert (raised.value.status, raised.value.code) == (401, "unauthenticated")


def test_a_server_keeps_a_token_to_its_placements(keys, jwks):
    with running(MemoryLog(), settings_of(jwks)) as api:
        admin = {"Authorization": f"Bearer {token(keys['rsa'], 'rsa', scope='admin')}"}
        for name in ("mine", "yours"):
            put = api.client.put(f"/v1/placements/{name}", json={}, headers=admin)
            assert put.status_code == 201
        text = token(keys["rsa"], "rsa", scope="admin", placements="mine")
        bound = {"Authorization": f"Bearer {text}"}
        assert api.client.get("/v1/placements/mine", headers=bound).status_code == 200
        for method, path in (
            ("GET", "/v1/placements/yours"),
            ("POST", "/v1/placements/yours/rank"),
            ("POST", "/v1/keys"),
            ("GET", "/v1/dead-letters"),
        ):
            answer = api.client.request(method, path, json={}, headers=bound)
            assert code_of(answer) == (403, "placement_not_allowed"), path
        listed = api.client.get("/v1/placements", headers=bound).json()["items"]
        assert [each["name"] for each in listed] == ["mine"]
