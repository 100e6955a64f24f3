-- Order books in long form: each row is one level of one side. Level 1 is the best. Prices in KRW.
--
-- trading_day, captured_at, stock_code: as in order_books
-- side: ask or bid
-- level: 1 for the best price of the side, up to 10
-- price: Price of the level (호가) [KRW]
-- volume: Shares at that price (호가 잔량) [shares]

SELECT
    trading_day,
    captured_at,
    stock_code,
    step.side AS side,
    step.level AS level,
    step.price AS price,
    step.volume AS volume
FROM (
    SELECT trading_day, captured_at, stock_code, unnest([
        {side: 'ask', level: 1, price: ask_price_1, volume: ask_volume_1},
        {side: 'ask', level: 2, price: ask_price_2, volume: ask_volume_2},
        {side: 'ask', level: 3, price: ask_price_3, volume: ask_volume_3},
        {side: 'ask', level: 4, price: ask_price_4, volume: ask_volume_4},
        {side: 'ask', level: 5, price: ask_price_5, volume: ask_volume_5},
        {side: 'ask', level: 6, price: ask_price_6, volume: ask_volume_6},
        {side: 'ask', level: 7, price: ask_price_7, volume: ask_volume_7},
        {side: 'ask', level: 8, price: ask_price_8, volume: ask_volume_8},
        {side: 'ask', level: 9, price: ask_price_9, volume: ask_volume_9},
        {side: 'ask', level: 10, price: ask_price_10, volume: ask_volume_10},
        {side: 'bid', level: 1, price: bid_price_1, volume: bid_volume_1},
        {side: 'bid', level: 2, price: bid_price_2, volume: bid_volume_2},
        {side: 'bid', level: 3, price: bid_price_3, volume: bid_volume_3},
        {side: 'bid', level: 4, price: bid_price_4, volume: bid_volume_4},
        {side: 'bid', level: 5, price: bid_price_5, volume: bid_volume_5},
        {side: 'bid', level: 6, price: bid_price_6, volume: bid_volume_6},
        {side: 'bid', level: 7, price: bid_price_7, volume: bid_volume_7},
        {side: 'bid', level: 8, price: bid_price_8, volume: bid_volume_8},
        {side: 'bid', level: 9, price: bid_price_9, volume: bid_volume_9},
        {side: 'bid', level: 10, price: bid_price_10, volume: bid_volume_10}
    ]) AS step
    FROM order_books
)
WHERE step.price IS NOT NULL
