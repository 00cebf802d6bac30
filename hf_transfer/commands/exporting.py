"""`hf-transfer export`."""

from ..errors import UserError
from ..flags import Flag
from .common import TRACEBACK, folder_and_flags, helped

FLAGS = {
    flag.name: flag
    for flag in (
        Flag("format", ("str",), default="onnx", help="what to write", choices=("onnx",)),
        Flag("task", ("str",), help="of a model of several tasks, the one to write as a model of its own"),
        Flag("output", ("str",), help="folder to write; by default OUT/onnx, or OUT/tasks/TASK"),
        Flag("input", ("str",), help="rows to check it on, as `predict` reads them; by default those of the run"),
        Flag("overwrite", ("bool",), help="replace the export in --output; other files there stay"),
        TRACEBACK,
    )
}


def main(words: list[str]) -> None:
    usage = "hf-transfer export OUT --format onnx | --task NAME"
    text = (
        "Write the model that a run left in OUT for another runtime, and check it there: onnxruntime must give "
        "PyTorch's probabilities to 1e-4, at batch sizes and lengths that were not traced, or nothing is kept. With "
        "--task: take one task out of a model of several, as a model of its own that loads with transformers alone "
        "where its head is a stock one."
    )
    if helped(words, usage, text, FLAGS):
        return
    folder, values = folder_and_flags(words, usage, FLAGS)
    if values.get("task") is not None:
        _one_task(folder, values)
        return

    from ..export import export_onnx

    done = export_onnx(folder, values.get("output"), rows=values.get("input"), overwrite=bool(values.get("overwrite")))
    print(f"exported  {done.folder} ({done.size / 1e6:,.1f} MB, ONNX opset {done.opset})")
    for title, told in (("reads", done.inputs), ("says", done.outputs)):
        print(f"{title:8}  {'; '.join(told)}")
    print(f"checked   largest difference to PyTorch {done.difference:.1e}, on {done.checked}")
    print(f"\n{done.code}\n")
    print(f"`hf-transfer push` leaves it out; to the Hub: hf upload user/name {done.folder} onnx")


def _one_task(folder: str, values: dict) -> None:
    for flag in ("format", "input"):
        if flag in values:
            raise UserError(f"--{flag} is for ONNX; export the task, then its folder with --format onnx")

    from ..multitask.exporting import export_task

    done = export_task(folder, values["task"], values.get("output"), overwrite=bool(values.get("overwrite")))
    print(f"exported  {done.folder}, a {done.kind}; largest difference of a logit {done.difference:.1e}")
    print(f"  predict   hf-transfer predict {done.folder} --input new.csv --output predictions.csv")
