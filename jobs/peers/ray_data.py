"""VGG16 features with Ray Data: mean, max and Gram of each layer, to Parquet.

Written as Ray's documentation shows batch inference over images: read_images, map, map_batches with a class that holds
the model, write_parquet.

Usage: python ray_data.py IMAGES OUTPUT --weights vgg16.safetensors [--precision bfloat16|float32] [--size 512]
"""

import argparse
import os
import time

import numpy as np
import ray
import safetensors.torch
import torch
import torchvision
from PIL import Image

LAYERS = {"conv1_2": 3, "conv2_2": 8, "conv3_3": 15, "conv4_3": 22, "conv5_3": 29}  # the ReLU after each
MEANS = np.array([123.68, 116.779, 103.939], np.float32).reshape(3, 1, 1)


def preprocess(row, size):
    image = Image.fromarray(row["image"]).resize((size, size), Image.Resampling.BOX)
    return {"path": os.path.basename(row["path"]), "pixels": np.array(image, np.float32).transpose(2, 0, 1) - MEANS}


class Network:
    def __init__(self, weights, precision, times):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network = torchvision.models.vgg16(weights=None)
        network.load_state_dict(safetensors.torch.load_file(weights), strict=False)  # the convolutions
        self.layers = network.features.eval().to(self.device)
        self.precision = precision
        self.times = times

    def __call__(self, batch):
        maps = torch.from_numpy(batch["pixels"]).to(self.device)
        outputs = {"input": maps}
        names = {index: name for name, index in LAYERS.items()}
        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            for index, module in enumerate(self.layers):
                maps = module(maps)
                if index in names:
                    outputs[names[index]] = maps
                if index == max(names):
                    break
            columns = {"path": batch["path"]}
            for name, maps in outputs.items():
                flat = maps.float().flatten(2)
                columns[f"mean_{name}"] = flat.mean(dim=2).float().cpu().numpy()
                columns[f"max_{name}"] = flat.amax(dim=2).float().cpu().numpy()
                columns[f"gram_{name}"] = torch.bmm(flat, flat.transpose(1, 2)).flatten(1).float().cpu().numpy()
        if self.times:
            with open(self.times, "a") as file:
                file.write(f"{time.time()} {len(batch['path'])}\n")
        return columns


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

    gpus = torch.cuda.device_count()
    # One model. On a CPU it gets all cores but one, which decodes; Ray gives torch as many threads.
    resources = {"num_gpus": 1} if gpus else {"num_cpus": max(1, (os.cpu_count() or 2) - 1)}
    dataset = ray.data.read_images(arguments.images, mode="RGB", include_paths=True)
    dataset = dataset.map(preprocess, fn_kwargs={"size": arguments.size})
    dataset = dataset.map_batches(
        Network,
        fn_constructor_kwargs={
            "weights": os.path.abspath(arguments.weights),
            "precision": arguments.precision,
            "times": arguments.times and os.path.abspath(arguments.times),
        },
        batch_size=arguments.batch_size,
        compute=ray.data.ActorPoolStrategy(size=max(1, gpus)),
        **resources,
    )
    dataset.write_parquet(os.path.abspath(arguments.output))


if __name__ == "__main__":
    main()
