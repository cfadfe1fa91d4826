"""Image -> image: instance norm, the networks, style files."""
