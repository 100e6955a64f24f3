"""A first look at what is stored: adjusted returns, volume over the day, spread.

`marimo edit notebooks/start.py` opens it as a notebook, `python notebooks/start.py` prints it.
The folder is that of the settings, in the environment or in `.env`.
"""

import marimo

app = marimo.App()


@app.cell
def connect():
    import polars as pl

    from kis_assets import Market

    market = Market()
    prices = market.prices().sort("trading_value", descending=True)
    stock = prices["stock_code"][0]
    print(f"{market.folder}: {prices.height} stocks; the most traded is {stock}")
    return market, pl, prices, stock


@app.cell
def adjusted_returns(market, pl, stock):
    # Splits and rights are taken out (수정주가); cash dividends are not in it.
    candles = market.daily_candles(stock, adjusted=True)
    returns = candles.select(
        "trading_day", "close", percent=(pl.col("close").pct_change() * 100).round(2)
    ).drop_nulls()
    print(returns.tail(10))
    return (returns,)


@app.cell
def volume_over_the_day(market, pl, stock):
    # The newest day of which minutes are stored; the last bar is the closing auction (동시호가).
    newest = market.sql("SELECT max(trading_day) AS day FROM minute_candles")["day"][0]
    bars = market.minutes(stock, newest, every=30)
    profile = bars.select(
        clock=pl.col("started_at").dt.convert_time_zone("Asia/Seoul").dt.strftime("%H:%M"),
        percent=(100 * pl.col("volume") / pl.col("volume").sum()).round(1),
    )
    print(profile)
    return (profile,)


@app.cell
def spread(market):
    # In basis points of the middle; crossed books are auctions.
    spreads = market.sql(
        "SELECT stock_code, captured_at, ask_price_1 - bid_price_1 AS spread, "
        "20000.0 * (ask_price_1 - bid_price_1) / (ask_price_1 + bid_price_1) AS basis_points "
        "FROM order_books WHERE ask_price_1 > bid_price_1 ORDER BY basis_points"
    )
    print(spreads)
    return (spreads,)


if __name__ == "__main__":
    app.run()
