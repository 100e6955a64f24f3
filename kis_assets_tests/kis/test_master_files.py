"""Master files: cut by bytes, every flag read, another layout noticed."""

from __future__ import annotations

import io
import zipfile
from datetime import date

import polars as pl
import pytest

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange.stocks import in_universe
from kis_assets.kis import master_files
from kis_assets.kis.master_files import Market


def record(market: Market = "KOSPI", **fields: str) -> bytes:
    """One record; fields not given are blank."""
    given = {
        "mksc_shrn_iscd": "900110",
        "stnd_iscd": "KR7900110008",
        "hts_kor_isnm": "가상전자",
        "scrt_grp_cls_code": "ST",
        "prst_cls_code": "0",
    } | fields
    cells: list[bytes] = []
    for word in master_files.LAYOUTS[market].split():
        name, width = word.split(":")
        cells.append(given.get(name, "").encode("cp949").ljust(int(width)))
    return b"".join(cells)


def parse(*records: bytes, market: Market = "KOSPI") -> pl.DataFrame:
    return master_files.parse(b"\n".join(records) + b"\n", market)


@pytest.mark.parametrize(("market", "width"), [("KOSPI", 288), ("KOSDAQ", 282), ("KONEX", 245)])
def test_records_have_the_documented_width(market: Market, width: int) -> None:
    assert len(record(market)) == width


def test_bytes_are_where_the_reference_says() -> None:
    """The invented record of the protocol's reference: offsets counted there by hand."""
    row = bytearray(record())
    row[102:111] = b"000070000"
    row[121:122] = b"N"
    row[174:189] = b"000000000150000"
    row[273:282] = b"000105000"
    found = parse(bytes(row)).row(0, named=True)
    assert found["base_price"] == 70000
    assert found["is_halted"] is False
    assert found["listed_shares"] == 150_000_000
    assert found["previous_market_cap"] == 10_500_000_000_000


def test_a_two_byte_name_shifts_nothing() -> None:
    found = parse(record(hts_kor_isnm="가나다라마바사아자차카타파하1우B", stck_sdpr="71200"))
    assert found["stock_name"][0] == "가나다라마바사아자차카타파하1우B"
    assert found["base_price"][0] == 71200


def test_every_flag_is_read() -> None:
    """Each Y/N byte of each layout ends in a column of its own that tells Y from N."""
    for market, layout in master_files.LAYOUTS.items():
        for name in (word.split(":")[0] for word in layout.split() if word.endswith("_yn:1")):
            if name in ("krx_fnnc_svc_yn",):  # dropped by KRX in 2015
                continue
            column = master_files.FIELDS[name].column
            values = [parse(record(market, **{name: v}), market=market)[column][0] for v in "YN"]
            assert values == [True, False], (market, name)


def test_flags_of_another_market_are_unknown_not_false() -> None:
    assert parse(record("KONEX"), market="KONEX")["in_kosdaq150"][0] is None


def test_days_and_numbers() -> None:
    found = parse(record(stck_lstn_date="19750611", stck_fcam="000000000100", roe="   -12.34"))
    assert found["listed_on"][0] == date(1975, 6, 11)
    assert found["face_value"][0] == 100
    assert found["roe"][0] == -12.34
    assert parse(record(stck_lstn_date="00000000"))["listed_on"][0] is None


@pytest.mark.parametrize(
    ("group", "fields", "kind"),
    [
        ("ST", {}, "common"),
        ("ST", {"prst_cls_code": "1"}, "preferred"),
        ("ST", {"prst_cls_code": "2"}, "preferred"),
        ("ST", {"prst_cls_code": "9"}, "preferred"),
        ("ST", {"etpr_undt_objt_co_yn": "Y"}, "spac"),
        ("FS", {}, "foreign"),
        ("RT", {}, "reit"),
        ("EF", {}, "etf"),
        ("EN", {}, "etn"),
        ("BC", {"mksc_shrn_iscd": "F90011224"}, "beneficiary_certificate"),
        ("PF", {}, "other"),
        ("ZZ", {}, "other"),
    ],
)
def test_the_security_type(group: str, fields: dict[str, str], kind: str) -> None:
    assert parse(record(scrt_grp_cls_code=group, **fields))["security_type"][0] == kind


def test_the_class_of_a_preferred_share_is_kept() -> None:
    found = parse(record(mksc_shrn_iscd="90011K", prst_cls_code="9"))
    assert found["preferred_class"][0] == "9"


@pytest.mark.parametrize(
    ("net", "ordinary", "read"),
    [
        ("45206", "000410000", None),
        ("45206", "000099999", 45_206),
        ("04520", "000410000", 4_520),  # a place is free
        ("45206", "", 45_206),
        ("-4520", "-00041000", None),  # the sign takes a place
        ("-4520", "-00009999", -4_520),
        ("-0452", "-00041000", -452),
        ("     ", "000410000", None),
    ],
)
def test_a_net_income_that_lost_a_digit_is_unknown(
    net: str, ordinary: str, read: int | None
) -> None:
    found = parse(record(thtr_ntin=net, op_prfi=ordinary))
    assert found["net_income"][0] == read


def test_shares_of_konex_are_known_by_their_market_under_either_group() -> None:
    for group in ("ST", "KN"):
        rows = parse(record("KONEX", scrt_grp_cls_code=group), market="KONEX")
        assert rows["security_type"][0] == "common"
        assert rows.filter(in_universe(("common",))).is_empty()
        assert rows.filter(in_universe(("konex",))).height == 1


def test_the_universe() -> None:
    rows = pl.concat(
        [
            parse(
                record(mksc_shrn_iscd="000001"),
                record(mksc_shrn_iscd="000002", prst_cls_code="1"),
                record(mksc_shrn_iscd="000003", scrt_grp_cls_code="EF"),
                record(mksc_shrn_iscd="0004A0"),
            ),
            parse(record("KONEX", mksc_shrn_iscd="000005", scrt_grp_cls_code="KN"), market="KONEX"),
        ]
    )

    def chosen(*groups: str) -> list[str]:
        return rows.filter(in_universe(groups))["stock_code"].to_list()

    assert chosen("common") == ["000001", "0004A0"]
    assert chosen("common", "konex") == ["000001", "0004A0", "000005"]
    assert chosen("etf", "preferred") == ["000002", "000003"]
    assert len(chosen("all")) == 5


def test_no_record_is_an_error() -> None:
    for content in (b"", b"\n\n"):
        with pytest.raises(UnexpectedAnswer, match="0 records"):
            master_files.parse(content, "KOSPI")


def test_a_record_of_another_length_is_another_layout() -> None:
    with pytest.raises(UnexpectedAnswer, match="1 of them not of 288 bytes"):
        parse(record(), record() + b" ")


def test_a_number_field_full_of_words_is_another_layout() -> None:
    codes = [f"{n:06}" for n in range(1000)]
    spoiled = [record(mksc_shrn_iscd=code, prdy_vol="NNYN") for code in codes]
    with pytest.raises(UnexpectedAnswer, match="1000 records whose previous_volume"):
        parse(*spoiled)


def test_a_code_twice_is_an_error() -> None:
    with pytest.raises(UnexpectedAnswer, match="900110 twice"):
        parse(record(), record())


def test_a_damaged_archive_is_named() -> None:
    for content in (b"", b"<html>", b"PK\x03\x04 cut"):
        with pytest.raises(UnexpectedAnswer, match="KOSPI master file cannot be unpacked"):
            master_files.unzip(content, "KOSPI")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("another.mst", b"x")
    with pytest.raises(UnexpectedAnswer, match="cannot be unpacked"):
        master_files.unzip(packed.getvalue(), "KOSPI")
