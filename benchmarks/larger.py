"""Backbones that differ from `omniglot_cnn` in one thing, or in several that help, for `benchmarks.limits`.

Like it they are 3×3 convolutions with group norm, for drawings of one channel.
"""

from torch import Tensor, nn


def block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A convolution, its norm in groups of 16 channels, and the ReLU."""
    convolution = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(out // 16, out), nn.ReLU())


class Convolutions(nn.Module):
    """Blocks and pools, (N, 1, S, S) → (N, F)."""

    channels = 1

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Wider(Convolutions):
    """Twice as many channels in every layer."""

    def __init__(self) -> None:
        pool = nn.MaxPool2d(2)
        super().__init__(block(1, 64, 2), block(64, 128), pool, block(128, 256), block(256, 256), pool)


class Deeper(Convolutions):
    """Two convolutions where there was one."""

    def __init__(self) -> None:
        pool = nn.MaxPool2d(2)
        first = block(1, 32, 2), block(32, 32), block(32, 64), block(64, 64), pool
        super().__init__(*first, block(64, 128), block(128, 128), block(128, 128), block(128, 128), pool)


class Finer(Convolutions):
    """Drawings of 56 pixels, and one more pool to as many features."""

    image_size = 56

    def __init__(self) -> None:
        pool = nn.MaxPool2d(2)
        first = block(1, 32, 2), block(32, 64), pool  # 28×28, then 14×14
        super().__init__(*first, block(64, 128), pool, block(128, 128), pool)


class Tapered(Convolutions):
    """Drawings of 56 pixels, and more channels where the maps are small, which costs least."""

    image_size = 56

    def __init__(self) -> None:
        pool = nn.MaxPool2d(2)
        first = block(1, 32, 2), block(32, 64), pool, block(64, 128), pool
        super().__init__(*first, block(128, 256), block(256, 256), pool)
