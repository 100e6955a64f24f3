"""Every fault on demand, how it looks to a client, and that it stops when it should."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from kis_assets.exchange import calendar
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import Faults, When
from kis_assets.simulator.server.http import InProcessTransport, serve
from kis_assets.simulator.server.server import Simulator

KEY, SECRET = "P" * 36, "s" * 180
QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
PRICE = QUOTATIONS + "inquire-price"
STOCK = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
CHART = STOCK | {
    "FID_INPUT_DATE_1": "20260901", "FID_INPUT_DATE_2": "20261117",
    "FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "1",
}  # fmt: skip
MORNING = datetime(2026, 11, 18, 10, 31, 20, tzinfo=calendar.SEOUL)


class Client:
    """An httpx client of a simulator, in process or over a socket."""

    def __init__(self, simulator: Simulator, http: httpx.Client) -> None:
        self.simulator, self.faults, self.http = simulator, simulator.faults, http
        form = {"grant_type": "client_credentials", "appkey": KEY, "appsecret": SECRET}
        self.token = http.post("/oauth2/tokenP", json=form).json()["access_token"]

    def get(
        self, path: str = PRICE, tr_id: str = "FHKST01010100", timeout: float = 5.0, **changes: str
    ) -> httpx.Response:
        headers = {
            "content-type": "application/json; charset=utf-8", "custtype": "P", "appkey": KEY,
            "appsecret": SECRET, "authorization": f"Bearer {self.token}", "tr_id": tr_id,
        }  # fmt: skip
        return self.http.get(path, params=STOCK | changes, headers=headers, timeout=timeout)

    def chart(self, **changes: str) -> list[dict[str, str]]:
        path, tr_id = QUOTATIONS + "inquire-daily-itemchartprice", "FHKST03010100"
        return self.get(path, tr_id, **(CHART | changes)).json()["output2"]


@pytest.fixture(scope="module")
def market() -> ModelMarket:
    return ModelMarket(0, lambda: MORNING)


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(market: ModelMarket, slept: list[float]) -> Client:
    simulator = Simulator(market, rate_limit=0)
    transport = InProcessTransport(simulator, sleep=slept.append)
    return Client(simulator, httpx.Client(transport=transport, base_url="http://kis"))


@pytest.fixture
def wired(market: ModelMarket) -> Iterator[Client]:
    simulator = Simulator(market, rate_limit=0)
    with serve(simulator) as url, httpx.Client(base_url=url) as http:
        yield Client(simulator, http)


def test_no_fault_strikes_unless_asked_for(client: Client) -> None:
    assert client.get().json()["rt_cd"] == "0"


@pytest.mark.parametrize(
    ("fault", "status", "look"),
    [
        ("server_error", 500, lambda r: r.content == b""),
        ("bad_gateway", 502, lambda r: r.text.startswith("<html>")),
        ("unavailable", 503, lambda r: r.text.startswith("<html>")),
        ("html", 200, lambda r: r.headers["content-type"].startswith("text/html")),
        ("empty", 200, lambda r: r.content == b""),
        ("truncated", 200, lambda r: r.text.startswith("{") and not r.text.endswith("}")),
        ("wrong_type", 200, lambda r: r.json() and "html" in r.headers["content-type"]),
    ],
)
def test_15_an_answer_that_is_none_comes_as_often_as_asked_for(
    client: Client, fault: str, status: int, look: Callable[[httpx.Response], bool]
) -> None:
    setattr(client.faults, fault, When(calls=2))
    for _ in range(2):
        response = client.get()
        assert response.status_code == status
        assert look(response)
    assert client.get().json()["rt_cd"] == "0"


def test_garbage_that_claims_to_be_gzip_cannot_be_decoded(client: Client) -> None:
    client.faults.garbage_gzip = True
    with pytest.raises(httpx.DecodingError):
        client.get()


def test_15_transport_faults_are_httpx_errors(client: Client) -> None:
    client.faults.down = When(calls=1)
    with pytest.raises(httpx.ConnectError):
        client.get()
    client.faults.reset = When(calls=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get()
    client.faults.hang = When(calls=1, seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        client.get(timeout=30)
    assert client.get().json()["rt_cd"] == "0"
    assert [arrival.outcome for arrival in client.simulator.log[1:3]] == ["down", "reset"]


def test_latency_and_drip_take_their_time(client: Client, slept: list[float]) -> None:
    client.faults.latency = When(seconds=0.5)
    client.faults.drip = When(seconds=0.1)
    client.get()
    assert sum(slept) == pytest.approx(1.3)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("fault", "code"),
    [("query_again", "EGW00316"), ("expired_token", "EGW00123"), ("invalid_token", "EGW00121")],
)
def test_passing_refusals_come_with_either_status(
    client: Client, fault: str, code: str, status: int
) -> None:
    setattr(client.faults, fault, When(calls=1, status=status))
    response = client.get()
    assert (response.status_code, response.json()["msg_cd"]) == (status, code)
    assert client.get().json()["rt_cd"] == "0"


def test_a_refusal_may_come_as_http_200(client: Client) -> None:
    client.faults.refusals_as_ok = True
    client.faults.refused = When(calls=1)
    response = client.get()
    assert (response.status_code, response.json()["msg_cd"]) == (200, "EGW00201")
    assert client.simulator.refusals == 1


def test_all_tokens_can_be_revoked_at_once(client: Client) -> None:
    client.simulator.tokens.revoke()
    assert client.get().json()["msg_cd"] == "EGW00121"


def test_15_the_token_can_be_refused_with_403(client: Client) -> None:
    form = {"grant_type": "client_credentials", "appkey": KEY, "appsecret": SECRET}
    response = client.http.post("/oauth2/tokenP", json=form)
    assert (response.status_code, response.json()["error_code"]) == (403, "EGW00133")


def test_a_fault_can_be_for_one_path_with_some_left_alone(client: Client) -> None:
    client.faults.empty = When(path="itemchartprice", skip=1, calls=1)
    assert client.get().content
    assert client.chart()
    with pytest.raises(json.JSONDecodeError):
        client.chart()
    assert client.chart()


def test_a_fault_can_strike_with_a_probability_that_repeats(market: ModelMarket) -> None:
    def struck() -> list[bool]:
        faults = Faults(seed=7)
        faults.empty = When(probability=0.3)
        return [faults.strikes("empty", PRICE) is not None for _ in range(200)]

    assert struck() == struck()
    assert 30 < sum(struck()) < 90


def test_a_refused_page_is_refused_once(client: Client) -> None:
    client.faults.refuse_page = 2
    codes = [
        client.get(QUOTATIONS + "inquire-daily-itemchartprice", "FHKST03010100", **CHART).json()[
            "msg_cd"
        ]
        for _ in range(3)
    ]
    assert codes == ["MCA00000", "EGW00201", "MCA00000"]


def test_a_repeated_page_is_the_last_one_again(client: Client) -> None:
    client.faults.repeat_page = When(skip=1)
    first = client.chart()
    assert client.chart(FID_INPUT_DATE_2="20260930") == first


def test_optional_fields_go_missing_and_numbers_go_blank(client: Client) -> None:
    client.faults.blank_numbers = When(calls=1)
    output = client.get().json()["output"]
    assert output["per"] == output["pbr"] == output["hts_avls"] == " "
    client.faults.missing_optional_fields = When(calls=1)
    assert "per" not in client.get().json()["output"]
    client.faults.extra_fields = When(calls=1)
    assert "new_field_of_tomorrow" in client.get().json()["output"]


def test_padded_numbers_are_the_same_numbers(client: Client) -> None:
    plain = client.get().json()["output"]
    client.faults.padded_numbers = True
    padded = client.get().json()["output"]
    shapes: set[str] = set()
    for name, text in plain.items():
        if text.removeprefix("-").isdigit() and name not in ("stck_shrn_iscd",):
            read = padded[name].strip().replace(",", "")
            assert int(read) == int(text)
            shapes |= {mark for mark in "+, " if mark in padded[name]}
    assert shapes == {"+", ",", " "}


def test_a_price_can_be_no_number_or_missing(client: Client) -> None:
    client.faults.bad_number = When(calls=1)
    assert client.get().json()["output"]["stck_prpr"] == "abc"
    client.faults.missing_required_field = When(calls=1)
    assert "stck_clpr" not in client.chart()[0]


def test_rows_can_be_out_of_order(client: Client) -> None:
    client.faults.rows_out_of_order = True
    days = [row["stck_bsop_date"] for row in client.chart() if row]
    assert days != sorted(days, reverse=True)


def test_another_stock_and_other_days_can_be_answered(client: Client) -> None:
    client.faults.wrong_code_answer = When(calls=1)
    assert client.get().json()["output"]["stck_shrn_iscd"] == "000660"
    client.faults.another_days_bars = When(calls=1)
    assert client.chart()[0]["stck_bsop_date"] < "20261001"


def test_7_the_closing_minute_can_be_doubled(market: ModelMarket) -> None:
    evening = ModelMarket(0, lambda: MORNING.replace(hour=18))
    simulator = Simulator(evening, rate_limit=0)
    http = httpx.Client(transport=InProcessTransport(simulator), base_url="http://kis")
    client = Client(simulator, http)
    asked = {"FID_INPUT_HOUR_1": "153000", "FID_PW_DATA_INCU_YN": "N", "FID_ETC_CLS_CODE": ""}

    def closing() -> int:
        path = QUOTATIONS + "inquire-time-itemchartprice"
        return int(client.get(path, "FHKST03010200", **asked).json()["output2"][0]["cntg_vol"])

    single = closing()
    client.faults.doubled_closing_minute = True
    assert closing() == 2 * single > 0


def todays_minutes(client: Client, upto: str) -> list[dict[str, str]]:
    path, tr_id = QUOTATIONS + "inquire-time-itemchartprice", "FHKST03010200"
    asked = {"FID_INPUT_HOUR_1": upto, "FID_PW_DATA_INCU_YN": "N", "FID_ETC_CLS_CODE": ""}
    return client.get(path, tr_id, **asked).json()["output2"]


def past_minutes(client: Client, upto: str) -> list[dict[str, str]]:
    path, tr_id = QUOTATIONS + "inquire-time-dailychartprice", "FHKST03010230"
    asked = {
        "FID_INPUT_DATE_1": "20261117", "FID_INPUT_HOUR_1": upto, "FID_PW_DATA_INCU_YN": "Y",
        "FID_FAKE_TICK_INCU_YN": "",
    }  # fmt: skip
    return client.get(path, tr_id, **asked).json()["output2"]


def test_minutes_can_go_on_ahead_of_the_servers_clock(client: Client) -> None:
    client.faults.minutes_ahead = When(seconds=180)
    for asked in ("103100", "000000"):
        newest = todays_minutes(client, asked)
        assert [row["stck_cntg_hour"] for row in newest[:2]] == ["103400", "103300"]
        assert len({row["stck_prpr"] for row in newest[:3]}) == 1
    assert todays_minutes(client, "101500")[0]["stck_cntg_hour"] == "101500"


def test_the_last_minute_can_be_labelled_by_its_end(client: Client) -> None:
    client.faults.minute_of_2000 = True
    first = [row["stck_cntg_hour"] for row in past_minutes(client, "200000")]
    assert first[:2] == ["200000", "195800"]
    assert past_minutes(client, "195900")[0]["stck_cntg_hour"] == "195800"


def test_a_page_of_past_minutes_can_be_empty_half_way(client: Client) -> None:
    client.faults.empty_minutes = When(calls=1)
    assert past_minutes(client, "153000")
    assert past_minutes(client, "133000") == []
    assert past_minutes(client, "133000")


def test_a_day_without_a_trade_can_come_as_its_close(client: Client, market: ModelMarket) -> None:
    code = next(stock.code for stock in market.stocks(MORNING.date()) if stock.is_halted)
    dates = {"FID_INPUT_ISCD": code, "FID_INPUT_DATE_1": "20261116"}
    prices = ("stck_oprc", "stck_hgpr", "stck_lwpr")
    row = client.chart(**dates)[0]
    assert {row[name] for name in prices} == {"0"}
    client.faults.untraded_as_close = True
    row = client.chart(**dates)[0]
    assert {row[name] for name in prices} == {row["stck_clpr"]}
    assert row["acml_vol"] == "0"


def test_a_list_can_end_with_its_first_page_without_a_word(client: Client) -> None:
    path, tr_id = "/uapi/domestic-stock/v1/ksdinfo/dividend", "HHKDB669102C0"
    asked = dict.fromkeys(("CTS", "SHT_CD", "GB1", "HIGH_GB"), "")
    asked |= {"F_DT": "20251201", "T_DT": "20251231"}
    assert client.get(path, tr_id, **asked).headers["tr_cont"] == "M"
    client.faults.cut_lists = True
    answer = client.get(path, tr_id, **asked)
    assert (answer.headers["tr_cont"], len(answer.json()["output1"])) == ("", 100)
    assert "ctx_area_nk" not in answer.json()


@pytest.mark.parametrize(("inclusive", "begins"), [(False, "20261212"), (True, "20261211")])
def test_the_calendars_next_page_begins_at_or_after_its_key(
    client: Client, inclusive: bool, begins: str
) -> None:
    client.faults.calendar_inclusive = inclusive
    path, tr_id = QUOTATIONS + "chk-holiday", "CTCA0903R"
    asked = {"BASS_DT": "20261118", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
    key = client.get(path, tr_id, **asked).json()["ctx_area_nk"]
    assert key.strip() == "20261211"
    page = client.get(path, tr_id, **asked | {"CTX_AREA_NK": key}).json()["output"]
    assert page[0]["bass_dt"] == begins


def test_every_answer_is_dated_by_the_servers_clock(client: Client, wired: Client) -> None:
    for one in (client, wired):
        assert one.get().headers["date"] == "Wed, 18 Nov 2026 01:31:20 GMT"
        assert len(one.get().headers.get_list("date")) == 1


def test_faults_are_turned_from_plain_json_and_cleared() -> None:
    faults = Faults()
    faults.update({"bad_gateway": {"calls": 2}, "html": True, "refuse_page": 3})
    assert (faults.bad_gateway, faults.html, faults.refuse_page) == (When(calls=2), True, 3)
    with pytest.raises(ValueError, match="no such fault: nonsense"):
        faults.update({"nonsense": True})
    with pytest.raises(ValueError, match="bad_gateway"):
        faults.update({"bad_gateway": {"when": 1}})
    faults.clear()
    assert faults.strikes("html", PRICE) is None
    assert faults.refuse_page == 0


# Over a socket.


def test_the_server_answers_over_http_as_in_process(wired: Client, client: Client) -> None:
    theirs, mine = wired.get(), client.get()
    assert theirs.json() == mine.json()
    assert theirs.headers["tr_id"] == "FHKST01010100"
    assert wired.http.get("/common/master/konex_code.mst.zip").content[:2] == b"PK"


def test_faults_and_figures_are_reachable_from_another_process(wired: Client) -> None:
    set_up: dict[str, Any] = {"bad_gateway": {"calls": 1}}
    assert wired.http.post("/simulator/faults", json=set_up).status_code == 200
    assert wired.get().status_code == 502
    assert wired.get().status_code == 200
    assert wired.http.post("/simulator/faults", json={"oops": 1}).status_code == 400
    wired.http.post("/simulator/faults", json={"revoke_all_tokens": True, "clear": True})
    assert wired.get().json()["msg_cd"] == "EGW00121"
    stats = wired.http.get("/simulator/stats").json()
    assert stats["tokens_issued"] == 1
    assert stats["by_path"][PRICE] == 3
    assert stats["by_outcome"] == {"OK": 1, "bad_gateway": 1, "MCA00000": 1, "EGW00121": 1}


def test_a_torn_connection_and_a_hang_are_errors_over_a_socket_too(wired: Client) -> None:
    wired.faults.reset = When(calls=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        wired.get()
    wired.faults.hang = When(calls=1, seconds=0.4)
    with pytest.raises(httpx.ReadTimeout):
        wired.get(timeout=0.05)
    wired.faults.drip = When(calls=1, seconds=0.001)
    assert wired.get().json()["rt_cd"] == "0"


def test_many_threads_are_counted_one_by_one(market: ModelMarket) -> None:
    simulator = Simulator(market, rate_limit=18)
    client = Client(
        simulator, httpx.Client(transport=InProcessTransport(simulator), base_url="http://kis")
    )
    simulator.monotonic = lambda: 5.0
    outcomes: list[int] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(client.get().status_code))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [200] * 18 + [500] * 22
    assert simulator.max_in_any_second() == 40
