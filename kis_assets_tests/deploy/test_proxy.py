"""`deploy/Caddyfile` before the door of `kis-assets ui`, as on one machine: the real Caddy."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kis_assets.security.http_guard import Door
from kis_assets_tests.support.containers import DEPLOY

pytestmark = pytest.mark.scale

NAME, PASSWORD = "data.example.com", "correct horse"
LOGIN = "Basic " + base64.b64encode(f"kim:{PASSWORD}".encode()).decode()


async def ui(scope: Any, receive: Any, send: Any) -> None:
    """What stands for Dagster's webserver: pages, and a web socket that says what it is told."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the UI"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        told = await receive()
        await send({"type": "websocket.send", "text": told["text"]})


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of the proxy, before a door that knows its name."""
    if not shutil.which("caddy"):
        pytest.skip("Caddy is not installed: apt-get install caddy")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    behind, port, other = (it.getsockname()[1] for it in listeners)
    for it in listeners[1:]:
        it.close()
    server = uvicorn.Server(uvicorn.Config(Door(ui, [f"{NAME}:{port}"]), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": listeners[:1]})
    thread.start()
    hashed = subprocess.run(
        ["caddy", "hash-password", "--plaintext", PASSWORD],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "users").write_text(f"kim {hashed.stdout.strip()}\n", encoding="utf-8")
    process = subprocess.Popen(
        ["caddy", "run", "--config", str(DEPLOY / "Caddyfile"), "--adapter", "caddyfile"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "UI_USERS": str(tmp_path / "users"),
            "UI": f"127.0.0.1:{behind}",
            "UI_SITE": f"http://{NAME}:{port}",
            "ANALYSTS_SITE": f"http://{NAME}:{other}",
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(1000):
            if not socket.socket().connect_ex(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
        server.should_exit = True
        thread.join(timeout=20)


def test_with_the_login_all_passes_and_without_it_nothing(port: int) -> None:
    page, host = f"http://127.0.0.1:{port}/", {"Host": f"{NAME}:{port}"}
    assert httpx.get(page, headers=host, timeout=60).status_code == 401
    answer = httpx.get(page, headers=host | {"Authorization": LOGIN}, timeout=60)
    assert (answer.status_code, answer.text) == (200, "the UI")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_web_socket_passes_with_the_login_and_from_this_site_alone(port: int) -> None:
    address, here = f"ws://{NAME}:{port}/graphql", f"http://{NAME}:{port}"

    def opened(origin: str, login: str = LOGIN) -> Any:
        return connect(
            address,
            sock=socket.create_connection(("127.0.0.1", port)),
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Authorization": login},
        )

    with opened(here) as feed:
        feed.send("hello")
        assert feed.recv() == "hello"
    for origin, login, status in ((here, "", 401), ("https://evil.example", LOGIN, 403)):
        with pytest.raises(InvalidStatus) as refused:
            opened(origin, login)
        assert refused.value.response.status_code == status
