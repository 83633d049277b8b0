"""Models as ONNX files: written from a checkpoint, compared with it, and run without torch's operations."""
