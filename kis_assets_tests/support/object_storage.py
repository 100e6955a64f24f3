"""S3 on loopback (moto), which can kill a client at the moment its commit arrives."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest


class Storage:
    """A bucket of its own: all servers of moto in a process have the same ones.

    `dies_at_commit` is a client that is killed when it is about to commit: its files are written,
    and its commit never is.
    """

    def __init__(self, port: int, app: Any) -> None:
        self._bucket = f"lake-{secrets.token_hex(4)}"
        self.url = f"s3://{self._bucket}/tables"
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "KIS_LAKE_URL": self.url,
        }
        self.dies_at_commit: subprocess.Popen[str] | None = None
        self._app = app

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        is_commit = environ["REQUEST_METHOD"] == "PUT" and "/_delta_log/" in environ["PATH_INFO"]
        if is_commit and self.dies_at_commit is not None:
            self.dies_at_commit.send_signal(signal.SIGKILL)
            start("503 Slow Down", [])
            return []
        return self._app(environ, start)

    def files(self) -> dict[str, int]:
        """The size of each file of rows."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        return {
            it["Key"]: it["Size"]
            for page in pages
            for it in page.get("Contents", [])
            if it["Key"].endswith(".parquet") and "_delta_log" not in it["Key"]
        }

    def make(self) -> None:
        """Make the bucket."""
        self._client().create_bucket(Bucket=self._bucket)

    def _client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
        )


@contextmanager
def served() -> Generator[Storage]:
    """The storage, as long as the block runs; the test is skipped where moto is not installed."""
    pytest.importorskip("boto3", reason="make test-scale installs it")
    moto = pytest.importorskip("moto.server", reason="make test-scale installs it")
    serving = pytest.importorskip("werkzeug.serving", reason="make test-scale installs it")

    class Quiet(serving.WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            pass

    # The port is known only when it listens, and the storage names it.
    server = serving.make_server("127.0.0.1", 0, None, threaded=True, request_handler=Quiet)
    storage = Storage(server.port, moto.DomainDispatcherApplication(moto.create_backend_app))
    server.app = storage
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        storage.make()
        yield storage
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
