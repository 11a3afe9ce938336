"""On a simulated device nothing mixes devices, and nothing is read back, which would make a device wait.

torch's fake tensors know device, dtype and shape, and have no values: "cuda" needs no GPU, and what would
read a value or needs one to know a shape (`.item()`, a boolean index) raises. autograd's engine asks for a
real CUDA device; so backward runs on "meta", which has no values either.
"""

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from dmlteach import losses
from dmlteach.data import augment
from dmlteach.data.augment import Augmentation
from dmlteach.data.cache import Packed
from dmlteach.interfaces import Tuples
from dmlteach.losses import clustering_loss
from dmlteach.objective import Objective
from dmlteach.objective.cross_batch_memory import CrossBatchMemory
from dmlteach.objective.das import DAS
from dmlteach.train.meter import Meter
from tests.losses.cases import DIM, create
from tests.losses.test_every_loss import FORMS, form_id

N, CLASSES = 24, 4
SEARCHING = "clustering"  # searches for its medoids on the CPU
ON_DEVICE = [form for form in FORMS if form[0] != SEARCHING]


class NothingComesBack(TorchDispatchMode):
    """Refuses copies from the device to the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = [a.device.type for a in args if isinstance(a, torch.Tensor)]
        if isinstance(result, torch.Tensor) and result.device.type == "cpu" and "cuda" in given:
            raise RuntimeError(f"{func} brings values back from the device.")
        return result


@contextlib.contextmanager
def simulated():
    with FakeTensorMode(), NothingComesBack():
        yield


def on_device(function, *args, **options):
    """What a function makes, its tensors on the simulated device."""
    with torch.device("cuda"):
        return function(*args, **options)


def batch(n=N, **options):
    z = torch.randn(n, DIM, device="cuda", **options)
    return z, torch.randint(CLASSES, (n,), device="cuda")


def test_statistics_from_a_checkpoint_and_those_of_the_device_have_one_mean():
    with FakeTensorMode():
        meter = Meter()
        meter.stats = [{"active_tuples": torch.zeros(())}, {"active_tuples": torch.zeros((), device="cuda")}]
        with pytest.raises(DataDependentOutputException):  # only at the number, which nothing has here
            meter.mean_stats()


@pytest.mark.parametrize(("name", "options"), ON_DEVICE, ids=form_id)
def test_every_loss_stays_on_the_device(name, options):
    with simulated():
        loss = on_device(create, name, **options)
        z, y = batch(requires_grad=True)
        values = [loss(z, y), loss(z.bfloat16(), y.int()), *loss.stats(z, y).values()]
        if "reference" in loss.uses:
            values.append(loss(z, y, reference=batch(40)))
        if "targets" in loss.uses:
            values.append(loss(z, y, tuples=Tuples(targets=torch.zeros_like(y)[:, None].expand(N, 3))))
        if "triplets" in loss.uses:
            values.append(loss(z, y, tuples=Tuples(triplets=torch.zeros(8, 3, device="cuda").long())))
        for value in values:
            assert value.device.type == "cuda" and value.shape == () and value.dtype == torch.float32


@pytest.mark.parametrize(("name", "options"), ON_DEVICE, ids=form_id)
def test_the_backward_pass_of_every_loss_reads_no_value(name, options, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # "meta" has none
    loss = create(name, **options).to("meta")
    z = torch.randn(N, DIM, device="meta", requires_grad=True)
    loss(z, torch.zeros(N, dtype=torch.int64, device="meta")).backward()
    assert z.grad.device.type == "meta" and z.grad.shape == (N, DIM)


def test_only_the_clustering_loss_searches_on_the_cpu_and_it_says_so():
    with pytest.raises(RuntimeError), simulated():
        on_device(create, SEARCHING)(*batch())
    assert "waited for" in clustering_loss.__doc__


@pytest.mark.parametrize("keep", ["last", "random"])
@pytest.mark.parametrize("normalize", [True, False])
def test_densely_anchored_sampling_stays_on_the_device(keep, normalize):
    with simulated():
        das = on_device(DAS, CLASSES, DIM, keep=keep, normalize=normalize)
        made, labels = das(*batch())
        assert made.device.type == labels.device.type == "cuda"
        assert made.shape == (4 * N, DIM) and labels.shape == (4 * N,)


def test_the_memory_stays_on_the_device():
    with simulated():
        memory = on_device(CrossBatchMemory, 50, DIM)
        (z, y), images = batch(), torch.arange(N, device="cuda")
        others, labels = memory.reference(images)
        memory.add(z, y, images)
        assert others.device.type == labels.device.type == memory.next_row.device.type == "cuda"


@pytest.mark.parametrize("name", [n for n in losses.names() if losses.LOSSES[n].compares == "examples"])
def test_the_objective_of_a_step_stays_on_the_device(name):
    if name == SEARCHING:
        return
    with simulated():
        loss = on_device(create, name)
        memory = on_device(CrossBatchMemory, 50, DIM) if "reference" in loss.uses else None
        objective = Objective(loss, on_device(DAS, CLASSES, DIM), auxiliary=True, memory=memory)
        value = objective(*batch(), torch.arange(N, device="cuda"), None, None)
        assert value.device.type == "cuda" and value.shape == ()


@pytest.fixture
def no_constants_kept():
    """The augmentation keeps its constants per device; simulated ones must not outlive the test."""
    yield
    augment._scale_and_offset.cache_clear()


@pytest.mark.parametrize("kind", ["crop", "drawing", "none", "resized_crop", "none of packed"])
def test_augmentation_stays_on_the_device(kind, no_constants_kept):
    augmentation = Augmentation(kind.split()[0], 28, (0.5,) * 3, (0.2,) * 3)
    with simulated():
        augment._scale_and_offset.cache_clear()
        params = augmentation.draw(N, None)  # on the CPU, for all processes alike
        if kind in ("resized_crop", "none of packed"):
            sizes = torch.full((N, 2), 40, device="cuda")
            offsets = torch.arange(N, device="cuda") * 40 * 40 * 3
            pictures = torch.zeros(N * 40 * 40 * 3, dtype=torch.uint8, device="cuda")
            images = Packed(pictures, offsets, sizes, channels=3, short_side=32)
        else:
            images = torch.zeros(N, 3, 32, 32, dtype=torch.uint8, device="cuda")
        pixels = augmentation.apply(images, params)
        assert pixels.device.type == "cuda" and pixels.shape == (N, 3, 28, 28)


PLANTED = {
    "a value is read": lambda z, y: z * z.sum().item(),
    "a condition on a value": lambda z, y: z if (y > 0).any() else -z,
    "a shape that depends on values": lambda z, y: z[y > 0],
    "an index that depends on values": lambda z, y: y.unique(),
    "a tensor of the CPU": lambda z, y: z * torch.ones(DIM),
    "labels compared with the CPU's": lambda z, y: y[:, None] == torch.arange(CLASSES),
    "a copy to the CPU": lambda z, y: z.cpu(),
    "a list of numbers": lambda z, y: y.tolist(),
}


@pytest.mark.parametrize("fault", PLANTED.values(), ids=PLANTED)
def test_what_would_wait_or_mix_devices_is_found_here(fault):
    found = (DataDependentOutputException, DynamicOutputShapeException, RuntimeError)
    with pytest.raises(found), simulated():
        fault(*batch())
