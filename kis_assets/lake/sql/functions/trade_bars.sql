-- Bars of the recorded trades, of the given number of seconds: FROM trade_bars(10). A span without
-- a trade has no bar. buy_volume and sell_volume are shares of trades that a buyer or a seller
-- initiated; auction trades count for neither. vwap is the price weighted by shares [KRW].

SELECT
    trading_day,
    time_bucket(to_seconds(seconds), traded_at) AS started_at,
    stock_code,
    arg_min(price, sequence) AS open,
    max(price) AS high,
    min(price) AS low,
    arg_max(price, sequence) AS close,
    sum(quantity)::BIGINT AS volume,
    count(*) AS trades,
    coalesce(sum(quantity) FILTER (side = 'buy'), 0)::BIGINT AS buy_volume,
    coalesce(sum(quantity) FILTER (side = 'sell'), 0)::BIGINT AS sell_volume,
    sum(price * quantity) / nullif(sum(quantity), 0) AS vwap
FROM trades
GROUP BY ALL
