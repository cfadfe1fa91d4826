"""Clips -> painted clips: read, hold steady from frame to frame, write in segments, join."""
