"""What `REDIS_URL` may name, and a sentence for each reason for which TLS fails."""

from __future__ import annotations

import ipaddress
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
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
from kis_assets.state.redis_address import _OPTIONS, Address, hosts
from kis_assets_tests.conftest import free_port, redis_program, running_redis

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


def refusal(url: str) -> str:
    """What is said of a server that cannot be used."""
    with closing(Redis(SecretStr(url))) as redis, pytest.raises(ServiceUnavailable) as caught:
        redis.read("")
        redis.lease("mine", 1.0)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_where_nothing_listens_is_said(scheme: str) -> None:
    assert "at 127.0.0.1:1 (REDIS_URL) cannot be used: nothing listens there" in refusal(
        f"{scheme}://127.0.0.1:1/0"
    )


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_host_that_is_not_known_is_said(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "this machine knows no host of that name" in refusal(f"{scheme}://nowhere.invalid/0")


def test_a_socket_that_does_not_exist_is_said(tmp_path: Path) -> None:
    there = tmp_path / "none.sock"
    said = refusal(f"unix://{there}")
    assert f"at {there} (REDIS_URL) cannot be used: that socket does not exist" in said
    assert "certificates" not in said


def test_what_is_no_redis_server_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as asked:
                asked.recv(4096)
                asked.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert "is no Redis server" in refusal(f"redis://127.0.0.1:{server.getsockname()[1]}/0")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that wants the password `right`, and has a user who may only read."""
    if redis_program() is None:
        pytest.skip("needs a redis-server")
    user = ("--user", "reader", "on", ">weak", "~*", "+@read", "+@connection")
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    with running_redis(folder, port, "right", "127.0.0.1", *user):
        yield port


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://{at}/0", "it wants a password, and the address has none"),
        ("redis://:hunter2@{at}/0", "it refuses the user name or the password of the address"),
        ("redis://nobody:hunter2@{at}/0", "it refuses the user name or the password"),
        ("redis://:right@{at}/99", "it has no database of the number"),
        ("redis://reader:weak@{at}/0", "its user may not do that: allow it all commands on"),
        ("redis+sentinel://:right@{at}/mine/0", "a Sentinel wants its own password: ?sentinel_pa"),
        ("redis+sentinel://{at}/mine/0?sentinel_password=right", "one of the hosts is no Sentinel"),
    ],
)
def test_why_a_server_lets_nobody_in_is_said(guarded: int, url: str, sentence: str) -> None:
    said = refusal(url.format(at=f"127.0.0.1:{guarded}"))
    assert f"127.0.0.1:{guarded} (REDIS_URL) cannot be used: {sentence}" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--replicaof", "127.0.0.1 1"), "it is a replica, which stores nothing"),
        (("--maxmemory", "1"), "its memory is full"),
    ],
)
def test_why_a_server_stores_nothing_is_said(
    tmp_path: Path, option: tuple[str, str], sentence: str
) -> None:
    if redis_program() is None:
        pytest.skip("needs a redis-server")
    with running_redis(tmp_path, 0, "", "127.0.0.1", *option) as url:
        assert sentence in refusal(url)
        with closing(Redis(SecretStr(url))) as redis, pytest.raises(ServiceUnavailable) as caught:
            redis.swap("mine", redis.read("mine"), b"new")
        assert sentence in str(caught.value)


def test_a_sentinel_in_the_place_of_a_server_is_said(tmp_path: Path) -> None:
    program = redis_program()
    if program is None:
        pytest.skip("needs a redis-server")
    config, port = tmp_path / "sentinel.conf", free_port()
    config.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    with subprocess.Popen([program, config, "--sentinel"], stdout=subprocess.DEVNULL) as sentinel:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            until = time.monotonic() + 10
            while "nothing listens" in (said := refusal(url)) and time.monotonic() < until:
                pass
            assert "if it is a Sentinel, write redis+sentinel://" in said
        finally:
            sentinel.terminate()


@pytest.mark.parametrize(
    "form", ["redis://{at}/0", "redis+sentinel://{at}/mine/0"], ids=["server", "Sentinel"]
)
def test_a_lease_fails_in_time_if_the_server_accepts_and_never_answers(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In four times WAIT: who judges a process by its lease waits for longer."""
    monkeypatch.setattr("kis_assets.state.redis.WAIT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = form.format(at=f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with closing(Redis(SecretStr(url))) as redis, pytest.raises(ServiceUnavailable):
            redis.lease("mine", 1.0)
    assert time.monotonic() - began < 4 * 0.1 + 1.0


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


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rediss://one/0?ssl_max_version=771", "an option after the ? cannot be used: remove it"),
        ("rediss://one/0?hunter2=3", "an option after the ? cannot be used: remove it"),
        *(
            (f"redis://one/0?{name}=true", f"the option {name} after the ? cannot be used")
            for name in (
                *("decode_responses", "credential_provider", "encoding", "retry_on_error"),
                *("redis_connect_func", "single_connection_client", "retry", "event_dispatcher"),
            )
        ),
        ("redis://one/0?db=x", "the option db after the ? has a wrong value"),
        ("redis://one/0?protocol=9", "the option protocol after the ? has a wrong value: it is 2"),
        ("redis://one/0?max_connections=-1", "the option max_connections after the ? has a wrong"),
        ("redis://one/0?client_name=a%20b", "the option client_name after the ? has a wrong value"),
        (
            "rediss://one/0?ssl_cert_reqs=banana",
            "the option ssl_cert_reqs after the ? has a wrong value: it is none or optional or",
        ),
        ("rediss://one/0?ssl_min_version=5", "the option ssl_min_version after the ? has a wrong"),
        (
            "rediss://one/0?ssl_exclude_verify_flags=banana",
            "the option ssl_exclude_verify_flags after the ? has a wrong value",
        ),
        (
            "redis://one/0?ssl_ca_certs=ca.pem",
            "the option ssl_ca_certs after the ? is for an address that begins with rediss",
        ),
        (
            "redis://one/0?sentinel_password=hunter2",
            "the option sentinel_password after the ? is for an address that begins with redis+",
        ),
        ("unix:///run/redis.sock?socket_keepalive=1", "is not for a unix:// address: remove it"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_sentence(url: str, sentence: str) -> None:
    watched = url.replace("://one/0", "+sentinel://one:26379/mine/0")
    for address in {url, watched} if "sentinel" not in url else {url}:
        with pytest.raises(SettingsError, match=re.escape(sentence)) as caught:
            Redis(SecretStr(address))
        assert str(caught.value).startswith("REDIS_URL: ")
        assert "hunter2" not in str(caught.value)


def test_every_option_that_is_allowed_can_be_given() -> None:
    values = {
        **dict.fromkeys(("socket_timeout", "socket_connect_timeout", "health_check_interval"), "1"),
        **{"db": "1", "max_connections": "9", "protocol": "2", "ssl_min_version": "771"},
        "ssl_cert_reqs": "CERT_REQUIRED",
        "ssl_exclude_verify_flags": "VERIFY_X509_STRICT",
        "ssl_include_verify_flags": "VERIFY_X509_STRICT",
    }
    for name in _OPTIONS:
        place = "one:26379/mine" if name.startswith("sentinel_") else "one"
        scheme = "rediss+sentinel" if name.startswith("sentinel_") else "rediss"
        assert Redis(SecretStr(f"{scheme}://{place}/0?{name}={values.get(name, 'word')}")).client


@pytest.mark.parametrize("written", ["CERT_{}", "{}"])
@pytest.mark.parametrize("word", ["NONE", "OPTIONAL", "REQUIRED"])
def test_certificates_may_be_wanted_in_the_words_of_celery(written: str, word: str) -> None:
    value = written.format(word)
    for address in ("rediss://one/0", "rediss+sentinel://one:26379/mine/0"):
        client = Redis(SecretStr(f"{address}?ssl_cert_reqs={value}")).client
        connection = client.connection_pool.make_connection()
        assert connection.cert_reqs == ssl.VerifyMode[f"CERT_{word}"]


def test_what_is_unencrypted_or_unchecked_is_told() -> None:
    told = {
        url: " ".join(exposed(Settings.load(redis_url=url)))
        for url in (
            "redis+sentinel://127.0.0.1:1,elsewhere:2/mine/0",
            "rediss+sentinel://elsewhere:2/mine/0",
            "rediss://elsewhere/0",
            "rediss://elsewhere/0?ssl_cert_reqs=none",
            "rediss://elsewhere/0?ssl_cert_reqs=CERT_NONE",
            "rediss://elsewhere/0?ssl_cert_reqs=%6Eone",
            "rediss://elsewhere/0?ssl_check_hostname=0",
            "rediss://elsewhere/0?ssl_check_hostname=False",
        )
    }
    clear, sealed, right, *trusting = told.values()
    assert "redis+sentinel:// to elsewhere" in clear and "use rediss+sentinel://" in clear
    assert "REDIS_URL" not in sealed + right
    assert all("REDIS_URL trusts whoever answers" in it for it in trusting)
