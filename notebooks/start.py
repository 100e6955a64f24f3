"""A first look at what is stored: adjusted returns, volume over the day, spread.

`marimo edit notebooks/start.py` opens it as a notebook, `python notebooks/start.py` prints it.
The folder is that of the settings, in the environment or in `.env`. What is not stored is said,
with the command that stores it.
"""

import marimo

app = marimo.App()


@app.cell
def connect():
    import polars as pl
    from matplotlib.figure import Figure

    from kis_assets import Market, NotStored

    market = Market()
    print(market.folder)

    def ask(question):
        """The answer; None where it is not stored, and what to do is printed."""
        try:
            return question()
        except NotStored as missing:
            print(missing)

    def draw(title, at, values, kind="plot"):
        """A picture of values, in the same three lines for all."""
        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.add_subplot(title=title)
        getattr(axes, kind)(at, values)
        return figure

    prices = ask(market.prices)
    # Of the stocks that are stored, the most traded.
    stock = None if prices is None else prices.sort("trading_value").item(-1, "stock_code")
    print("no stock to look at yet" if stock is None else f"the most traded stock is {stock}")
    return ask, draw, market, pl, stock


@app.cell
def adjusted_returns(ask, draw, market, pl, stock):
    # Splits and rights are taken out (수정주가); cash dividends are not in it.
    candles = stock and ask(lambda: market.daily_candles(stock, adjusted=True))
    returns, returns_figure = None, None
    if candles is not None:
        returns = candles.select(
            "trading_day", "close", percent=(pl.col("close").pct_change() * 100).round(2)
        ).drop_nulls()
        print(returns.tail(10))
        _title = f"{stock}, adjusted close"
        returns_figure = draw(_title, candles["trading_day"], candles["close"])
    returns_figure
    return returns, returns_figure


@app.cell
def volume_over_the_day(ask, draw, market, pl, stock):
    # The newest day of which minutes are stored; the last bar is the closing auction (동시호가).
    bars = stock and ask(lambda: market.minutes(stock, None, every=30))
    profile, profile_figure = None, None
    if bars is not None:
        newest = bars.filter(
            pl.col("trading_day") == pl.col("trading_day").max(), session="regular"
        )
        profile = newest.select(
            clock=pl.col("started_at").dt.convert_time_zone("Asia/Seoul").dt.strftime("%H:%M"),
            percent=(100 * pl.col("volume") / pl.col("volume").sum()).round(1),
        )
        print(profile)
        _title = f"{stock}, percent of the day's volume"
        profile_figure = draw(_title, profile["clock"], profile["percent"], "bar")
    profile_figure
    return profile, profile_figure


@app.cell
def spread(ask, draw, market, pl, stock):
    # In basis points of the middle; crossed books are auctions.
    books = stock and ask(market.order_books)
    spreads, spreads_figure = None, None
    if books is not None:
        ask_price, bid_price = pl.col("ask_price_1"), pl.col("bid_price_1")
        spreads = (
            books.filter(ask_price > bid_price)
            .select(
                *("stock_code", "captured_at"),
                spread=ask_price - bid_price,
                basis_points=20_000 * (ask_price - bid_price) / (ask_price + bid_price),
            )
            .sort("basis_points")
        )
        print(spreads)
        _title = "spread in basis points, from the narrowest stock to the widest"
        spreads_figure = draw(_title, range(spreads.height), spreads["basis_points"])
    spreads_figure
    return spreads, spreads_figure


if __name__ == "__main__":
    app.run()
