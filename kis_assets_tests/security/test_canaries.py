"""Credentials that nobody else has, looked for wherever a day's work leaves anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import EVENING

KEY = "PSCANARYKEY0000000000000000000000001"
SECRET = "CanarySecret" * 15
CANARIES = {
    "KIS_APP_KEY": KEY,
    "KIS_APP_SECRET": SECRET,
    "KIS_ACCOUNT_NUMBER": "77001234-01",
    "KRX_API_KEY": "CANARYKRX" + "0" * 31,
}
WEBHOOK = "canary-of-the-webhook"
LOUD = """
import logging, sys
logging.basicConfig(filename=sys.argv.pop(1), level=logging.DEBUG)
logging.getLogger().setLevel(logging.DEBUG)
from kis_assets.cli import app, common
common.quieten = lambda: None
for module in list(sys.modules.values()):
    if getattr(module, "quieten", None) is not None and module is not common:
        module.quieten = common.quieten
app()
"""
"""The program, with every logger at DEBUG and written to a file."""
COMMANDS = (
    "doctor",
    "run",
    "run --table order_books --table minute_candles --table stock_info --table corporate_actions",
    "run --table krx_daily",
    "run --table market_report",
    "quote 005930 999999",
    "candles 005930 --count 5",
    "stream 005930 --seconds 1",
    "status",
    "metrics --once",
    "backfill daily_candles 2026-01 2026-02 --yes",
)


@pytest.mark.slow
def test_a_days_work_at_debug_leaves_no_credential_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = Simulator(ModelMarket(0, lambda: EVENING), rate_limit=0, token_window=0.0)
    said: list[str] = []
    (tmp_path / "tmp").mkdir()
    with serve(simulator, tick=0.01) as url:
        environment = os.environ | CANARIES
        environment |= {
            "KIS_USE_REAL_SERVER": "true",
            "KIS_API_BASE_URL_REAL": url,
            "KIS_WS_URL_REAL": url.replace("http", "ws"),
            "KIS_MASTER_BASE_URL": url,
            "KRX_API_BASE_URL": f"{url}/svc/apis",
            "KIS_REPLAY_AT": EVENING.isoformat(),
            "KIS_STOCK_CODES": "005930,000660",
            "KIS_FAILURE_WEBHOOK_URL": f"http://127.0.0.1:9/{WEBHOOK}",
            "TMPDIR": str(tmp_path / "tmp"),
        }
        for number, command in enumerate(COMMANDS):
            log = tmp_path / "logs" / f"{number}.log"
            log.parent.mkdir(exist_ok=True)
            done = subprocess.run(
                [sys.executable, "-c", LOUD, str(log), *command.split()],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            said.append(f"{command}\n{done.stdout}\n{done.stderr}")
            assert "Traceback" not in done.stderr, said[-1]
    tokens, approvals = list(simulator.tokens._tokens), list(simulator.tokens._approved)
    assert tokens and approvals, "it was asked with the key"
    assert any("DEBUG" in log.read_text() for log in (tmp_path / "logs").iterdir())
    secrets = [*CANARIES.values(), WEBHOOK, *tokens, *approvals]
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(left) > 30
    # A log may cut a secret, and half of one is too much.
    for secret in (secret[:16] for secret in secrets):
        assert not [path for path, content in left.items() if secret.encode() in content], secret
        assert not [text for text in said if secret in text], secret
