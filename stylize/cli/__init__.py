"""The command line: words and options in, events drawn, exit codes out."""
