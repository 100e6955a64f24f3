-- Bars of so many seconds of the recorded trades: FROM trade_bars(10). A span without a trade has none.
-- buy_volume and sell_volume are shares of trades in which a buyer or a seller came to the other's price;
-- those of auctions are in neither. vwap is the price weighted by shares [KRW].

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
