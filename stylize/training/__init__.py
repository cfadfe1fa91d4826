"""Style picture + content photos -> style file."""
