"""What `load` and ImageDataset promise for every data set, shown on Omniglot."""

import pytest
import torch
from torch.utils.data import DataLoader

from dmlteach import data
from dmlteach.data import load
from dmlteach.errors import DMLTeachError


def test_names_are_what_load_knows():
    assert data.names() == ["cars196", "cub200", "domainnet", "folder", "inshop", "omniglot", "sop"]


def test_a_mistyped_data_set_split_or_option_gets_a_suggestion():
    with pytest.raises(DMLTeachError, match="did you mean 'omniglot'"):
        load("omniglott", "train")
    with pytest.raises(DMLTeachError, match="did you mean 'train'"):
        load("omniglot", "trian")
    with pytest.raises(DMLTeachError, match="did you mean 'rotations'"):
        load("omniglot", "train", rotation=True)
    with pytest.raises(DMLTeachError, match="Known: .*cub200"):
        data.check("birds")


def test_an_option_of_another_data_set_is_refused():
    with pytest.raises(DMLTeachError, match="test_fraction"):
        load("omniglot", "train", test_fraction=0.5)


def test_a_domain_is_refused_where_there_is_one_only():
    with pytest.raises(DMLTeachError, match="one domain"):
        load("cub200", "train", "anywhere", domain="sketch")


def test_fit_and_val_divide_the_classes_of_train():
    train, fit, val = (load("omniglot", split) for split in ("train", "fit", "val"))
    assert set(fit.class_names) | set(val.class_names) == set(train.class_names)
    assert not set(fit.class_names) & set(val.class_names)
    assert len(fit) + len(val) == len(train)
    assert val.num_classes == round(0.2 * train.num_classes)
    for part in (fit, val):
        assert part.labels.unique().tolist() == list(range(part.num_classes))


def test_a_picture_keeps_its_class_name_in_fit_and_val():
    train, val = load("omniglot", "train"), load("omniglot", "val")
    image, label = val[37]
    row = train.class_names.index(val.class_names[label]) * 20 + 37 % 20
    assert torch.equal(train[row][0], image)


def test_fit_and_val_depend_on_the_seed_and_the_fraction():
    val = load("omniglot", "val")
    assert load("omniglot", "val", seed=0).class_names == val.class_names
    assert load("omniglot", "val", seed=1).class_names != val.class_names
    assert load("omniglot", "val", val_fraction=0.5).num_classes == 482
    with pytest.raises(DMLTeachError, match="between 0 and 1"):
        load("omniglot", "val", val_fraction=1.5)
    with pytest.raises(DMLTeachError, match="whole number"):
        load("omniglot", "val", seed="one")


def test_chosen_classes_are_relabelled_in_the_order_given():
    train = load("omniglot", "train")
    some = load("omniglot", "train", classes=[7, 3])
    assert some.class_names == [train.class_names[7], train.class_names[3]]
    assert len(some) == 40
    assert torch.equal(some[0][0], train[60][0]) and some[0][1] == 1  # of class 3, now 1
    assert load("omniglot", "train", classes=2).class_names == train.class_names[:2]
    assert train.subset_classes([7]).subset_classes([0]).class_names == [train.class_names[7]]


def test_the_first_classes_are_all_where_there_are_no_more():
    train = load("omniglot", "train", classes=5)
    assert train.first_classes(3).class_names == train.class_names[:3]
    assert len(train.first_classes(3)) == 60
    for count in (None, 5, 6):
        assert train.first_classes(count) is train


@pytest.mark.parametrize("classes", [[0, 964], [-1], [2, 2], [], 965, 0])
def test_classes_that_do_not_exist_are_refused(classes):
    with pytest.raises(DMLTeachError, match="between 0 and 963"):
        load("omniglot", "train", classes=classes)


def test_classes_are_numbers_not_text():
    for classes in ("12", ["Arcadian"]):
        with pytest.raises(DMLTeachError, match="number of classes or a list of labels"):
            load("omniglot", "train", classes=classes)


def test_the_fingerprint_tells_different_contents_apart():
    every = [
        load("omniglot", "train"),
        load("omniglot", "test"),
        load("omniglot", "fit"),
        load("omniglot", "train", rotations=True),
        load("omniglot", "train", classes=[0, 1]),
        load("omniglot", "train", classes=[1, 0]),
    ]
    assert len({dataset.fingerprint for dataset in every}) == len(every)
    assert load("omniglot", "train").fingerprint == every[0].fingerprint


def test_it_works_in_any_data_loader():
    dataset = load("omniglot", "test", classes=3)
    batches = list(DataLoader(dataset, batch_size=32))
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.labels)
    assert batches[0][0].shape == (32, 1, 105, 105)


def test_indices_count_from_the_end_and_stop_at_the_size():
    dataset = load("omniglot", "test", classes=1)
    assert torch.equal(dataset[-1][0], dataset[19][0])
    with pytest.raises(IndexError):
        dataset[20]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 5, 1], "from 0 to 5 for 2 class names: labels must be 0 … 1"),
        ([0, -2, 1], "from -2 to 1"),
        (["a", "b", "a"], "words become numbers"),
    ],
)
def test_labels_without_a_class_are_refused_before_a_device_could_see_them(labels, message):
    drawings = load("omniglot", "test", classes=1).source.take(torch.arange(3))
    with pytest.raises(DMLTeachError, match=message):
        data.ImageDataset("mine", "train", drawings, labels, ["a", "b"], shareable=True)
    assert (
        data.ImageDataset("mine", "train", drawings, [1, 0, 1], ["a", "b"], shareable=True).num_classes == 2
    )
