"""What can be wrong on the way to a server: one line with the cause and the next step, in both transports."""

import asyncio
import ssl
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.exceptions import ModelError
from rlm_notebook.models.openai import OpenAIModel
from tests.fault_server import FaultServer, refusal
from tests.models.openai.test_model import asking, failure
from tests.support.waiting import HANG


@pytest.fixture(params=["aiohttp", "httpx"])
def transport(request):
    return request.param


@asynccontextmanager
async def listening(handler, **options):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]


def proxy_that_says(status: str):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    return answer


def use_proxy(monkeypatch, proxy: str) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("HTTPS_PROXY", proxy)


@pytest.fixture
def model(transport):
    return lambda url: OpenAIModel("m", base_url=url, transport=transport)


class TestProxies:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_one_that_wants_a_password(self, model, monkeypatch, scheme):
        async with listening(proxy_that_says("407 Proxy Authentication Required")) as port:
            use_proxy(monkeypatch, f"http://ann:hidden@127.0.0.1:{port}")
            error = await failure(model(f"{scheme}://models.example/v1"), asking())
        assert f"the proxy http://127.0.0.1:{port} wants a user and a password" in str(error)
        assert f"{scheme.upper()}_PROXY" in str(error)
        assert "hidden" not in str(error)
        assert (error.retryable, error.fatal) == (False, True)

    @pytest.mark.parametrize(("status", "retryable"), [("403 Forbidden", False), ("502 Bad Gateway", True)])
    async def test_one_that_refuses_to_connect(self, model, monkeypatch, status, retryable):
        async with listening(proxy_that_says(status)) as port:
            use_proxy(monkeypatch, f"http://127.0.0.1:{port}")
            error = await failure(model("https://models.example/v1"), asking())
        assert f"the proxy http://127.0.0.1:{port} refused to connect ({status[:3]})" in str(error)
        assert "add models.example to NO_PROXY" in str(error)
        assert error.retryable is retryable

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        ("proxy", "retryable"), [("http://127.0.0.1:1", True), ("http://no-such-proxy.invalid:3128", False)]
    )
    async def test_one_that_is_not_there(self, model, monkeypatch, scheme, proxy, retryable):
        use_proxy(monkeypatch, proxy)
        error = await failure(model(f"{scheme}://models.example/v1"), asking())
        assert f"cannot reach the proxy {proxy}; check {scheme.upper()}_PROXY" in str(error)
        assert error.retryable is retryable

    async def test_this_machines_own_servers_are_not_asked_through_it(self, model, monkeypatch):
        use_proxy(monkeypatch, "http://127.0.0.1:1")
        async with FaultServer([refusal(401, "no")]) as server:
            assert (await failure(model(server.url), asking())).status == 401


class TestCertificates:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> ssl.SSLContext:
        made = subprocess.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost",
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            timeout=HANG,
        )
        assert made.returncode == 0, "needs the openssl command"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        return context

    async def test_one_that_nobody_vouches_for_is_not_accepted(self, model, certificate):
        asked = []
        async with listening(lambda reader, writer: asked.append(1) or writer.close(), ssl=certificate) as port:
            error = await failure(model(f"https://localhost:{port}/v1"), asking())
        assert "no secure connection" in str(error)
        assert "self-signed certificate" in str(error)
        assert "check the URL's scheme and the certificate" in str(error)
        assert not error.retryable
        assert asked == [], "nothing was sent"


class TestRuns:
    """What is pointless is not tried again: one request, one line."""

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            (
                refusal(401, "Incorrect API key provided: sk-proj-abcdefghijkl", code="invalid_api_key"),
                "access refused",
            ),
            (refusal(403, "Country not supported"), "access refused"),
            (refusal(404, "The model `m` does not exist", code="model_not_found"), "check the model's name"),
            (refusal(400, "maximum context length is 8192", code="context_length_exceeded"), "pass less context"),
            (refusal(429, "You exceeded your quota", code="insufficient_quota"), "add credit"),
        ],
        ids=["401", "403", "404", "context", "quota"],
    )
    @pytest.mark.parametrize("wire", ["chat", "responses"])
    async def test_a_run_ends_at_the_first(self, act, said, wire):
        async with FaultServer(lambda seen: act) as server:
            with pytest.raises(ModelError) as caught:
                await AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire)).solve("split: a | b")
        assert len(server.requests) == 1
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "abcdefghijkl" not in str(caught.value)
