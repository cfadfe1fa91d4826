"""The local web page and its HTTP API: requests -> the engine of `stylize apply` -> answers."""
