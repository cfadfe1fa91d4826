"""Photo, painting, style picture -> how far the painting is from both."""
