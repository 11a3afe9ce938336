"""A network so small that many trainings take seconds, with inner layers for a cascade."""

from torch import nn


class Small(nn.Module):
    """Two convolutions on drawings whose side is a quarter, (N, 1, 28, 28) → (N, 64)."""

    channels = 1
    image_size = 28

    def __init__(self):
        super().__init__()
        self.smaller = nn.AvgPool2d(4)
        self.layer2 = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())  # 4×4
        self.layer3 = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())  # 2×2

    def forward(self, images):
        return self.layer3(self.layer2(self.smaller(images))).flatten(1)
