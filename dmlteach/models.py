"""A model is a backbone and an embedding head: images (N, C, H, W) → embeddings (N, D)."""

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dmlteach.data.augment import IMAGENET_MEAN, IMAGENET_STD
from dmlteach.distances import normalize
from dmlteach.errors import DMLTeachError, unknown_name
from dmlteach.interfaces import derive_seed

SHIPPED = ("untrained", "softmax", "triplet", "sst")


@dataclass(frozen=True)
class Spec:
    """What a network was built for; saved with its weights, so that a file is enough to rebuild it.

    Attributes:
        backbone: name given to `create`.
        embedding_dim: D, or None where the features themselves are the embedding.
        image_size: side of the square the network sees, in pixels.
        resize: side to which an image is resized before it is cropped to `image_size`.
        channels: 1 for grey drawings, 3 for photographs.
        mean, std: of each channel, on pixels scaled to 0 … 1.
        normalize: whether embeddings lie on the unit sphere.
        freeze_batch_norm: whether batch-norm statistics stay as they are in training.
        keep_aspect: resize the short side to `resize`, rather than squash both sides to it.
    """

    backbone: str
    embedding_dim: int | None
    image_size: int
    resize: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalize: bool = False
    freeze_batch_norm: bool = False
    keep_aspect: bool = False


class Head(nn.Module):
    """Linear embedding head, optionally onto the unit sphere. `dims` are the sizes of its parts."""

    def __init__(self, num_features: int, embedding_dim: int | None, to_sphere: bool):
        super().__init__()
        self.dims = (embedding_dim or num_features,)
        self.linear: nn.Module = nn.Identity()
        if embedding_dim:
            self.linear = nn.Linear(num_features, embedding_dim)
            # A rotation nearly keeps the features' distances: fine-tuning starts from what they know.
            nn.init.orthogonal_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
        self.to_sphere = to_sphere

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features of each depth, the last (N, F) used, → (N, D)."""
        embeddings = self.linear(features[-1])
        return normalize(embeddings) if self.to_sphere else embeddings


class Model(nn.Module):
    """Backbone and head. In training, frozen batch norms keep their statistics."""

    def __init__(self, backbone: nn.Module, head: Head, spec: Spec):
        super().__init__()
        self.backbone, self.head, self.spec = backbone, head, spec
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) → embeddings (N, D)."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head([self.backbone(images)])

    def batch_norms(self) -> list[nn.Module]:
        return [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a training step depends on which images share a forward pass."""
        return bool(self.batch_norms()) and not self.spec.freeze_batch_norm

    def train(self, mode: bool = True) -> "Model":
        super().train(mode)
        if self.spec.freeze_batch_norm:
            for norm in self.batch_norms():
                norm.eval()
        return self


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


def create(
    backbone: str,
    embedding_dim: int | None = 512,
    *,
    weights: str | Path | None = None,
    normalize: bool = False,
    image_size: int | None = None,
    freeze_batch_norm: bool | None = None,
    keep_aspect: bool = False,
    seed: int = 0,
) -> Model:
    """A model by the name of its backbone: `omniglot_cnn`, a torchvision name, or `timm/NAME`.

    Args:
        backbone: e.g. "omniglot_cnn", "resnet50", "timm/tf_efficientnet_lite0".
        embedding_dim: D, size of the embedding; None gives the backbone's pooled features.
        weights: None for random weights; "imagenet" downloads the publisher's file unless it is there;
            "cached" uses that file and never downloads; else the path of a local file
            (.safetensors, .pth).
        normalize: put embeddings on the unit sphere.
        image_size: side of the input in pixels; default 28 for `omniglot_cnn`, else 224.
        freeze_batch_norm: keep batch-norm statistics fixed; default: where weights are given.
        keep_aspect: cut the centre square out of an image, rather than squash it as the SST recipe does.
        seed: of the random initial weights.

    Raises:
        DMLTeachError: unknown backbone, or weights that are missing or do not fit.
    """
    if embedding_dim is not None and embedding_dim < 1:
        raise DMLTeachError(f"embedding_dim must be at least 1, not {embedding_dim}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, 0))
        net, num_features, mean, std = _build_backbone(backbone)
        head = Head(num_features, embedding_dim, normalize)
    if weights is not None:
        _load_backbone_weights(net, backbone, weights)
    drawings = backbone == "omniglot_cnn"
    size = image_size or (28 if drawings else 224)
    spec = Spec(
        backbone=backbone,
        embedding_dim=embedding_dim,
        image_size=size,
        resize=size if drawings else round(size * 256 / 224),
        channels=len(mean),
        mean=tuple(mean),
        std=tuple(std),
        normalize=normalize,
        freeze_batch_norm=(weights is not None) if freeze_batch_norm is None else freeze_batch_norm,
        keep_aspect=keep_aspect,
    )
    return Model(net, head, spec)


def _build_backbone(name: str) -> tuple[nn.Module, int, tuple, tuple]:
    """The network without its classifier, its number of features, and its channels' mean and std."""
    if name == "omniglot_cnn":
        return OmniglotCNN(), OmniglotCNN.num_features, (0.08,), (0.25,)
    if name.startswith("timm/"):
        return _build_timm(name.removeprefix("timm/"))
    import torchvision.models as zoo

    classification = zoo.list_models(module=zoo)
    if name not in classification:
        raise unknown_name("backbone", name, ["omniglot_cnn", "timm/…", *classification])
    aux = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    net = zoo.get_model(name, weights=None, **aux)
    # The classifier is the last linear layer; dropout would make micro-batches differ from the full batch.
    last = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    num_features = net.get_submodule(last).in_features
    net.set_submodule(last, nn.Identity())
    for key in [k for k, module in net.named_modules() if isinstance(module, nn.Dropout)]:
        net.set_submodule(key, nn.Identity())
    return net, num_features, IMAGENET_MEAN, IMAGENET_STD


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


def _load_backbone_weights(net: nn.Module, backbone: str, weights: str | Path) -> None:
    published = weights in ("imagenet", "cached")
    state = _published_weights(backbone, weights) if published else _read_file(weights)
    own = net.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    misfit = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or misfit:
        raise DMLTeachError(
            f"{weights} does not hold weights of {backbone}: "
            f"{len(missing)} tensors missing, {len(misfit)} of another shape (e.g. {(missing + misfit)[0]}). "
            "Choose the backbone the file was made for."
        )
    net.load_state_dict({k: state[k] for k in own if k in state}, strict=False)


def _published_weights(backbone: str, weights: str | Path) -> dict[str, Tensor]:
    """ImageNet weights of a torchvision or timm backbone, from the local cache or its publisher."""
    if backbone == "omniglot_cnn":
        raise DMLTeachError("omniglot_cnn has no ImageNet weights; leave weights out.")
    if backbone.startswith("timm/"):
        return _published_timm_weights(backbone.removeprefix("timm/"), weights)
    import torchvision.models as zoo

    entry = next(iter(zoo.get_model_weights(backbone)))
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    if file.exists():
        return _read_file(file)
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


def _read_file(path: str | Path) -> dict[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise DMLTeachError(f"no weights file {path}; give the path of a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DMLTeachError(
            f"{path} is not a readable weights file ({type(error).__name__}); expected .safetensors or .pth."
        ) from None
    return state.get("state_dict", state)


def save(model: Model, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write weights and spec as one safetensors file, atomically.

    Args:
        model: what to save.
        path: of the file.
        dtype: store floats as this type, e.g. torch.float16 for half the size; default as they are.
    """
    from safetensors.torch import save_file

    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    path = Path(path)
    part = path.with_name(path.name + ".part")
    save_file(state, part, metadata={"dmlteach": json.dumps(asdict(model.spec))})
    part.replace(path)


def load(path: str | Path) -> Model:
    """A saved model, in evaluation mode, on the CPU.

    Args:
        path: a run's folder, or its model.safetensors.

    Raises:
        DMLTeachError: no such file, or one that is not a dmlteach model.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise DMLTeachError(f"no checkpoint at {path}; give a run's folder or its model.safetensors.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            metadata = (opened.metadata() or {}).get("dmlteach")
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except SafetensorError:
        metadata = None
    if metadata is None:
        raise DMLTeachError(
            f"{file} is not a dmlteach checkpoint; expected the model.safetensors of `dmlteach train`."
        )
    saved = json.loads(metadata)
    spec = Spec(**{**saved, "mean": tuple(saved["mean"]), "std": tuple(saved["std"])})
    net, num_features, _, _ = _build_backbone(spec.backbone)
    model = Model(net, Head(num_features, spec.embedding_dim, spec.normalize), spec)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()


def pretrained(name: str) -> Model:
    """A shipped Omniglot network: "untrained", "softmax", "triplet" or "sst"; nothing is downloaded.

    Args:
        name: which state; `dmlteach.pretrained.card(name)` tells its recipe and numbers.
    """
    if name not in SHIPPED:
        raise unknown_name("shipped model", name, SHIPPED)
    with resources.as_file(resources.files("dmlteach") / "pretrained" / f"{name}.safetensors") as file:
        return load(file)
