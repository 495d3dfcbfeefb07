"""TLS of the guarded client: it connects to a checked address and still insists on the name's certificate."""

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance.outbound.client import GuardedClient, OutboundFailed, OutboundRefused
from tests.governance.outbound.servers import serving


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """The server's context with a certificate for api.example, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_the_name_is_verified_though_the_address_is_ours(contexts):
    server_context, client_context = contexts
    names: list[str | None] = []
    server_context.sni_callback = lambda sock, name, context: names.append(name)
    with serving(lambda asked: asked.answer(b"1"), context=server_context) as server:
        allowed = frozenset({"api.example", "other.example", "127.0.0.1"})
        with GuardedClient(
            allowed_private_hosts=allowed, resolver=lambda *_: ["127.0.0.1"], ssl_context=client_context
        ) as http:
            assert http.get(f"https://api.example:{server.port}/").json == 1
            for host in ("other.example", "127.0.0.1"):
                with pytest.raises(OutboundFailed, match="certificate") as failed:
                    http.get(f"https://{host}:{server.port}/")
                assert (failed.value.cause, failed.value.is_transient) == ("connection", False)
        with (
            GuardedClient(allowed_private_hosts=allowed, resolver=lambda *_: ["127.0.0.1"]) as http,
            pytest.raises(OutboundFailed, match="certificate"),
        ):
            http.get(f"https://api.example:{server.port}/")
    assert names[:2] == ["api.example", "other.example"]
    assert [headers["host"] for _, _, headers in server.seen] == [f"api.example:{server.port}"]


def test_a_redirect_from_https_to_http_is_refused(contexts):
    server_context, client_context = contexts
    with (
        serving(
            lambda asked: asked.answer(status=302, location="http://api.example/plain"), context=server_context
        ) as server,
        GuardedClient(
            allowed_private_hosts=frozenset({"api.example"}),
            resolver=lambda *_: ["127.0.0.1"],
            ssl_context=client_context,
        ) as http,
        pytest.raises(OutboundRefused, match="from https to http"),
    ):
        http.get(f"https://api.example:{server.port}/")
