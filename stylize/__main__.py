"""`python -m stylize`: the same as the `stylize` command."""

from stylize.cli.main import main

main()
