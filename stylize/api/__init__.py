"""The public API: what `from stylize import ...` gives for work in Python and in notebooks."""
