"""VGG16 features with a plain PyTorch DataLoader: mean, max and Gram of each layer, to one Parquet file.

Written as the DataLoader and autocast tutorials show it; no more tuned than they are.

Usage: python plain_torch.py IMAGES OUTPUT --weights vgg16.safetensors [--precision bfloat16|float32] [--size 512]
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
import torchvision
from PIL import Image

LAYERS = {"conv1_2": 3, "conv2_2": 8, "conv3_3": 15, "conv4_3": 22, "conv5_3": 29}  # the ReLU after each
MEANS = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)


class Micrographs(torch.utils.data.Dataset):
    def __init__(self, folder, size):
        self.files = sorted(file for file in Path(folder).iterdir() if file.suffix in (".png", ".tif", ".jpg"))
        self.size = size

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = Image.open(self.files[index]).convert("RGB")
        image = image.resize((self.size, self.size), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        return self.files[index].name, pixels - MEANS


def load_network(weights):
    network = torchvision.models.vgg16(weights=None)
    network.load_state_dict(
        safetensors.torch.load_file(weights), strict=False
    )  # the convolutions; the head stays unused
    return network.features.eval()


def features_of(network, batch):
    outputs = {"input": batch}
    maps = batch
    names = {index: name for name, index in LAYERS.items()}
    for index, module in enumerate(network):
        maps = module(maps)
        if index in names:
            outputs[names[index]] = maps
        if index == max(names):
            break
    columns = {}
    for name, maps in outputs.items():
        flat = maps.float().flatten(2)
        columns[f"mean_{name}"] = flat.mean(dim=2)
        columns[f"max_{name}"] = flat.amax(dim=2)
        columns[f"gram_{name}"] = torch.bmm(flat, flat.transpose(1, 2)).flatten(1)
    return {name: values.float().cpu().numpy() for name, values in columns.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("output")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--times", help="append the time of each finished batch to this file")
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_network(arguments.weights).to(device)
    loader = torch.utils.data.DataLoader(
        Micrographs(arguments.images, arguments.size), batch_size=arguments.batch_size, num_workers=os.cpu_count()
    )
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    writer = None
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
        for paths, batch in loader:
            columns = features_of(network, batch.to(device))
            table = pa.table({"path": list(paths), **{name: list(values) for name, values in columns.items()}})
            writer = writer or pq.ParquetWriter(Path(arguments.output) / "features.parquet", table.schema)
            writer.write_table(table)
            if arguments.times:
                with open(arguments.times, "a") as file:
                    file.write(f"{time.time()} {len(paths)}\n")
    writer.close()


if __name__ == "__main__":
    main()
