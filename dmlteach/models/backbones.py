"""Backbones by name, their weights from local files or their publishers, and features of inner layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.modules.dropout import _DropoutNd

from dmlteach import foreign
from dmlteach.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.models.bninception import BNInception
from dmlteach.models.weights import fitting, read


class OmniglotCNN(nn.Module):
    """Four convolutions for 28×28 drawings, (N, 1, 28, 28) → (N, 1152); group norm: no batch statistics."""

    num_features = 128 * 3 * 3

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False), nn.GroupNorm(2, 32), nn.ReLU(),  # 14×14
            nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.GroupNorm(4, 64), nn.ReLU(),
            nn.MaxPool2d(2),  # 7×7
            nn.Conv2d(64, 128, 3, padding=1, bias=False), nn.GroupNorm(8, 128), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1, bias=False), nn.GroupNorm(8, 128), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(),  # 3×3
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@dataclass(frozen=True)
class Facts:
    """What is known of a backbone by its name; by default, what holds for networks of photographs.

    Attributes:
        build: makes one of our own, which says its `num_features`; None: it is torchvision's or timm's.
        mean, std: of each channel, on pixels scaled to 0 … 1.
        published: whether there are weights trained on ImageNet.
        file: in which they are found, where no package downloads them.
        image_size: side of the input in pixels, if nobody names another.
        sizes: sides that it can take, where they are known.
        enlarged: side to which an image is resized before it is cropped, in sides of the input.
        inner_layers: the two that a cascade embeds beside the last one; None: they are looked for.
        grid: of a cascade, see `Depths`.
    """

    build: Callable[[], Any] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    published: bool = True
    file: str | None = None
    image_size: int = 224
    sizes: range | None = None
    enlarged: float = 256 / 224
    inner_layers: tuple[str, str] | None = None
    grid: int = 1


FACTS = {
    "omniglot_cnn": Facts(
        build=OmniglotCNN, mean=(0.08,), std=(0.25,), published=False,
        image_size=28, sizes=range(25, 32), enlarged=1,
        inner_layers=("layers.6", "layers.9"), grid=3,  # after the second and the third convolution
    ),
    "googlenet": Facts(inner_layers=("inception4a", "inception4d")),  # those of HDC
    "bninception": Facts(
        build=BNInception, mean=(128 / 255, 117 / 255, 104 / 255), std=(1 / 255, 1 / 255, 1 / 255),
        file="bn_inception-52deb4733.pth", inner_layers=("inception_4a_output", "inception_4d_output"),
    ),
}  # fmt: skip


# What a foreign backbone may say of itself: `channels`, 1 or 3, and these facts.
_SAYS = ("mean", "std", "image_size")


def facts(backbone: str) -> Facts:
    """What is known of a backbone; a foreign one says what is not as for networks of photographs.

    Args:
        backbone: its name.
    """
    if not foreign.is_foreign(backbone):
        return FACTS.get(backbone, Facts())
    found = foreign.find(backbone, "backbone")
    said = {
        name: getattr(found, name) for name in _SAYS if isinstance(getattr(found, name, None), int | tuple)
    }
    if getattr(found, "channels", 3) == 1:  # drawings
        known = FACTS["omniglot_cnn"]
        said = {"mean": known.mean, "std": known.std, "image_size": known.image_size, "enlarged": 1} | said
    return Facts(published=False, **said)


def usual_weights(backbone: str) -> str:
    """What a network starts from if nobody says: "cached" where weights are published, else "none".

    Args:
        backbone: its name.
    """
    return "cached" if facts(backbone).published else "none"


class Depths(nn.Module):
    """A backbone that also gives features of inner layers: images → a list of (N, F_k), the deepest last.

    Args:
        net: a backbone, images → (N, F).
        layers: names of inner layers that give feature maps (N, C, H, W), shallow to deep.
        grid: side of the grid to which a feature map is averaged before it is flattened: 1 for
            photographs, like their last layer; in a drawing it matters where a stroke lies.

    Raises:
        DMLTeachError: no such layer.
    """

    def __init__(self, net: nn.Module, layers: Sequence[str], grid: int = 1):
        super().__init__()
        self.net, self.layers, self.grid = net, tuple(layers), grid
        self._seen: dict[str, Tensor] = {}
        known = dict(net.named_modules())
        for name in self.layers:
            if name not in known:
                raise unknown_name("layer", name, [key for key in known if key])
            known[name].register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        self._seen[name] = output

    def forward(self, images: Tensor) -> list[Tensor]:
        last = self.net(images)
        maps = [self._seen.pop(name) for name in self.layers]
        for name, found in zip(self.layers, maps, strict=True):
            if found.ndim != 4:
                raise DMLTeachError(
                    f"layer {name} gives {tuple(found.shape)}, not feature maps (N, C, H, W); "
                    "name another layer."
                )
        return [*(adaptive_avg_pool2d(found, self.grid).flatten(1) for found in maps), last]

    @torch.no_grad()
    def num_features(self, channels: int, image_size: int) -> tuple[int, ...]:
        """Size F_k of the features of each depth, found with a blank image."""
        was_training = self.training
        features = self.eval()(torch.zeros(1, channels, image_size, image_size))
        self.train(was_training)
        return tuple(f.shape[1] for f in features)


def inner_layers(name: str, net: nn.Module) -> tuple[str, str]:
    """The two inner layers of a known backbone that a cascade embeds, beside its last one.

    Where its facts name none, they end the stages whose maps have an eighth and a sixteenth of the image's
    side.

    Raises:
        DMLTeachError: nothing is known about this backbone; says how to name its layers.
    """
    known = facts(name).inner_layers
    if known is not None:
        return known
    if hasattr(net, "layer2") and hasattr(net, "layer3"):  # the family of ResNet
        return "layer2", "layer3"
    by_stride = {info["reduction"]: info["module"] for info in _feature_info(net)}
    if 8 in by_stride and 16 in by_stride:
        return by_stride[8], by_stride[16]
    raise DMLTeachError(
        f"which layers of {name} a cascade should embed is not known; name inner layers that give feature "
        'maps, e.g. head_options={"layers": ["features.4", "features.6"]}.'
    )


def _feature_info(net: nn.Module) -> list[dict[str, Any]]:
    """What a timm network says of its stages; nothing for others."""
    info = getattr(net, "feature_info", [])
    return info if isinstance(info, list) else []


def build_backbone(name: str) -> tuple[nn.Module, int, tuple, tuple]:
    """The network without its classifier, its number of features, and its channels' mean and std."""
    known = facts(name)
    if foreign.is_foreign(name):
        return _build_foreign(name, known)
    if known.build is not None:
        net = known.build()
        return net, net.num_features, known.mean, known.std
    if name.startswith("timm/"):
        return _build_timm(name.removeprefix("timm/"))
    import torchvision.models as zoo
    from torchvision.ops import StochasticDepth

    classification = zoo.list_models(module=zoo)
    if name not in classification:
        raise unknown_name("backbone", name, [*FACTS, "timm/…", *classification])
    aux = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    net = zoo.get_model(name, weights=None, **aux)
    # The classifier is the last linear layer.
    linear = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise DMLTeachError(f"{name} has no linear layer as its classifier, before which features lie.")
    num_features = net.get_submodule(linear[-1]).in_features
    net.set_submodule(linear[-1], nn.Identity())
    # What is dropped at random would make micro-batches differ from the full batch, and a resumed run.
    for key in [k for k, module in net.named_modules() if isinstance(module, _DropoutNd | StochasticDepth)]:
        net.set_submodule(key, nn.Identity())
    return net, num_features, known.mean, known.std


def _build_foreign(name: str, known: Facts) -> tuple[nn.Module, int, tuple, tuple]:
    """What a class or function of the user's makes, if it maps images to features."""
    net = foreign.made(name, foreign.find(name, "backbone"))
    if not isinstance(net, nn.Module):
        raise DMLTeachError(f"{name} makes a {type(net).__name__}, where a backbone is a torch.nn.Module.")
    images = torch.zeros(2, len(known.mean), known.image_size, known.image_size)
    shape = "x".join(map(str, images.shape))
    try:
        with torch.no_grad():
            features = net.eval()(images)
    except Exception as error:
        other = "other channels or sizes it says by `channels = 1` and `image_size = …` in its class"
        raise foreign.failed(f"{name} cannot take a batch of images {shape} ({other})", error) from error
    finally:
        net.train()
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
        given = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise DMLTeachError(
            f"{name} gives {given} for a batch of images {shape}, where a backbone gives a tensor of "
            f"features ({len(images)}, F): flatten or pool its maps."
        )
    return net, features.shape[1], known.mean, known.std


def _build_timm(name: str) -> tuple[nn.Module, int, tuple, tuple]:
    try:
        import timm
    except ImportError:
        raise DMLTeachError(f"backbone 'timm/{name}' needs timm: pip install 'dmlteach[timm]'.") from None
    if not timm.is_model(name):
        raise unknown_name("timm backbone", name, timm.list_models())
    net = timm.create_model(name, pretrained=False, num_classes=0)
    normalization: Any = net.pretrained_cfg
    return net, cast(int, net.num_features), normalization["mean"], normalization["std"]


def load_weights(net: nn.Module, backbone: str, weights: str | Path) -> None:
    """Fill a backbone from a file, or from the weights its publisher offers.

    Args:
        net: what `build_backbone` made.
        backbone: its name.
        weights: "imagenet", "cached" or a path, as for `create`.

    Raises:
        DMLTeachError: weights that are missing or do not fit.
    """
    published = weights in ("imagenet", "cached")
    content = _published_weights(backbone, weights) if published else read(weights)
    state = fitting(content, net.state_dict(), backbone, str(weights))
    try:
        net.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a sparse or quantized tensor of the right shape
        reason = str(error).strip().splitlines()[-1].strip()
        raise DMLTeachError(
            f"{weights} holds weights that cannot be put into {backbone} ({reason}); save plain tensors."
        ) from None


def _published_weights(backbone: str, weights: str | Path) -> dict[str, Tensor]:
    """ImageNet weights of a torchvision or timm backbone, from the local cache or its publisher."""
    if not facts(backbone).published:
        raise DMLTeachError(f"{backbone} has no ImageNet weights: leave weights out, or --weights none.")
    if backbone.startswith("timm/"):
        return _published_timm_weights(backbone.removeprefix("timm/"), weights)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if name := facts(backbone).file:
        if (cache / name).exists():
            return read(cache / name)
        raise DMLTeachError(
            f"the ImageNet weights of {backbone} are not on this machine, and no package downloads them. "
            f"Look for {name}, the file of pretrained-models for PyTorch, and give its path (--weights FILE) "
            f"or put it into {cache}; --weights none starts from random weights."
        )
    import torchvision.models as zoo

    entry = next(iter(zoo.get_model_weights(backbone)))
    file = cache / entry.url.rsplit("/", 1)[-1]
    if file.exists():
        return read(file)
    cure = f"Put {file.name} into {file.parent}, or give its path as weights"
    if weights == "cached":
        raise DMLTeachError(
            f"the ImageNet weights of {backbone} are not on this machine. {cure}, "
            "or let --weights imagenet download them (--weights none starts from random weights)."
        )
    try:
        return entry.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise DMLTeachError(f"could not download {entry.url} ({error}). {cure}.") from None


def _published_timm_weights(name: str, weights: str | Path) -> dict[str, Tensor]:
    import timm

    if weights == "imagenet":
        try:
            return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # the hub's client raises many kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DMLTeachError(
                f"could not download the weights of timm/{name} ({reason}). Download its model.safetensors "
                f"from the hub page timm/{name} elsewhere and give the file's path as weights."
            ) from None
    raise DMLTeachError(
        f"timm/{name} needs the path of its weights file (weights=FILE); weights='imagenet' downloads it."
    )
