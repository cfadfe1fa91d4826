"""Folders -> folders: plan, manifest, decode, stylize, encode."""
