"""Services: the endpoints behind them, their names and the process that balances over them."""
