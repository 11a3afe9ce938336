"""The device by its name."""

import pytest
import torch

from dmlteach.device import choose_device
from dmlteach.errors import DMLTeachError


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
