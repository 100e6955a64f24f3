"""What a faithful simulator must reproduce, quirk by quirk; the numbers are those of the notes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from kis_assets.exchange import calendar
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.replies import Reply
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.server.services import SERVICES
from kis_assets.simulator.wire.masterfiles import FILES, LAYOUTS, cut

KEY, SECRET = "P" * 36, "s" * 180
QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
KSD = "/uapi/domestic-stock/v1/ksdinfo/"
STOCK = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
MORNING = datetime(2026, 11, 18, 10, 31, 20, tzinfo=calendar.SEOUL)
EVENING = datetime(2026, 11, 18, 18, 0, tzinfo=calendar.SEOUL)
DAY_BEFORE = date(2026, 11, 17)


class Desk:
    """A simulator with clocks one can turn and a client that knows the headers."""

    def __init__(self, **options: Any) -> None:
        self.at, self.ticks = MORNING, 1_000.0
        options.setdefault("rate_limit", 0)
        self.market = ModelMarket(0, lambda: self.at)
        self.server = Simulator(self.market, monotonic=lambda: self.ticks, **options)
        self.token = ""

    def ask_token(self, key: str = KEY, secret: str = SECRET) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "client_credentials", "appkey": key, "appsecret": secret}
        reply = self.server.handle("POST", "/oauth2/tokenP", [], {}, json.dumps(form).encode())
        return reply.status, json.loads(reply.body)

    def headers(self, tr_id: str) -> dict[str, str]:
        if not self.token:
            self.token = self.ask_token()[1]["access_token"]
        return {
            "content-type": "application/json; charset=utf-8", "appkey": KEY, "appsecret": SECRET,
            "authorization": f"Bearer {self.token}", "custtype": "P", "tr_id": tr_id,
        }  # fmt: skip

    def reply(self, path: str, parameters: dict[str, str], **headers: str) -> Reply:
        path = path if path.startswith("/") else QUOTATIONS + path
        service = SERVICES.get(path)
        known = self.headers(service.tr_id if service else "FHKST01010100")
        sent = {name: value for name, value in (known | headers).items() if value != "-"}
        return self.server.handle("GET", path, list(parameters.items()), sent)

    def get(self, path: str, parameters: dict[str, str], **headers: str) -> dict[str, Any]:
        return json.loads(self.reply(path, parameters, **headers).body)

    def refusal(self, **headers: str) -> tuple[int, str]:
        reply = self.reply("inquire-price", STOCK, **headers)
        return reply.status, json.loads(reply.body)["msg_cd"]

    def chart(self, **changes: str) -> list[dict[str, str]]:
        parameters = STOCK | {
            "FID_INPUT_DATE_1": "20260101", "FID_INPUT_DATE_2": "20261118",
            "FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "1",
        }  # fmt: skip
        return self.get("inquire-daily-itemchartprice", parameters | changes)["output2"]

    def past(self, **changes: str) -> list[dict[str, str]]:
        parameters = STOCK | {
            "FID_INPUT_DATE_1": "20261117", "FID_INPUT_HOUR_1": "153000",
            "FID_PW_DATA_INCU_YN": "Y", "FID_FAKE_TICK_INCU_YN": "",
        }  # fmt: skip
        return self.get("inquire-time-dailychartprice", parameters | changes)["output2"]

    def today(self, **changes: str) -> list[dict[str, str]]:
        parameters = STOCK | {
            "FID_INPUT_HOUR_1": "103100", "FID_PW_DATA_INCU_YN": "N", "FID_ETC_CLS_CODE": "",
        }  # fmt: skip
        return self.get("inquire-time-itemchartprice", parameters | changes)["output2"]


@pytest.fixture(scope="module")
def shared() -> Desk:
    return Desk()


@pytest.fixture
def desk(shared: Desk) -> Iterator[Desk]:
    shared.at, shared.ticks = MORNING, shared.ticks + 100
    yield shared
    shared.server.faults.clear()


# 1. Hosts.


@pytest.mark.parametrize(
    "path", ["intstock-multprice", "chk-holiday", "inquire-time-dailychartprice", "volume-rank"]
)
def test_1_the_virtual_server_lacks_what_the_real_one_has(path: str) -> None:
    answer = Desk(environment="virtual").get(path, {})
    assert (answer["rt_cd"], answer["msg_cd"]) == ("1", "OPSQ0002")


def test_1_the_virtual_server_takes_one_call_a_second() -> None:
    desk = Desk(environment="virtual", rate_limit=None)
    assert desk.get("inquire-price", STOCK)["rt_cd"] == "0"
    assert desk.refusal() == (500, "EGW00201")
    desk.ticks += 1.0
    assert desk.get("inquire-price", STOCK)["rt_cd"] == "0"


# 2. Tokens.


def test_2_a_token_is_the_same_for_six_hours_and_lives_for_a_day() -> None:
    desk = Desk()
    status, first = desk.ask_token()
    assert status == 200
    assert first["expires_in"] == 86_400
    assert first["token_type"] == "Bearer"
    assert first["access_token_token_expired"] == "2026-11-19 10:31:20"
    desk.ticks += 61
    desk.at += timedelta(hours=5, minutes=59)
    again = desk.ask_token()[1]
    assert again["access_token"] == first["access_token"]
    assert again["access_token_token_expired"] == first["access_token_token_expired"]
    assert again["expires_in"] < 86_400
    desk.ticks += 61
    desk.at += timedelta(minutes=1)
    assert desk.ask_token()[1]["access_token"] != first["access_token"]
    assert desk.server.tokens_issued == 3


def test_2_a_second_token_within_the_minute_is_refused_with_403() -> None:
    desk = Desk()
    desk.ask_token()
    desk.ticks += 59
    status, answer = desk.ask_token()
    assert (status, answer["error_code"]) == (403, "EGW00133")
    assert "rt_cd" not in answer
    desk.ticks += 1
    assert desk.ask_token()[0] == 200


def test_2_wrong_keys_are_told_apart() -> None:
    desk = Desk(app_keys={KEY: SECRET})
    assert desk.ask_token("Q" * 36)[1]["error_code"] == "EGW00103"
    assert desk.ask_token(KEY, "wrong")[1]["error_code"] == "EGW00105"
    assert Desk().ask_token("short")[1]["error_code"] == "EGW00103"


def test_2_a_revoked_token_is_dead(desk: Desk) -> None:
    other = Desk()
    other.get("inquire-price", STOCK)
    form = {"appkey": KEY, "appsecret": SECRET, "token": other.token}
    reply = other.server.handle("POST", "/oauth2/revokeP", [], {}, json.dumps(form).encode())
    assert json.loads(reply.body)["code"] == 200
    assert other.refusal() == (500, "EGW00121")


def test_2_an_approval_key_is_asked_for_with_secretkey(desk: Desk) -> None:
    form = {"grant_type": "client_credentials", "appkey": KEY, "secretkey": SECRET}
    reply = desk.server.handle("POST", "/oauth2/Approval", [], {}, json.dumps(form).encode())
    assert len(json.loads(reply.body)["approval_key"]) == 36
    form["appsecret"] = form.pop("secretkey")
    reply = desk.server.handle("POST", "/oauth2/Approval", [], {}, json.dumps(form).encode())
    assert reply.status == 403


def test_2_a_hash_key_can_be_had(desk: Desk) -> None:
    headers = {"appkey": KEY, "appsecret": SECRET}
    reply = desk.server.handle("POST", "/uapi/hashkey", [], headers, b'{"a": "1"}')
    assert json.loads(reply.body)["BODY"] == {"a": "1"}


# 3. Expiry.


@pytest.mark.parametrize("status", [500, 200])
def test_3_an_expired_token_is_refused_with_either_status(status: int) -> None:
    desk = Desk()
    desk.get("inquire-price", STOCK)
    desk.server.faults.expired_status = status
    desk.at += timedelta(hours=24)
    assert desk.refusal() == (status, "EGW00123")


# 4. Rate.


def test_4_the_nineteenth_call_within_a_second_is_refused() -> None:
    desk = Desk(rate_limit=None)
    desk.headers("")
    for _ in range(18):
        assert desk.get("inquire-price", STOCK)["rt_cd"] == "0"
        desk.ticks += 0.05
    assert desk.refusal() == (500, "EGW00201")
    assert desk.server.refusals == 1
    assert desk.server.max_in_any_second() == 19
    desk.ticks += 0.11
    assert desk.get("inquire-price", STOCK)["rt_cd"] == "0"


def test_4_calls_below_the_limit_are_refused_now_and_then() -> None:
    desk = Desk()
    desk.server.faults.refusal_rate = 0.2
    for _ in range(100):
        desk.reply("inquire-price", STOCK)
    assert 5 < desk.server.refusals < 40


def test_4_the_log_tells_when_what_and_how_it_went(desk: Desk) -> None:
    desk.get("inquire-price", STOCK)
    arrival = desk.server.log[-1]
    assert arrival == (desk.ticks, QUOTATIONS + "inquire-price", "FHKST01010100", "MCA00000")


# 5. Envelope.


def test_5_every_value_is_text_the_message_is_padded_and_keys_have_no_order(desk: Desk) -> None:
    orders: set[tuple[str, ...]] = set()
    for _ in range(20):
        answer = desk.get("inquire-price", STOCK)
        orders.add(tuple(answer))
        assert len(answer["msg1"]) == 80
        assert all(isinstance(value, str) for value in answer["output"].values())
    assert len(orders) > 5


def test_5_optional_fields_are_absent(desk: Desk) -> None:
    output = desk.get("inquire-price", STOCK)["output"]
    assert "new_hgpr_lwpr_cls_code" not in output
    assert "apprch_rate" not in output
    assert {"stck_prpr", "stck_sdpr", "d250_hgpr_date", "w52_lwpr", "mang_issu_cls_code"} <= set(
        output
    )
    assert len(output) == 80


def test_5_the_headers_echo_the_transaction(desk: Desk) -> None:
    reply = desk.reply("inquire-price", STOCK)
    assert reply.headers["tr_id"] == "FHKST01010100"
    assert reply.headers["gt_uid"]
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("authorization", "-", 500, "EGW00122"),
        ("authorization", "token", 500, "EGW00205"),
        ("authorization", "Bearer nonsense", 500, "EGW00121"),
        ("appkey", "-", 403, "EGW00102"),
        ("appkey", "short", 403, "EGW00103"),
        ("appsecret", "-", 403, "EGW00104"),
        ("custtype", "X", 500, "EGW00208"),
        ("content-type", "text/plain", 500, "EGW00132"),
        ("tr_id", "FHKST01010200", 200, "OPSQ0002"),
    ],
)
def test_5_headers_are_checked(desk: Desk, header: str, value: str, status: int, code: str) -> None:
    assert desk.refusal(**{header: value}) == (status, code)


def test_5_parameter_names_come_in_either_case_and_all_are_needed(desk: Desk) -> None:
    lower = {name.lower(): value for name, value in STOCK.items()}
    assert desk.get("inquire-price", lower)["output"]["stck_prpr"] != "0"
    answer = desk.get("inquire-price", {"FID_INPUT_ISCD": "005930"})
    assert (answer["rt_cd"], answer["msg_cd"]) == ("2", "OPSQ2001")
    assert answer["msg1"].strip() == "ERROR INPUT FIELD NOT FOUND [FID_COND_MRKT_DIV_CODE]"


# 6. Daily bars.


def test_6_a_hundred_bars_newest_first_counted_back_from_the_last_day(desk: Desk) -> None:
    rows = desk.chart(FID_INPUT_DATE_1="00000101", FID_INPUT_DATE_2="20260630")
    days = [row["stck_bsop_date"] for row in rows]
    assert len(days) == 100
    assert days == sorted(days, reverse=True)
    assert days[0] == "20260630"


def test_6_paging_by_date_reaches_the_first_day(desk: Desk) -> None:
    code, days, last = "247540", 0, "20261118"
    while True:
        rows = desk.chart(FID_INPUT_ISCD=code, FID_INPUT_DATE_1="00000101", FID_INPUT_DATE_2=last)
        rows = [row for row in rows if row]
        days += len(rows)
        if len(rows) < 100:
            break
        oldest = datetime.strptime(rows[-1]["stck_bsop_date"], "%Y%m%d")  # noqa: DTZ007
        last = f"{oldest - timedelta(days=1):%Y%m%d}"
    stock = desk.market.stock(code)
    assert stock is not None
    assert days == len(desk.market.bars(code, datetime(2000, 1, 1).date(), MORNING.date()))  # noqa: DTZ001


def test_6_empty_objects_pad_a_window_with_holidays(desk: Desk) -> None:
    rows = desk.chart(FID_INPUT_DATE_1="20260501", FID_INPUT_DATE_2="20260531")
    assert {} in rows
    assert rows.index({}) == len([row for row in rows if row])


def test_6_a_window_without_a_session_has_no_bar(desk: Desk) -> None:
    answer = desk.chart(FID_INPUT_DATE_1="20261114", FID_INPUT_DATE_2="20261115")
    assert [row for row in answer if row] == []


def test_6_todays_bar_is_there_and_is_the_price(desk: Desk) -> None:
    row = desk.chart()[0]
    output = desk.get("inquire-price", STOCK)["output"]
    assert row["stck_bsop_date"] == "20261118"
    assert row["stck_clpr"] == output["stck_prpr"]
    assert row["acml_vol"] == output["acml_vol"]


def split(desk: Desk, kind: str = "split") -> Any:
    first, last = datetime(2026, 9, 1).date(), datetime(2026, 9, 30).date()  # noqa: DTZ001
    return next(action for action in desk.market.actions(first, last) if action.kind == kind)


def test_6_adjusted_and_raw_mean_the_opposite_in_the_two_daily_calls(desk: Desk) -> None:
    code = split(desk).code
    long = {"FID_INPUT_ISCD": code}
    raw, adjusted = (desk.chart(**long, FID_ORG_ADJ_PRC=switch) for switch in ("1", "0"))
    assert raw != adjusted
    short = STOCK | long | {"FID_PERIOD_DIV_CODE": "W"}
    calls = [
        desk.get("inquire-daily-price", short | {"FID_ORG_ADJ_PRC": switch})["output"]
        for switch in ("0", "1")
    ]
    assert len(calls[0]) == 30
    weekly = [
        desk.chart(**long, FID_PERIOD_DIV_CODE="W", FID_ORG_ADJ_PRC=switch) for switch in ("1", "0")
    ]
    for mine, theirs in zip(calls, weekly, strict=True):
        assert [row["stck_clpr"] for row in mine] == [row["stck_clpr"] for row in theirs[:30]]
    assert [row["stck_clpr"] for row in calls[0]] != [row["stck_clpr"] for row in calls[1]]


def test_6_a_day_without_trades_is_marked(desk: Desk) -> None:
    action = split(desk)
    rows = {row["stck_bsop_date"]: row for row in desk.chart(FID_INPUT_ISCD=action.code) if row}
    halted = rows[f"{action.halted_from:%Y%m%d}"]
    assert (halted["mod_yn"], halted["stck_oprc"], halted["acml_vol"]) == ("Y", "0", "0")
    assert int(halted["stck_clpr"]) > 0


@pytest.mark.parametrize("period", ["W", "M", "Y"])
def test_6_longer_periods_hold_what_their_days_hold(desk: Desk, period: str) -> None:
    desk.at = EVENING
    row = desk.chart(FID_PERIOD_DIV_CODE=period, FID_INPUT_DATE_1="20200101")[0]
    start = {"W": "20261116", "M": "20261101", "Y": "20260101"}[period]
    if period == "Y":
        return
    days = [day for day in desk.chart(FID_INPUT_DATE_1=start) if day]
    assert row["stck_oprc"] == days[-1]["stck_oprc"]
    assert row["stck_clpr"] == days[0]["stck_clpr"]
    assert int(row["acml_vol"]) == sum(int(day["acml_vol"]) for day in days)
    assert int(row["stck_hgpr"]) == max(int(day["stck_hgpr"]) for day in days)


# 7. Minutes of today.


def test_7_thirty_rows_newest_first(desk: Desk) -> None:
    rows = desk.today()
    labels = [row["stck_cntg_hour"] for row in rows]
    assert (len(rows), labels[0], labels[-1]) == (30, "103100", "100200")


def test_7_minutes_without_trades_are_flat(desk: Desk) -> None:
    thin = next(
        stock.code for stock in desk.market.stocks(MORNING.date())
        if stock.group == "ST" and 3 < len(desk.market.minutes(stock.code, MORNING.date())) < 60
    )  # fmt: skip
    rows = desk.today(FID_INPUT_ISCD=thin, FID_INPUT_HOUR_1="103000")
    empty = [row for row in rows if row["cntg_vol"] == "0"]
    assert len(rows) == 30
    assert empty
    assert all(row["stck_oprc"] == row["stck_hgpr"] == row["stck_prpr"] for row in empty)


def test_7_the_future_is_filled_with_the_last_price(desk: Desk) -> None:
    rows = desk.today(FID_INPUT_HOUR_1="113000")
    price = desk.get("inquire-price", STOCK)["output"]["stck_prpr"]
    assert rows[0]["stck_cntg_hour"] == "113000"
    assert {row["stck_prpr"] for row in rows} == {price}


def test_7_the_running_minute_shows_the_last_ones_volume_until_it_trades(desk: Desk) -> None:
    for stock in desk.market.stocks(MORNING.date()):
        minutes = [m.started_at for m in desk.market.minutes(stock.code, MORNING.date())]
        running = MORNING.replace(second=0)
        if running not in minutes and running - timedelta(minutes=1) in minutes:
            break
    newest, before = desk.today(FID_INPUT_ISCD=stock.code)[:2]
    assert newest["cntg_vol"] == before["cntg_vol"] != "0"
    assert newest["acml_tr_pbmn"] == before["acml_tr_pbmn"]


def test_7_the_day_before_follows_only_when_asked_for(desk: Desk) -> None:
    early = {"FID_INPUT_HOUR_1": "090900"}
    assert len(desk.today(**early)) == 10
    rows = desk.today(**early, FID_PW_DATA_INCU_YN="Y")
    assert len(rows) == 30
    assert rows[10]["stck_bsop_date"] == "20261117"
    assert rows[10]["stck_cntg_hour"] == "195900"


def test_7_a_day_is_381_rows_in_thirteen_calls(desk: Desk) -> None:
    desk.at = EVENING
    labels: list[str] = []
    upto = datetime(2026, 11, 18, 15, 30, tzinfo=calendar.SEOUL)
    for _ in range(13):
        page = [row["stck_cntg_hour"] for row in desk.today(FID_INPUT_HOUR_1=f"{upto:%H%M%S}")]
        labels += page
        upto = datetime.strptime("20261118" + page[-1], "%Y%m%d%H%M%S") - timedelta(minutes=1)  # noqa: DTZ007
    assert len(labels) == len(set(labels)) == 381


# 8. Minutes of past days.


def test_8_120_rows_newest_first_and_the_next_page_begins_with_the_same_bar(desk: Desk) -> None:
    rows = desk.past()
    assert len(rows) == 120
    assert rows[0]["stck_cntg_hour"] == "153000"
    again = desk.past(FID_INPUT_HOUR_1=rows[-1]["stck_cntg_hour"])
    assert again[0] == rows[-1]


def test_8_381_labels_with_a_gap_before_the_closing_auction(desk: Desk) -> None:
    seen: dict[str, dict[str, str]] = {}
    upto = "153000"
    for _ in range(5):
        rows = [row for row in desk.past(FID_INPUT_HOUR_1=upto)
                if row["stck_bsop_date"] == "20261117"]  # fmt: skip
        seen |= {row["stck_cntg_hour"]: row for row in rows}
        upto = rows[-1]["stck_cntg_hour"]
    assert len(seen) >= 379
    assert not any("152000" <= label <= "152900" for label in seen)
    last = desk.chart(FID_INPUT_DATE_1="20261117", FID_INPUT_DATE_2="20261117")[0]
    assert seen["153000"]["stck_prpr"] == last["stck_clpr"]
    total = sum(int(row["cntg_vol"]) for row in seen.values())
    (after,) = [bar.after for bar in desk.market.bars("005930", DAY_BEFORE, DAY_BEFORE)]
    assert after
    assert total / (int(last["acml_vol"]) - after.volume) == pytest.approx(0.984, abs=0.002)


def test_8_the_list_runs_over_into_the_session_before(desk: Desk) -> None:
    rows = desk.past(FID_INPUT_HOUR_1="091000")
    assert len(rows) == 120
    assert {row["stck_bsop_date"] for row in rows} == {"20261117", "20261116"}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("20261115", "20261113"),  # a Sunday: the session before it
        ("20270101", "20261118"),  # the future: the latest session
        ("2026-11-16", "20261118"),
        ("notadate", "20261118"),
    ],
)
def test_8_a_wrong_date_gives_another_days_rows(desk: Desk, asked: str, given: str) -> None:
    desk.at = EVENING
    rows = desk.past(FID_INPUT_DATE_1=asked)
    assert len(rows) == 120
    assert rows[0]["stck_bsop_date"] == given


def test_8_an_unknown_code_has_no_rows_and_a_wrong_market_is_an_error(desk: Desk) -> None:
    assert desk.past(FID_INPUT_ISCD="999999") == []
    parameters = {
        "FID_COND_MRKT_DIV_CODE": "X", "FID_INPUT_ISCD": "005930", "FID_INPUT_DATE_1": "20261117",
        "FID_INPUT_HOUR_1": "153000", "FID_PW_DATA_INCU_YN": "Y", "FID_FAKE_TICK_INCU_YN": "",
    }  # fmt: skip
    reply = desk.reply("inquire-time-dailychartprice", parameters)
    answer = json.loads(reply.body)
    assert (reply.status, answer["rt_cd"], answer["msg_cd"]) == (200, "2", "OPSQ2001")


def test_8_the_fake_tick_parameter_must_be_there_though_blank(desk: Desk) -> None:
    parameters = STOCK | {
        "FID_INPUT_DATE_1": "20261117", "FID_INPUT_HOUR_1": "153000", "FID_PW_DATA_INCU_YN": "Y",
    }  # fmt: skip
    answer = desk.get("inquire-time-dailychartprice", parameters)
    assert answer["msg1"].strip() == "ERROR INPUT FIELD NOT FOUND [FID_FAKE_TICK_INCU_YN]"


def test_8_246_sessions_are_kept(desk: Desk) -> None:
    days = calendar.trading_days(datetime(2025, 1, 1).date(), MORNING.date())  # noqa: DTZ001
    assert desk.past(FID_INPUT_DATE_1=f"{days[-246]:%Y%m%d}") != []
    assert desk.past(FID_INPUT_DATE_1=f"{days[-247]:%Y%m%d}") == []


def test_8_prices_are_on_todays_share_count(desk: Desk) -> None:
    action = split(desk)
    assert action.halted_from
    day = calendar.previous_trading_day(action.halted_from)
    rows = desk.past(FID_INPUT_ISCD=action.code, FID_INPUT_DATE_1=f"{day:%Y%m%d}")
    dates = {"FID_INPUT_DATE_1": f"{day:%Y%m%d}", "FID_INPUT_DATE_2": f"{day:%Y%m%d}"}
    raw, adjusted = (
        desk.chart(FID_INPUT_ISCD=action.code, FID_ORG_ADJ_PRC=switch, **dates)[0]
        for switch in ("1", "0")
    )
    assert rows[0]["stck_prpr"] == adjusted["stck_clpr"] != raw["stck_clpr"]


def test_8_output1_is_about_now(desk: Desk) -> None:
    parameters = STOCK | {
        "FID_INPUT_DATE_1": "20261110", "FID_INPUT_HOUR_1": "153000", "FID_PW_DATA_INCU_YN": "Y",
        "FID_FAKE_TICK_INCU_YN": "",
    }  # fmt: skip
    answer = desk.get("inquire-time-dailychartprice", parameters)
    price = desk.get("inquire-price", STOCK)["output"]["stck_prpr"]
    assert answer["output1"]["stck_prpr"] == price


# 9. Order book.


def test_9_a_book_has_ten_levels_a_time_and_no_date(desk: Desk) -> None:
    answer = desk.get("inquire-asking-price-exp-ccn", STOCK)
    book = answer["output1"]
    assert book["aspr_acpt_hour"] == "103120"
    assert int(book["askp1"]) > int(book["bidp1"]) > int(book["bidp10"]) > 0
    assert not any("date" in name for name in (*book, *answer["output2"]))
    assert len(book) == 1 + 60 + 10
    assert len(answer["output2"]) == 13


def test_9_outside_the_sessions_all_levels_are_zero(desk: Desk) -> None:
    desk.at = EVENING.replace(hour=20)
    book = desk.get("inquire-asking-price-exp-ccn", STOCK)["output1"]
    assert {book[f"{side}{n}"] for side in ("askp", "bidp") for n in range(1, 11)} == {"0"}


def test_9_an_auction_has_an_expected_price(desk: Desk) -> None:
    desk.at = MORNING.replace(hour=8, minute=45)
    answer = desk.get("inquire-asking-price-exp-ccn", STOCK)
    assert int(answer["output2"]["antc_cnpr"]) > 0
    assert answer["output1"]["askp4"] == "0"


# 10. Unknown codes. 11. Many stocks.


def test_10_an_unknown_code_is_a_success_without_a_price(desk: Desk) -> None:
    answer = desk.get("inquire-price", STOCK | {"FID_INPUT_ISCD": "999999"})
    assert (answer["rt_cd"], answer["output"]["stck_prpr"]) == ("0", "0")
    assert [row for row in desk.chart(FID_INPUT_ISCD="999999") if row] == []


def slots(*codes: str) -> dict[str, str]:
    return {
        name: value
        for slot, code in enumerate(codes, start=1)
        for name, value in (
            (f"FID_COND_MRKT_DIV_CODE_{slot}", "J"),
            (f"FID_INPUT_ISCD_{slot}", code),
        )
    }


def test_11_thirty_stocks_come_in_one_array(desk: Desk) -> None:
    codes = [stock.code for stock in desk.market.stocks(MORNING.date())][:30]
    rows = desk.get("intstock-multprice", slots(*codes))["output"]
    assert [row["inter_shrn_iscd"] for row in rows] == codes
    single = desk.get("inquire-price", STOCK | {"FID_INPUT_ISCD": codes[0]})["output"]
    assert rows[0]["inter2_prpr"] == single["stck_prpr"]
    assert rows[0]["inter2_sdpr"] == single["stck_sdpr"]


def test_11_an_unknown_code_is_a_zero_slot_or_left_out(desk: Desk) -> None:
    asked = slots("005930", "999999", "000660")
    assert [row["inter2_prpr"] == "0" for row in desk.get("intstock-multprice", asked)["output"]] \
        == [False, True, False]  # fmt: skip
    desk.server.faults.short_multprice = True
    rows = desk.get("intstock-multprice", asked)["output"]
    assert [row["inter_shrn_iscd"] for row in rows] == ["005930", "000660"]


# 12. Calendar.


def test_12_the_calendar_pages_by_twenty_four_days(desk: Desk) -> None:
    first = {"BASS_DT": "20261118", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
    reply = desk.reply("chk-holiday", first)
    answer = json.loads(reply.body)
    assert (len(answer["output"]), answer["msg_cd"], reply.headers["tr_cont"]) == (
        24, "KIOK0500", "M",
    )  # fmt: skip
    assert answer["ctx_area_nk"] == "20261211            "
    saturday = next(day for day in answer["output"] if day["wday_dvsn_cd"] == "07")
    assert (saturday["tr_day_yn"], saturday["opnd_yn"]) == ("Y", "N")
    following = first | {
        "CTX_AREA_NK": answer["ctx_area_nk"], "CTX_AREA_FK": answer["ctx_area_fk"],
    }  # fmt: skip
    days = desk.get("chk-holiday", following, tr_cont="N")["output"]
    assert days[0]["bass_dt"] == "20261212"
    assert next(day for day in days if day["bass_dt"] == "20261231")["opnd_yn"] == "N"


def test_12_the_last_page_says_so_and_calls_are_counted_by_day(desk: Desk) -> None:
    parameters, pages = {"BASS_DT": "20261118", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}, 0
    before = desk.server.calls_by_day["2026-11-18", QUOTATIONS + "chk-holiday"]
    while True:
        reply = desk.reply("chk-holiday", parameters)
        pages += 1
        if reply.headers["tr_cont"] != "M":
            break
        parameters["CTX_AREA_NK"] = json.loads(reply.body)["ctx_area_nk"]
    assert reply.headers["tr_cont"] == "D"
    counted = desk.server.calls_by_day["2026-11-18", QUOTATIONS + "chk-holiday"]
    assert counted - before == pages < 15


def test_12_market_time_is_the_servers_clock(desk: Desk) -> None:
    output = desk.get("market-time", {})["output1"]
    assert (output["today"], output["time"], output["date3"]) == ("20261118", "103120", "20261118")


# 13. Master files.


def master(desk: Desk, name: str) -> list[bytes]:
    reply = desk.server.handle("GET", f"/common/master/{name}", [], {})
    with zipfile.ZipFile(io.BytesIO(reply.body)) as file:
        assert file.namelist() == [name.removesuffix(".zip")]
        return file.read(file.namelist()[0]).splitlines()


@pytest.mark.parametrize("name", list(FILES))
def test_13_every_record_has_its_width_and_an_ascii_tail(desk: Desk, name: str) -> None:
    exchange = FILES[name][0]
    width = {"KOSPI": 288, "KOSDAQ": 282, "KONEX": 245}[exchange]
    assert sum(size for _, size, _ in LAYOUTS[exchange]) == width
    lines = master(desk, name)
    assert {len(line) for line in lines} == {width}
    assert all(line[61:].isascii() for line in lines)


def test_13_fields_lie_where_the_header_files_say(desk: Desk) -> None:
    line = next(li for li in master(desk, "kospi_code.mst.zip") if li.startswith(b"005930 "))
    output = desk.get("inquire-price", STOCK)["output"]
    assert line[9:21] == b"KR7005930003"
    assert line[21:61].decode("cp949").strip() == "삼성전자"
    assert line[61:63] == b"ST"
    assert int(line[102:111]) == int(output["stck_sdpr"])
    assert line[121:122] == b"N"
    assert int(line[174:189]) == int(output["lstn_stcn"]) // 1_000
    assert line[219:220] == b"0"
    line = next(li for li in master(desk, "kosdaq_code.mst.zip") if li.startswith(b"247540 "))
    assert int(line[97:106]) > 0
    assert line[116:117] == b"N"
    assert line[214:215] == b"0"


def test_13_every_kind_of_record_is_there(desk: Desk) -> None:
    kospi, kosdaq = (master(desk, f"{m}_code.mst.zip") for m in ("kospi", "kosdaq"))
    assert {li[61:63] for li in kospi} >= {b"ST", b"EF", b"EN", b"RT", b"EW", b"IF"}
    assert {li[219:220] for li in kospi} == {b"0", b"1", b"2"}
    assert any(li[121:122] == b"Y" for li in kospi)
    assert any(li[118:119] == b"Y" for li in kosdaq)
    assert any(li[85:86] == b"Y" for li in kosdaq)
    assert any(li[:6].decode().isalnum() and not li[:6].isdigit() for li in kosdaq)
    assert any(li[:1] == b"Q" and li[:7].strip().isalnum() for li in kospi)
    assert len(master(desk, "nxt_kospi_code.mst.zip")) < len(kospi)


def test_13_a_name_is_never_cut_inside_a_character() -> None:
    assert cut("가나다", 5) == "가나".encode("cp949") + b" "
    assert cut("A가나", 4) == "A가".encode("cp949") + b" "


def test_13_an_unknown_file_is_not_found(desk: Desk) -> None:
    assert desk.server.handle("GET", "/common/master/nothing.zip", [], {}).status == 404


# 16. A corporate action in the middle of a run.


def test_16_a_split_shows_in_chart_master_list_and_history(desk: Desk) -> None:
    action = split(desk)
    desk.at = datetime.combine(action.ex_day, MORNING.timetz())
    desk.token = ""
    rows = desk.chart(FID_INPUT_ISCD=action.code, FID_INPUT_DATE_2=f"{action.ex_day:%Y%m%d}")
    ratio = f"{1 / action.factor.denominator:.2f}"
    assert (rows[0]["prtt_rate"], rows[0]["revl_issu_reas"]) == (ratio, "99")
    assert rows[1]["prtt_rate"] == "0.00"
    name = "kospi" if action.market == "KOSPI" else "kosdaq"
    line = next(
        li for li in master(desk, f"{name}_code.mst.zip")
        if li[:6].decode() == action.code
    )  # fmt: skip
    place = 131 if name == "kospi" else 126
    assert line[place : place + 2] == b"01"
    asked = {
        "CTS": "", "F_DT": f"{action.ex_day:%Y%m}01", "T_DT": f"{action.ex_day:%Y%m}28",
        "SHT_CD": "", "MARKET_GB": "0",
    }  # fmt: skip
    listed = desk.get(KSD + "rev-split", asked)["output1"]
    found = next(row for row in listed if row["sht_cd"] == action.code)
    assert found["inter_bf_face_amt"] == str(action.face_before)
    assert found["list_dt"] == f"{action.ex_day:%Y/%m/%d}"
    assert len(found["td_stop_dt"]) == 23
    adjusted = desk.chart(FID_INPUT_ISCD=action.code, FID_ORG_ADJ_PRC="0",
                          FID_INPUT_DATE_2=f"{action.ex_day:%Y%m%d}")  # fmt: skip
    assert int(adjusted[5]["stck_clpr"]) < int(rows[5]["stck_clpr"])
    desk.token = ""


@pytest.mark.parametrize("name", sorted(path.rsplit("/", 1)[1] for path in SERVICES if KSD in path))
def test_16_every_list_answers(desk: Desk, name: str) -> None:
    asked = {
        "CTS": "", "F_DT": "20261201", "T_DT": "20261231", "SHT_CD": "", "MARKET_GB": "0",
        "GB1": "0", "HIGH_GB": "",
    }  # fmt: skip
    answer = desk.get(KSD + name, asked)
    assert answer["rt_cd"] == "0"
    filled = {"paidin-capin", "bonus-issue", "dividend", "rev-split", "cap-dcrs"}
    assert bool(answer["output1"]) == (name in filled)


# The rest of the services.


def test_stock_info_has_67_fields_and_its_own_success_code(desk: Desk) -> None:
    answer = desk.get("search-stock-info", {"PRDT_TYPE_CD": "300", "PDNO": "005930"})
    assert answer["msg_cd"] == "KIOK0530"
    assert len(answer["output"]) == 67
    assert answer["output"]["pdno"] == "00000A005930"
    assert answer["output"]["stck_kind_cd"] == "101"


@pytest.mark.parametrize("path", ["search-info", "search-stock-info"])
def test_no_such_product_is_code_seven(desk: Desk, path: str) -> None:
    assert desk.get(path, {"PRDT_TYPE_CD": "300", "PDNO": "999999"})["rt_cd"] == "7"


def test_the_last_thirty_trades(desk: Desk) -> None:
    rows = desk.get("inquire-ccnl", STOCK)["output"]
    assert len(rows) == 30
    assert rows[0]["stck_cntg_hour"] > rows[-1]["stck_cntg_hour"]


def test_the_ranking_has_thirty_rows_by_value(desk: Desk) -> None:
    parameters = dict.fromkeys(SERVICES[QUOTATIONS + "volume-rank"].required, "") | {
        "FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "0000", "FID_BLNG_CLS_CODE": "3",
    }  # fmt: skip
    rows = desk.get("volume-rank", parameters)["output"]
    values = [int(row["acml_tr_pbmn"]) for row in rows]
    assert len(rows) == 30
    assert values == sorted(values, reverse=True)
