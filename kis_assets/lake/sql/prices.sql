-- The newest price of each stock with its market, sector and industry, for rankings.
--
-- stock_code, stock_name: as in price_snapshots
-- market: as in stock_master
-- sector: Index sector: the small class, or else the middle class (지수업종)
-- industry: as in stock_info
-- price: as in price_snapshots
-- regular_close: The official close of trading_day; see latest_prices (종가) [KRW]
-- session, change, change_rate, trading_day, captured_at, open, high, low: as in price_snapshots
-- volume, trading_value, market_cap, upper_limit, lower_limit: as in price_snapshots
-- base_price, previous_close, best_ask, best_bid, best_ask_volume: as in price_snapshots
-- best_bid_volume, total_ask_volume, total_bid_volume: as in price_snapshots
-- source, fetched_at: as in price_snapshots

SELECT
    latest.stock_code,
    latest.stock_name,
    stocks.market,
    stocks.sector,
    stocks.industry,
    latest.* EXCLUDE (stock_code, stock_name)
FROM latest_prices AS latest
LEFT JOIN (SELECT stock_code, market, sector, industry FROM stocks) AS stocks USING (stock_code)
ORDER BY latest.stock_code
