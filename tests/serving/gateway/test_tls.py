"""What TLS 1.3 has not, tried all the same with OpenSSL's own client: early data, resumption, older versions."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from tests.serving.gateway.running import free_port, gateway

pytestmark = pytest.mark.asyncio
EARLY = b"GET /v1/models HTTP/1.1\r\nhost: early\r\n\r\n"
ASKED = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
UPDATES = 300


@asynccontextmanager
async def openssl(*words):
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("openssl", *map(str, words), stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def told(process, data=b""):
    """Send data to a client, and return all that it printed until the server closed the connection."""
    async with asyncio.timeout(20):
        process.stdin.write(data)
        output = await process.stdout.read()
        return output + await process.stderr.read()


async def foreign_session(folder):
    """Get a session that allows early data, from a server of ours with the gateway's certificate."""
    session, tls = folder / "session", ("-cert", folder / "tls/cert.pem", "-key", folder / "tls/key.pem")
    for _ in range(20):
        port = free_port()  # somebody else may have it by then
        async with openssl("s_server", "-port", port, *tls, "-early_data", "-www", "-quiet") as server:
            while server.returncode is None and not session.exists():
                async with openssl("s_client", "-connect", f"127.0.0.1:{port}", "-sess_out", session) as client:
                    await told(client, b"GET / HTTP/1.0\r\n\r\n")
                await asyncio.sleep(0.1)
        if session.exists():
            return session
    raise AssertionError("no session was given")


async def test_a_request_in_early_data_is_not_answered(tmp_path):
    async with gateway(tmp_path) as running:
        session, early = await foreign_session(tmp_path), tmp_path / "early"
        early.write_bytes(EARLY)
        where = ("-connect", f"127.0.0.1:{running.port}", "-sess_in", session, "-early_data", early)
        async with openssl("s_client", *where) as client:
            output = await told(client, ASKED)
        assert b"Early data was rejected" in output
        assert (output.count(b"HTTP/1.1 200"), output.count(b'"object"')) == (1, 0)
        await running.answers_another()


async def test_no_session_is_given_that_early_data_could_use(tmp_path):
    async with gateway(tmp_path) as running:
        session = tmp_path / "session"
        where = ("-connect", f"127.0.0.1:{running.port}", "-sess_out", session)
        async with openssl("s_client", *where) as client:
            assert b"HTTP/1.1 200" in await told(client, ASKED)
        assert not session.exists()


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1", "-tls1_2"])
async def test_versions_that_could_renegotiate_are_refused(tmp_path, version):
    async with gateway(tmp_path) as running:
        where = ("-connect", f"127.0.0.1:{running.port}", version, "-cipher", "ALL:@SECLEVEL=0")
        async with openssl("s_client", *where) as client:
            output = await told(client, ASKED)
        assert b"HTTP/1.1" not in output
        assert b"no peer certificate available" in output
        await running.answers_another()


async def test_a_flood_of_new_keys_costs_only_its_sender(tmp_path):
    """A client may ask for new keys at any time (RFC 8446, 4.6.3)."""
    async with gateway(tmp_path) as running:
        where = ("-connect", f"127.0.0.1:{running.port}")
        async with openssl("s_client", *where) as client:
            await client.stdout.readuntil(b"Verify return code")
            for _ in range(UPDATES):
                client.stdin.write(b"K\n")  # of two that it reads at once the second is lost
                async with asyncio.timeout(60):
                    await client.stderr.readuntil(b"KEYUPDATE\n")
            await running.answers_another()
            output = await told(client, ASKED)
        assert b"HTTP/1.1 200" in output
        await running.answers_another()
