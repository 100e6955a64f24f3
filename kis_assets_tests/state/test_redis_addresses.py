"""What `REDIS_URL` may name, and a sentence for each reason for which TLS fails."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from kis_assets.errors import ServiceUnavailable
from kis_assets.monitoring.exposure import exposed
from kis_assets.settings import Settings, SettingsError
from kis_assets.state.redis import Redis
from kis_assets.state.redis_address import Address, hosts
from kis_assets_tests.conftest import free_port, running_redis

Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def sign(
    folder: Path, name: str, by: Signed | None = None, days: int = 30, host: str = "127.0.0.1"
) -> Signed:
    """A certificate `name.pem` that ends in so many days, and its key; signed by itself or `by`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    where = x509.IPAddress(ipaddress.ip_address(host))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=min(-1, days - 30)))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(by is None, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([where]), critical=False)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    ca, stranger = sign(folder, "ca"), sign(folder, "stranger")
    sign(folder, "server", ca)
    sign(folder, "expired", ca, days=-1)
    sign(folder, "elsewhere", ca, host="127.0.0.9")
    sign(folder, "client", ca)
    sign(folder, "strange", stranger)
    return folder


@pytest.fixture
def there(certificates: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Host and port of a server with the certificate of that name; without TLS if it is empty."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs a redis-server with TLS")
    certificate, clients = request.param
    port = free_port()
    files = {
        "--tls-cert-file": f"{certificate}.pem",
        "--tls-key-file": f"{certificate}.key",
        "--tls-ca-cert-file": "ca.pem",
    }
    given = [word for name, file in files.items() for word in (name, str(certificates / file))]
    given += ["--tls-port", str(port), "--tls-auth-clients", clients]
    more = given if certificate else []
    with running_redis(certificates, 0 if certificate else port, "", "127.0.0.1", *more):
        yield f"127.0.0.1:{port}"


CA = "?ssl_ca_certs={folder}/ca.pem"
MINE = CA + "&ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key"
STRANGE = CA + "&ssl_certfile={folder}/strange.pem&ssl_keyfile={folder}/strange.key"


@pytest.mark.parametrize(
    ("there", "address"),
    [(("server", "no"), f"rediss://{{at}}/0{CA}"), (("server", "yes"), f"rediss://{{at}}/0{MINE}")],
    indirect=["there"],
)
def test_a_server_is_asked_over_tls(there: str, address: str, certificates: Path) -> None:
    url = address.format(at=there, folder=certificates)
    with closing(Redis(SecretStr(url))) as redis:
        assert redis.read("").now > 0


@pytest.mark.parametrize(
    ("there", "address", "sentence"),
    [
        pytest.param(
            ("server", "no"),
            "rediss://{at}/0",
            "nobody vouches for its certificate here: name who signed it",
            id="unknown CA",
        ),
        pytest.param(
            ("server", "no"),
            "rediss://{at}/0?ssl_ca_certs={folder}/stranger.pem",
            "nobody vouches for its certificate here",
            id="another CA",
        ),
        pytest.param(
            ("expired", "no"), f"rediss://{{at}}/0{CA}", "has expired: renew it", id="expired"
        ),
        pytest.param(
            ("elsewhere", "no"),
            f"rediss://{{at}}/0{CA}",
            "its certificate is for another host",
            id="wrong host",
        ),
        pytest.param(
            ("", "no"), f"rediss://{{at}}/0{CA}", "it does not speak TLS", id="server without TLS"
        ),
        pytest.param(
            ("server", "no"),
            "redis://{at}/0",
            "if it speaks TLS, write rediss://",
            id="client without TLS",
        ),
        pytest.param(
            ("server", "yes"),
            f"rediss://{{at}}/0{CA}",
            "if it wants a client certificate, name one with ?ssl_certfile",
            id="client certificate wanted",
        ),
        pytest.param(
            ("server", "yes"),
            f"rediss://{{at}}/0{STRANGE}",
            "it may not accept the client certificate that is named",
            id="client certificate refused",
        ),
        pytest.param(
            ("server", "no"),
            "rediss://{at}/0?ssl_ca_certs={folder}/none.pem",
            "a file of certificates that the address names does not exist",
            id="no file",
        ),
        pytest.param(
            ("server", "no"),
            "rediss://{at}/0?ssl_ca_certs={folder}/ca.key",
            "holds no certificate",
            id="no certificate",
        ),
    ],
    indirect=["there"],
)
def test_each_reason_has_its_sentence(
    there: str,
    address: str,
    sentence: str,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kis_assets.state.redis.WAIT", 0.5)
    url = address.format(at=there, folder=certificates)
    with closing(Redis(SecretStr(url))) as redis, pytest.raises(ServiceUnavailable) as caught:
        redis.read("")
    assert str(caught.value).startswith(f"the Redis server at {there} (REDIS_URL) cannot be used: ")
    assert sentence in str(caught.value)


def test_a_connection_refused_is_no_matter_of_tls() -> None:
    with (
        closing(Redis(SecretStr("rediss://127.0.0.1:1/0"))) as redis,
        pytest.raises(ServiceUnavailable, match="cannot be used: ConnectionError"),
    ):
        redis.read("")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://one", [("one", 0)]),
        ("rediss://user:p%40ss@one:6380/3", [("one", 6380)]),
        ("redis+sentinel://one:1,two/mine/2", [("one", 1), ("two", 0)]),
        ("rediss+sentinel://:p@[::1]:26379,two:2/mine", [("::1", 26379), ("two", 2)]),
        ("unix:///run/redis.sock", []),
    ],
)
def test_addresses(url: str, found: list[tuple[str, int]]) -> None:
    given = Settings.load(redis_url=url).redis_url
    assert given is not None
    assert hosts(given) == found
    assert Address(given).client().connection_pool


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel://one:26379/",
        "redis+sentinel:///mine/0",
        "redis+sentinel://one:x,two/mine/0",
        "redis+sentinel://one,,two/mine/0",
        "redis+sentinel://one:1/mine/zero",
        "sentinel://one:1/mine/0",
        "redis+cluster://one:1/0",
    ],
)
def test_wrong_addresses_are_refused_without_being_shown(url: str) -> None:
    url = url.replace("://", "://:hunter2@", 1)
    with pytest.raises(SettingsError, match="REDIS_URL: must be an address such as") as caught:
        Settings.load(redis_url=url)
    assert "hunter2" not in str(caught.value)


def test_an_error_names_the_hosts_and_no_password() -> None:
    url = "redis+sentinel://:hunter%2142@127.0.0.1:1,127.0.0.1:2/mine/0?sentinel_password=hunter33"
    given = Settings.load(redis_url=url).redis_url
    assert given is not None
    with closing(Redis(given)) as redis, pytest.raises(ServiceUnavailable) as caught:
        redis.read("")
    assert "mine of 127.0.0.1:1,127.0.0.1:2 (REDIS_URL)" in str(caught.value)
    assert "no Sentinel names a server for it" in str(caught.value)
    told = ServiceUnavailable("hunter!42 hunter%2142 hunter33")
    assert "hunter" not in f"{caught.value} {told}"


@pytest.mark.parametrize("option", ["ssl_max_version=771", "db=x", "hunter2=3"])
def test_an_option_that_is_not_known_is_one_sentence(option: str) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_URL: .* option after the \?") as caught:
        Redis(SecretStr(f"rediss://one/0?{option}"))
    assert "hunter2" not in str(caught.value)


def test_what_is_unencrypted_or_unchecked_is_told() -> None:
    told = {
        url: " ".join(exposed(Settings.load(redis_url=url)))
        for url in (
            "redis+sentinel://127.0.0.1:1,elsewhere:2/mine/0",
            "rediss+sentinel://elsewhere:2/mine/0",
            "rediss://elsewhere/0?ssl_cert_reqs=none",
            "rediss://elsewhere/0",
        )
    }
    clear, sealed, trusting, right = told.values()
    assert "redis+sentinel:// to elsewhere" in clear and "use rediss+sentinel://" in clear
    assert "REDIS_URL" not in sealed + right
    assert "REDIS_URL trusts whoever answers" in trusting
