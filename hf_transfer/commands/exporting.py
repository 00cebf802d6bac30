"""`hf-transfer export`."""

from ..flags import Flag
from .common import TRACEBACK, folder_and_flags, helped

FLAGS = {
    flag.name: flag
    for flag in (
        Flag("format", ("str",), default="onnx", help="what to write", choices=("onnx",)),
        Flag("output", ("str",), help="folder to write; by default OUT/onnx"),
        Flag("input", ("str",), help="rows to check it on, as `predict` reads them; by default those of the run"),
        Flag("overwrite", ("bool",), help="replace the export in --output; other files there stay"),
        TRACEBACK,
    )
}


def main(words: list[str]) -> None:
    usage = "hf-transfer export OUT --format onnx"
    text = (
        "Write the model that a run left in OUT for another runtime, and check it there: onnxruntime must give "
        "PyTorch's probabilities to 1e-4, at batch sizes and lengths that were not traced, or nothing is kept."
    )
    if helped(words, usage, text, FLAGS):
        return
    folder, values = folder_and_flags(words, usage, FLAGS)

    from ..export import export_onnx

    done = export_onnx(folder, values.get("output"), rows=values.get("input"), overwrite=bool(values.get("overwrite")))
    print(f"exported  {done.folder} ({done.size / 1e6:,.1f} MB, ONNX opset {done.opset})")
    for title, told in (("reads", done.inputs), ("says", done.outputs)):
        print(f"{title:8}  {'; '.join(told)}")
    print(f"checked   largest difference to PyTorch {done.difference:.1e}, on {done.checked}")
    print(f"\n{done.code}\n")
    print(f"`hf-transfer push` leaves it out; to the Hub: hf upload user/name {done.folder} onnx")
