"""HTTP clients and servers of others over I2P."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

import eepkit
from eepkit import sync


async def application(scope, receive, send):
    """An ASGI application: ``/echo`` returns the body, ``/slow`` sends in parts."""
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    status = 404 if scope["path"] == "/missing" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-app", b"yes")]})
    if scope["path"] == "/slow":
        for part in range(3):
            await send({"type": "http.response.body", "body": b"part%d " % part, "more_body": True})
            await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": body or b"hello"})


@contextlib.asynccontextmanager
async def uvicorn_server(session):
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(application, lifespan="off", log_level="warning", ws="none")
    config.load()
    server = uvicorn.Server(config)

    def protocol():
        return config.http_protocol_class(
            config=config, server_state=server.server_state, app_state={}
        )

    async with session.create_server(protocol, 80):
        yield


@contextlib.asynccontextmanager
async def hypercorn_server(session):
    pytest.importorskip("hypercorn")
    from hypercorn.app_wrappers import ASGIWrapper
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.asyncio.worker_context import WorkerContext
    from hypercorn.config import Config

    config, context = Config(), WorkerContext(None)
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        await TCPServer(ASGIWrapper(application), loop, config, context, {}, reader, writer)

    async with session.start_server(serve, 80):
        yield


@pytest.fixture(params=[uvicorn_server, hypercorn_server], ids=["uvicorn", "hypercorn"])
def serving(request):
    """A session whose port 80 serves the application, in another thread."""
    ready, stop = threading.Event(), threading.Event()
    with sync.Router.simulated() as router:
        outcome = []

        async def serve():
            over = eepkit.Router(router._native)
            async with over.session(preset="test") as session:
                async with request.param(session):
                    outcome.append(session.destination)
                    ready.set()
                    while not stop.is_set():
                        await asyncio.sleep(0.02)

        def work():
            try:
                asyncio.run(serve())
            except BaseException as error:
                outcome.append(error)
                ready.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert ready.wait(30)
        try:
            if not isinstance(outcome[0], eepkit.Destination):
                raise outcome[0]
            yield router, outcome[0].b32
        finally:
            stop.set()
            thread.join()


def test_httpx_fetches_in_an_event_loop(run, serving):
    httpx = pytest.importorskip("httpx")
    from eepkit.connectors.httpx import AsyncTransport

    router, host = serving

    async def work():
        async with eepkit.Router(router._native).session(preset="test") as session:
            transport = AsyncTransport(session)
            async with httpx.AsyncClient(transport=transport, timeout=30) as client:
                for _ in range(3):
                    response = await client.get(f"http://{host}/")
                    assert (response.status_code, response.text) == (200, "hello")
                    assert response.headers["x-app"] == "yes"
                assert (await client.get(f"http://{host}/missing")).status_code == 404
                data = b"x" * 300_000
                assert (await client.post(f"http://{host}/echo", content=data)).content == data
                async with client.stream("GET", f"http://{host}/slow") as response:
                    parts = [part async for part in response.aiter_bytes()]
                    assert b"".join(parts) == b"part0 part1 part2 hello"
                with pytest.raises(httpx.ConnectError):
                    await client.get("http://unknown.i2p/")
                with pytest.raises(httpx.ConnectError):
                    await client.get("http://localhost/")
                with pytest.raises(httpx.ConnectError):
                    await client.get(f"https://{host}:80/")

    run(work())


def test_httpx_fetches_in_a_thread(serving):
    httpx = pytest.importorskip("httpx")
    from eepkit.connectors.httpx import Transport

    router, host = serving
    with router.session(preset="test") as session:
        with httpx.Client(transport=Transport(session), timeout=30) as client:
            for _ in range(3):
                assert client.get(f"http://{host}/").text == "hello"
            data = b"x" * 300_000
            assert client.post(f"http://{host}/echo", content=data).content == data
            assert client.get(f"http://{host}/slow").text == "part0 part1 part2 hello"
            with pytest.raises(httpx.ConnectError):
                client.get("http://unknown.i2p/")
            with pytest.raises(httpx.ConnectError):
                client.get("http://localhost/")


def test_aiohttp_fetches(run, serving):
    aiohttp = pytest.importorskip("aiohttp")
    from eepkit.connectors.aiohttp import Connector

    router, host = serving

    async def work():
        async with eepkit.Router(router._native).session(preset="test") as session:
            async with aiohttp.ClientSession(connector=Connector(session)) as client:
                for _ in range(3):
                    async with client.get(f"http://{host}/") as response:
                        assert (response.status, await response.text()) == (200, "hello")
                data = b"x" * 300_000
                async with client.post(f"http://{host}/echo", data=data) as response:
                    assert await response.read() == data
                async with client.get(f"http://{host}/slow") as response:
                    assert await response.text() == "part0 part1 part2 hello"
                for url in ("http://unknown.i2p/", "http://localhost/", f"https://{host}:80/"):
                    with pytest.raises(aiohttp.ClientError):
                        await client.get(url)

    run(work())


def test_requests_fetches(serving, monkeypatch):
    requests = pytest.importorskip("requests")
    from eepkit.connectors.requests import Adapter

    # A proxy of the environment would see the names, so it is not used.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    router, host = serving
    with router.session(preset="test") as session, requests.Session() as client:
        client.mount("http://", Adapter(session))
        client.mount("https://", Adapter(session))
        for _ in range(3):
            response = client.get(f"http://{host}/", timeout=30)
            assert (response.status_code, response.text) == (200, "hello")
        data = b"x" * 300_000
        assert client.post(f"http://{host}/echo", data=data).content == data
        assert client.get(f"http://{host}/slow").text == "part0 part1 part2 hello"
        for url in ("http://unknown.i2p/", "http://localhost/"):
            with pytest.raises(requests.exceptions.ConnectionError):
                client.get(url)
        with pytest.raises(requests.exceptions.InvalidSchema):
            client.get(f"https://{host}:80/")
