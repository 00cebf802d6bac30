"""A finished model in the format of another runtime, checked against the model it was made from."""

from .to_onnx import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
