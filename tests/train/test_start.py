"""What a run starts from: the network of a checkpoint, with all that decides, and packages that are there."""

import json
import sys

import pytest
import torch

from dmlteach import models
from dmlteach.errors import DMLTeachError
from dmlteach.train import fit
from tests.train.pictures import ON_PICTURES, flat_colors
from tests.train.runs import tiny, weights

ONE_STEP = {"method": "contrastive", "epochs": 1, "batches_per_epoch": 1}


@pytest.fixture
def network(tmp_path):
    """A file of a network that is not what any recipe makes."""
    file = tmp_path / "network.safetensors"
    models.save(models.create("omniglot_cnn", 24, normalize=True, image_size=26, seed=9), file)
    return file


def start(tmp_path, name, **options):
    return fit(tiny(tmp_path, name, **{**ONE_STEP, "embedding_dim": None, **options}))


def test_a_run_starts_from_a_model_file_or_a_run_and_says_which_network_it_trained(tmp_path, network):
    seen = {}

    def at_the_start(run):
        seen.setdefault(run.config.output, {k: v.clone() for k, v in run.model.state_dict().items()})

    first = fit(
        tiny(tmp_path, "first", **ONE_STEP | {"embedding_dim": None, "checkpoint": str(network)}),
        at_the_start,
    )
    second = fit(
        tiny(tmp_path, "second", **ONE_STEP | {"embedding_dim": None, "checkpoint": str(first.path)}),
        at_the_start,
    )
    for result, origin in ((first, models.load(network).state_dict()), (second, weights(first.path))):
        begun = seen[str(result.path)]
        assert all(torch.equal(begun[key], value) for key, value in origin.items())
        described = json.loads((result.path / "config.json").read_text())
        recipe = described["recipe"]
        assert (recipe["backbone"], recipe["embedding_dim"], recipe["normalize"]) == (
            "omniglot_cnn",
            24,
            True,
        )
        assert described["network"]["image_size"] == 26
        assert models.load(result.path).spec == models.load(network).spec


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"backbone": "resnet18"}, "its backbone is 'omniglot_cnn'"),
        ({"weights": "imagenet"}, "it brings its weights"),
        ({"embedding_dim": 16}, "its embedding_dim is 24"),
        ({"normalize": False}, "its normalize is True"),
        ({"image_size": 28}, "its image_size is 26"),
        ({"head_options": {"weights": "size"}}, "its head_options is {}"),
        ({"method": "hdc"}, "has a linear head"),
        ({"transform": "resized_crop"}, "choose crop, drawing, none"),
    ],
)
def test_what_a_checkpoint_decides_is_refused_beside_it(tmp_path, network, given, says):
    with pytest.raises(DMLTeachError) as error:
        start(tmp_path, "run", checkpoint=str(network), **given)
    assert says in str(error.value)
    assert str(network) in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_the_crop_is_the_one_the_checkpoint_reads(tmp_path, keep_aspect):
    """contrastive crops squares, multi_similarity boxes of the image's own shape."""
    root = str(flat_colors(tmp_path / "pictures", classes=4, images=4))
    file = tmp_path / "network.safetensors"
    models.save(models.create("resnet18", 8, image_size=16, keep_aspect=keep_aspect), file)
    folder = {k: v for k, v in ON_PICTURES.items() if k in ("dataset", "classes")} | {"root": root}
    common = {**folder, "batch_size": 4, "sampler": "random", "checkpoint": str(file)}
    method = "contrastive" if keep_aspect else "multi_similarity"
    result = start(tmp_path, "run", **common, method=method)
    recipe = json.loads((result.path / "config.json").read_text())["recipe"]
    assert recipe["transform"] == ("resized_crop" if keep_aspect else "crop")
    named = "crop" if keep_aspect else "resized_crop"
    with pytest.raises(DMLTeachError, match=f"--transform {named} does not fit the network of"):
        start(tmp_path, "named", **common, method=method, transform=named)


def test_a_run_of_before_that_was_given_such_an_option_in_vain_resumes_without_it(tmp_path, network):
    whole = start(tmp_path, "run", checkpoint=str(network))
    state = torch.load(whole.path / "checkpoint.pt", weights_only=True)
    state["config"]["embedding_dim"] = 99
    torch.save(state, whole.path / "checkpoint.pt")
    assert start(tmp_path, "run", checkpoint=str(network), resume=True).metrics == whole.metrics


def test_a_missing_package_for_tensorboard_is_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DMLTeachError, match=r"--tensorboard needs TensorBoard: pip install"):
        fit(tiny(tmp_path, **ONE_STEP, tensorboard=True))
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_a_row_per_epoch(tmp_path):
    result = fit(tiny(tmp_path, **ONE_STEP, tensorboard=True))
    assert list((result.path / "tensorboard").iterdir())
