"""What networks make of a data set, as a paper shows it: the nearest images of some queries, and a map."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from dmlteach import data
from dmlteach.data import ImageDataset
from dmlteach.metrics import recall_at_k
from dmlteach.plots.retrieval import pick_queries, retrieval_grid, top_neighbours
from dmlteach.plots.style import Picture
from dmlteach.plots.tsne import kept_neighbours, tsne, tsne_map

QUERIES, NEAREST = 7, 4
NEIGHBORHOOD = 10  # images, of which a map keeps a share
HIGHLIGHTS = 8  # classes that stand out on a map
THUMBNAIL = {1: 28, 3: 64}  # pixels on a map, by channels
INCHES = {1: 0.62, 3: 1.0}  # of an image in a grid, by channels


class Stored:
    """Images of a data set by row, as they are stored: a grid needs a few of thousands."""

    def __init__(self, dataset: ImageDataset):
        self.dataset = dataset

    def __getitem__(self, row: int) -> Tensor:
        return self.dataset[row][0]


def retrieval(
    embeddings: Mapping[str, Tensor],
    dataset: ImageDataset,
    queries: int = QUERIES,
    seed: int = 0,
) -> Picture:
    """Some queries and the images nearest to each, under one network or several side by side.

    Args:
        embeddings: (M, D) of all images of the data set, by the name of the network.
        dataset: M images.
        queries: how many, of different classes.
        seed: of their choice.

    Returns:
        The figure; beside each name stands Recall@1 among all classes of the data set. Of fewer than five
        images all others are shown.

    Raises:
        DMLTeachError: fewer classes could be asked for.
    """
    chosen = pick_queries(dataset.labels, min(queries, _with_two(dataset)), seed)
    found = {}
    for name, z in embeddings.items():
        recall = recall_at_k(z, dataset.labels, ks=(1,))[1]
        found[f"{name}, Recall@1 {recall:.2f}"] = top_neighbours(z, chosen, _others(dataset, NEAREST))
    figure = retrieval_grid(
        Stored(dataset), dataset.labels, chosen, found, thumbnail=INCHES[dataset.channels]
    )
    figure.alt += f" Recall@1 is among {dataset.num_classes} classes."
    return figure


def embedding_map(embeddings: Tensor, dataset: ImageDataset, seed: int = 0) -> Picture:
    """A Barnes-Hut t-SNE map of all images, with thumbnails where there is room.

    Args:
        embeddings: (M, D).
        dataset: M images.
        seed: of the map.

    Returns:
        The figure; its alt text says how much of the neighbourhoods the map keeps.

    Raises:
        DMLTeachError: fewer than five images, or an embedding that is not finite.
    """
    points = tsne(embeddings, seed=seed)
    kept = kept_neighbours(embeddings, points, _others(dataset, NEIGHBORHOOD))
    return with_thumbnails(points, dataset, kept)


def with_thumbnails(points, dataset: ImageDataset, kept: float) -> Picture:
    """The map of points that are there.

    Args:
        points: (M, 2).
        dataset: M images.
        kept: share of each image's 10 nearest neighbours that the map keeps, of all others where they are
            fewer.
    """
    thumbnails = data.cached(dataset, THUMBNAIL[dataset.channels]).gather(range(len(dataset.labels)))
    highlight = range(min(HIGHLIGHTS, dataset.num_classes))
    figure = tsne_map(points, dataset.labels, cast(Tensor, thumbnails), highlight=highlight)
    k = _others(dataset, NEIGHBORHOOD)
    figure.alt += f" The map keeps {kept:.0%} of each image's {k} nearest neighbours in the embedding."
    return figure


def _others(dataset: ImageDataset, most: int) -> int:
    """How many nearest images can be shown of each."""
    return min(most, len(dataset.labels) - 1)


def _with_two(dataset: ImageDataset) -> int:
    """How many classes have an image to find."""
    return int((torch.bincount(dataset.labels) > 1).sum())
