"""The device by its name."""

import contextlib
import json
import platform
import subprocess
import sys

import pytest
import torch

from dmlteach import data, embeddings, models
from dmlteach.data import augment
from dmlteach.data.loader import prefetch
from dmlteach.device import choose_device, moved, same_bits
from dmlteach.errors import DMLTeachError
from dmlteach.train.step import DelayedScalar


def pretend(monkeypatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, False, "cuda"), (True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_there_is(monkeypatch, cuda, mps, best):
    pretend(monkeypatch, cuda, mps)
    assert choose_device("auto") == choose_device() == torch.device(best)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "cpu"), (False, False, "cpu")]
)
def test_in_float64_auto_passes_over_apples_gpus_which_are_refused_by_name(monkeypatch, cuda, mps, best):
    pretend(monkeypatch, cuda, mps)
    assert choose_device("auto", float64=True) == torch.device(best)
    with pytest.raises(DMLTeachError, match="Apple's GPUs have no float64, .* Use --device auto or cpu."):
        choose_device("mps", float64=True)


def test_the_cpu_is_taken_where_it_is_asked_for(monkeypatch):
    pretend(monkeypatch, cuda=True, mps=True)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_an_error_with_the_cure(monkeypatch, name):
    pretend(monkeypatch, cuda=False, mps=False)
    with pytest.raises(DMLTeachError, match=f"'{name}' was asked for, but .* Use --device auto or cpu."):
        choose_device(name)


@pytest.mark.parametrize(("built_with", "reason"), [(None, "built without CUDA"), ("13.2", "nvidia-smi")])
def test_the_error_tells_a_missing_gpu_from_a_torch_without_cuda(monkeypatch, built_with, reason):
    pretend(monkeypatch, cuda=False, mps=False)
    monkeypatch.setattr(torch.version, "cuda", built_with)
    with pytest.raises(DMLTeachError, match=reason):
        choose_device("cuda")


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(
        DMLTeachError, match="unknown device 'cudda'; did you mean 'cuda'.*auto, cpu, cuda, mps"
    ):
        choose_device("cudda")


# ── copies to and from a device ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def late_device(monkeypatch):
    """A pretended MPS: what is copied to or from it without waiting is read too late, so it is lost.

    Its tensors are ordinary ones of the CPU.
    """
    copy = torch.Tensor.to

    def to(self, *args, **kwargs):
        args = [torch.device("cpu") if str(a).startswith("mps") else a for a in args]
        result = copy(self, *args, **kwargs)
        does_not_wait = kwargs.get("non_blocking") or True in args[2:]
        return torch.zeros_like(result) if does_not_wait else result

    monkeypatch.setattr(torch.Tensor, "to", to)
    return torch.device("mps")


def test_the_pretended_device_loses_what_is_copied_without_waiting(late_device):
    assert torch.ones(3).to(late_device).sum() == 3
    assert torch.ones(3).to(late_device, non_blocking=True).sum() == 0


def test_pixels_embeddings_and_augmentation_survive_a_device_that_copies_late(late_device, monkeypatch):
    images = data.cached(data.load("omniglot", "test", classes=2), 28, progress=False)
    model = models.pretrained("sst")
    expected = embeddings.embed(model, images, "cpu")
    monkeypatch.setattr(embeddings, "choose_device", lambda name, float64: late_device)
    assert torch.equal(embeddings.embed(model, images), expected)

    read = [pixels for _, pixels in prefetch([[0, 1], [2], [3, 4]], images.gather, late_device)]
    assert torch.equal(torch.cat(read), images.gather(range(5)))


def test_augmentation_moves_its_parameters_by_the_same_rule(monkeypatch):
    asked = []
    monkeypatch.setattr(augment, "moved", lambda tensor, device: asked.append(device) or tensor)
    augmentation = data.Augmentation("crop", 28, (0.0,), (1.0,))
    params = augmentation.draw(5, torch.Generator().manual_seed(0))
    augmentation.apply(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), params)
    assert asked == [torch.device("cpu")]


def test_packed_images_survive_a_device_that_copies_late(late_device):
    images = data.cached(data.load("omniglot", "test", classes=2), 28, "short_side", progress=False)
    packed = images.gather(range(5))
    (_, moved_there), *_ = prefetch([range(5)], images.gather, late_device)
    for name in ("data", "offsets", "sizes"):
        assert torch.equal(getattr(moved_there, name), getattr(packed, name))


def test_a_delayed_scalar_is_not_read_before_it_has_arrived(late_device):
    assert DelayedScalar(torch.tensor(2.5)).read() == 2.5


def test_only_cuda_is_copied_to_without_waiting():
    class Recorder:
        def to(self, device, *, non_blocking):
            return device.type, non_blocking

    for kind in ("cuda", "mps", "cpu", "xpu"):
        assert moved(Recorder(), torch.device(kind)) == (kind, kind == "cuda")


@pytest.mark.parametrize(("device", "expected"), [("cuda", True), ("cpu", False)])
def test_what_makes_equal_trainings_equal_on_a_gpu_ends_with_the_training(device, expected):
    assert not torch.backends.cudnn.deterministic
    with contextlib.suppress(ZeroDivisionError), same_bits(torch.device(device)):
        assert torch.backends.cudnn.deterministic == expected
        raise ZeroDivisionError
    assert not torch.backends.cudnn.deterministic


FAULTS = """
import json, resource, torch
from dmlteach.device import keeping_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [torch.ones(1 << 22) for _ in range(20)]  # of 16 MB
    del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = [faults() for _ in range(3)]
with keeping_freed_memory(torch.device("cpu")):
    print(json.dumps([usual, [faults() for _ in range(3)]]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_what_a_step_on_a_cpu_frees_is_not_cleared_by_the_system_for_the_next():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    usual, kept = json.loads(done.stdout)
    assert max(kept[1:]) < min(usual) / 10
