"""Korean stock market data one can trust: KIS Open API as Dagster assets."""
