"""The host's own HTTP client for storage: every way an answer can be framed, every way it can fail to come."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devhost.storage.connections import Connections

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Service:
    """Answers each connection's requests with what the test says, in the pieces it says."""

    def __init__(self, *answers: bytes, piece: int = 1 << 20, hang_up: bool = False) -> None:
        self.answers, self.piece, self.hang_up = list(answers), piece, hang_up
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
                self.bodies.append(await reader.readexactly(length))
                answer = self.answers.pop(0) if self.answers else b""
                for start in range(0, len(answer), self.piece):
                    writer.write(answer[start : start + self.piece])
                    await asyncio.sleep(0)
                if self.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Connections]:
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    connections = Connections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/account/")
    try:
        yield connections
    finally:
        await connections.close()
        server.close()


def run(story: Awaitable[None]) -> None:
    async def wrapped() -> None:
        await story

    asyncio.run(wrapped())


ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;note=1\r\nllo\r\n0\r\nTrailer: y\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_answer_is_read_however_it_is_framed_and_cut(kind: str, piece: int) -> None:
    async def story() -> None:
        service = Service(ANSWERS[kind], ANSWERS[kind], piece=piece)
        async with connected(service) as connections:
            for _ in range(2):
                answer = await connections.request("GET", "/x?y", {"A": "b"}, None, silence=5)
                assert (answer.status, answer.headers["etag"], answer.body) == (200, "x", b"hello")
                assert next(iter(answer.headers.items())) == ("ETag", "x")
        assert service.connections == 1
        assert service.heads[0].startswith(b"GET /account/x?y HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"Content-Length" not in service.heads[0]

    run(story())


def test_answers_without_a_body_and_to_head_end_with_their_head() -> None:
    async def story() -> None:
        service = Service(b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n", ANSWERS["length"])
        async with connected(service) as connections:
            assert (await connections.request("DELETE", "/x", {}, None, silence=5)).status == 204
            assert (await connections.request("HEAD", "/x", {}, None, silence=5)).headers.get("Content-Length") == "70"
            assert (await connections.request("PUT", "/x", {}, b"1" * 100_000, silence=5)).body == b"hello"
        assert service.connections == 1
        assert [len(body) for body in service.bodies] == [0, 0, 100_000]
        assert b"Content-Length: 0" in service.heads[0]

    run(story())


def test_an_answer_without_a_length_ends_when_the_service_hangs_up() -> None:
    async def story() -> None:
        async with connected(Service(b"HTTP/1.1 200 OK\r\n\r\nhello", hang_up=True)) as connections:
            assert (await connections.request("GET", "/x", {}, None, silence=5)).body == b"hello"

    run(story())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ConnectionError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", ConnectionError),
    ],
)
def test_half_an_answer_is_an_error_and_its_connection_is_not_used_again(answer: bytes, error: type[Exception]) -> None:
    async def story() -> None:
        service = Service(answer, hang_up=True)
        async with connected(service) as connections:
            with pytest.raises(error):
                await connections.request("GET", "/x", {}, None, silence=5)
            service.answers, service.hang_up = [ANSWERS["length"]], False
            assert (await connections.request("GET", "/x", {}, None, silence=5)).body == b"hello"
        assert service.connections == 2

    run(story())


def test_silence_and_an_impatient_caller_end_a_request_but_not_the_next_one() -> None:
    async def story() -> None:
        service = Service()
        async with connected(service) as connections:
            with pytest.raises(TimeoutError):
                await connections.request("GET", "/x", {}, None, silence=0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connections.request("GET", "/x", {}, None, silence=5)
            service.answers = [ANSWERS["length"]]
            assert (await connections.request("GET", "/x", {}, None, silence=5)).body == b"hello"
        assert service.connections == 3

    run(story())


def test_more_requests_than_connections_wait_their_turn() -> None:
    async def story() -> None:
        service = Service(*[ANSWERS["length"]] * 200)
        async with connected(service) as connections:
            answers = await asyncio.gather(*(connections.request("GET", f"/{number}", {}, None, silence=20) for number in range(200)))
        assert [answer.body for answer in answers] == [b"hello"] * 200
        assert service.connections <= 48

    run(story())


def test_a_header_cannot_smuggle_in_another() -> None:
    async def story() -> None:
        async with connected(Service()) as connections:
            with pytest.raises(ValueError, match="line break"):
                await connections.request("GET", "/x", {"x-ms-meta-a": "1\r\nx-ms-meta-b: 2"}, None, silence=5)

    run(story())


def certificate(folder: Path) -> Path:
    """A key and a certificate that it signed for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "storage")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "storage.pem").write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return folder / "storage.pem"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_service_by_https_is_spoken_to_if_its_certificate_is_trusted(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    service = Service(ANSWERS["chunks"], ANSWERS["length"], piece=3)

    async def story() -> None:
        server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=context)
        connections = Connections(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/account")
        try:
            if not trusted:
                with pytest.raises(OSError, match="certificate verify failed"):
                    await connections.request("GET", "/x", {}, None, silence=5)
                return
            for _ in range(2):
                answer = await connections.request("PUT", "/x", {}, b"y" * 100_000, silence=5)
                assert (answer.status, answer.body) == (200, b"hello")
            assert service.connections == 1
        finally:
            await connections.close()
            server.close()

    run(story())
