-- Spread and depth of every recorded order book (`order_book_ticks`), without books that have no
-- best ask or no best bid.
--
-- trading_day, stock_code, sequence, booked_at, session: as in order_book_ticks
-- mid: Halfway between the best ask and the best bid [KRW]
-- spread: Best ask minus best bid [KRW]
-- spread_bp: The spread in basis points of mid
-- ask_depth: Shares on the ten ask levels
-- bid_depth: Shares on the ten bid levels
-- imbalance: (bid_depth - ask_depth) / (bid_depth + ask_depth), from -1 to 1

WITH depths AS (
    SELECT
        *,
        list_sum([
            ask_volume_1, ask_volume_2, ask_volume_3, ask_volume_4, ask_volume_5,
            ask_volume_6, ask_volume_7, ask_volume_8, ask_volume_9, ask_volume_10
        ])::BIGINT AS ask_depth,
        list_sum([
            bid_volume_1, bid_volume_2, bid_volume_3, bid_volume_4, bid_volume_5,
            bid_volume_6, bid_volume_7, bid_volume_8, bid_volume_9, bid_volume_10
        ])::BIGINT AS bid_depth
    FROM order_book_ticks
    WHERE ask_price_1 IS NOT NULL AND bid_price_1 IS NOT NULL
)

SELECT
    trading_day,
    stock_code,
    sequence,
    booked_at,
    session,
    (ask_price_1 + bid_price_1) / 2 AS mid,
    ask_price_1 - bid_price_1 AS spread,
    20000 * (ask_price_1 - bid_price_1) / (ask_price_1 + bid_price_1) AS spread_bp,
    ask_depth,
    bid_depth,
    (bid_depth - ask_depth) / nullif(bid_depth + ask_depth, 0) AS imbalance
FROM depths
