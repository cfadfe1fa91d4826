"""Styles for other runtimes: a style -> ONNX or PyTorch files that need nothing of this package."""
