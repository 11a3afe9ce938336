"""BN-Inception: Inception with batch normalization, Ioffe & Szegedy, ICML 2015.

Layers have the names and sizes of the weights that are in wide use, which were trained with Caffe and are
those of pretrained-models for PyTorch: a convolution, e.g. inception_3a_1x1, has a bias, and its batch norm
is called inception_3a_1x1_bn. In modules 4c and 4d, 128 channels are projected from the pool; in the paper's
table they are 96.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu


class Inception(NamedTuple):
    """Channels of the branches of one module; their maps are joined in this order.

    Where nothing is projected, the pooled maps are joined as they are; such a module has no 1×1 branch and
    halves the sides of the maps.
    """

    single: int  # a 1×1 convolution; 0: none
    triple: tuple[int, int]  # a 1×1 convolution that reduces, and a 3×3
    double: tuple[int, int]  # a 1×1 convolution that reduces, and two 3×3
    pool: Literal["avg", "max"]  # over 3×3
    projected: int  # a 1×1 convolution of the pooled maps; 0: none


MODULES = {
    "3a": Inception(64, (64, 64), (64, 96), "avg", 32),
    "3b": Inception(64, (64, 96), (64, 96), "avg", 64),
    "3c": Inception(0, (128, 160), (64, 96), "max", 0),
    "4a": Inception(224, (64, 96), (96, 128), "avg", 128),
    "4b": Inception(192, (96, 128), (96, 128), "avg", 128),
    "4c": Inception(160, (128, 160), (128, 160), "avg", 128),
    "4d": Inception(96, (128, 192), (160, 192), "avg", 128),
    "4e": Inception(0, (128, 192), (192, 256), "max", 0),
    "5a": Inception(352, (192, 320), (160, 224), "avg", 128),
    "5b": Inception(352, (192, 320), (192, 224), "max", 128),
}


class BNInception(nn.Module):
    """BN-Inception without its classifier, (N, 3, S, S) → (N, 1024); S a multiple of 32.

    Images are RGB as everywhere here, in 0 … 255 less the channels' means; the network's own first layer
    reads BGR.
    """

    num_features = 1024

    def __init__(self) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, kernel=7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, kernel=3)
        channels = 192
        for name, module in MODULES.items():
            channels = self._add_module(f"inception_{name}", module, channels)

    def _add(self, name: str, inside: int, outside: int, kernel: int = 1, stride: int = 1) -> int:
        """Add a convolution and its batch norm; returns the channels that come out."""
        self.add_module(name, nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outside))
        return outside

    def _add_module(self, name: str, module: Inception, channels: int) -> int:
        """Add the layers of a module that reads so many channels; returns how many it gives."""
        stride = 1 if module.projected else 2
        if module.single:
            self._add(f"{name}_1x1", channels, module.single)
        self._add(f"{name}_3x3_reduce", channels, module.triple[0])
        self._add(f"{name}_3x3", *module.triple, kernel=3, stride=stride)
        self._add(f"{name}_double_3x3_reduce", channels, module.double[0])
        self._add(f"{name}_double_3x3_1", *module.double, kernel=3)
        self._add(f"{name}_double_3x3_2", module.double[1], module.double[1], kernel=3, stride=stride)
        pooled = self._add(f"{name}_pool_proj", channels, module.projected) if module.projected else channels
        self.add_module(f"{name}_output", nn.Identity())  # the joined maps, for who looks at inner layers
        return module.single + module.triple[1] + module.double[1] + pooled

    def forward(self, images: Tensor) -> Tensor:
        maps = self._convolve(images.flip(1), "conv1_7x7_s2")  # RGB → BGR
        maps = max_pool2d(maps, 3, stride=2, ceil_mode=True)
        maps = self._convolve(maps, "conv2_3x3_reduce", "conv2_3x3")
        maps = max_pool2d(maps, 3, stride=2, ceil_mode=True)
        for name, module in MODULES.items():
            maps = self._inception(maps, f"inception_{name}", module)
        return maps.mean((2, 3))

    def _convolve(self, maps: Tensor, *names: str) -> Tensor:
        for name in names:
            maps = relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(maps)))
        return maps

    def _inception(self, maps: Tensor, name: str, module: Inception) -> Tensor:
        branches = [self._convolve(maps, f"{name}_1x1")] if module.single else []
        branches.append(self._convolve(maps, f"{name}_3x3_reduce", f"{name}_3x3"))
        double = (f"{name}_double_3x3_{part}" for part in ("reduce", "1", "2"))
        branches.append(self._convolve(maps, *double))
        if not module.projected:  # no padding, but a last window that may be smaller, as Caffe pools
            branches.append(max_pool2d(maps, 3, stride=2, ceil_mode=True))
        else:
            pool = avg_pool2d if module.pool == "avg" else max_pool2d  # padded zeros count in the average
            branches.append(self._convolve(pool(maps, 3, stride=1, padding=1), f"{name}_pool_proj"))
        return self.get_submodule(f"{name}_output")(torch.cat(branches, 1))
