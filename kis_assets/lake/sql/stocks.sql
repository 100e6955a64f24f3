-- The issues that were listed on the newest stored day: names, market, sector, industry, shares and
-- status. English name, sector and industry are from the stock's newest month in stock_info.
-- Market().stocks("2024-03-15") gives the list of a past day.
--
-- trading_day, stock_code, isin, stock_name, market, security_type, is_halted: as in stock_master
-- is_administrative, is_liquidation, listed_shares, face_value, listed_on: as in stock_master
-- base_price, previous_volume, previous_market_cap, security_group: as in stock_master
-- size_class, sector_large, sector_medium, sector_small, preferred_class: as in stock_master
-- etp_class, market_warning, ex_flag, face_value_change, capital_increase: as in stock_master
-- overheated, is_spac, is_low_liquidity, is_warning_announced, is_unfaithful: as in stock_master
-- is_backdoor_listing, is_short_sale_overheated, is_abnormal_rise: as in stock_master
-- is_investor_attention, is_venture, is_manufacturer, has_elw: as in stock_master
-- kospi200_sector, in_kospi, in_kospi100, in_kospi50, in_kosdaq150, in_krx: as in stock_master
-- in_krx100, in_krx300, in_governance_index, in_sri, in_krx_autos: as in stock_master
-- in_krx_semiconductors, in_krx_bio, in_krx_banks, in_krx_energy: as in stock_master
-- in_krx_steel, in_krx_media, in_krx_construction, in_krx_securities: as in stock_master
-- in_krx_ships, in_krx_insurance, in_krx_transport, lot, after_hours_lot: as in stock_master
-- margin_rate, is_credit_possible, credit_days, capital, settlement_month: as in stock_master
-- offer_price, sales, operating_profit, ordinary_profit, net_income, roe: as in stock_master
-- accounts_month, group_code, is_credit_limit_exceeded, is_lending_possible: as in stock_master
-- is_stock_loan_possible, source, fetched_at: as in stock_master
-- english_name: as in stock_info
-- sector: Index sector: the small class, or else the middle class (지수업종)
-- industry: as in stock_info

SELECT
    master.*,
    info.english_name,
    info.sector,
    info.industry
FROM recent_stock_master() AS master
LEFT JOIN (
    SELECT
        stock_code,
        arg_max(english_name, info_month) AS english_name,
        -- KIS calls the size class "large class" of the sectors.
        arg_max(
            coalesce(nullif(sector_small_name, ''), nullif(sector_medium_name, '')), info_month
        ) AS sector,
        arg_max(industry, info_month) AS industry
    FROM stock_info
    GROUP BY stock_code
) AS info USING (stock_code)
WHERE master.trading_day = (SELECT max(trading_day) FROM recent_stock_master())
ORDER BY master.stock_code
