"""Pooled image features with plain timm: `create_model`, its own transform, a DataLoader, float32.

python benchmarks/rivals/timm_features.py --weights FOLDER/model.safetensors --images FOLDER
"""

import argparse
import time
from pathlib import Path

START = time.perf_counter()

import numpy as np  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from shared import DEVICE, emit, synchronise  # noqa: E402
from timm.data import create_transform, resolve_model_data_config  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

IMPORTED = time.perf_counter()


class Images(Dataset):
    def __init__(self, paths: list[Path], transform):
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[number]).convert("RGB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="model.safetensors of a timm net saved by transformers")
    parser.add_argument("--images", required=True, help="folder of class folders")
    parser.add_argument("--architecture", default="tf_efficientnet_lite0")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--save", help="write the features to this .npy file")
    asked = parser.parse_args()

    start = time.perf_counter()
    model = timm.create_model(asked.architecture, num_classes=0)
    weights = {name.removeprefix("timm_model."): tensor for name, tensor in load_file(asked.weights).items()}
    lacking, _ = model.load_state_dict(weights, strict=False)  # the file's classifier has no place here
    if lacking:
        raise SystemExit(f"{asked.weights} lacks {len(lacking)} weights of {asked.architecture}: {lacking[0]}, ...")
    model = model.eval().to(DEVICE)
    config = resolve_model_data_config(model) | {"input_size": (3, asked.image_size, asked.image_size)}
    transform = create_transform(**config, is_training=False)
    load_s = time.perf_counter() - start
    paths = sorted(Path(asked.images).rglob("*.png"))
    with torch.inference_mode():
        model(next(iter(DataLoader(Images(paths, transform), batch_size=asked.batch_size))).to(DEVICE))

        synchronise()
        start = time.perf_counter()
        loader = DataLoader(Images(paths, transform), batch_size=asked.batch_size)
        features = torch.cat([model(batch.to(DEVICE)).cpu() for batch in loader])
        features_s = time.perf_counter() - start
    if asked.save:
        np.save(asked.save, features.numpy())
    emit(
        import_s=IMPORTED - START,
        load_s=load_s,
        features_s=features_s,
        per_s=len(paths) / features_s,
        rows=len(paths),
        total_s=time.perf_counter() - START,
    )


if __name__ == "__main__":
    main()
