"""Picture files <-> pixels: decode, convert, edit, encode."""
