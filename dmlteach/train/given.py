"""A loss or sampler that is given as an object beside the options of a run, which then is not resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dmlteach import foreign
from dmlteach.errors import DMLTeachError
from dmlteach.train.config import TrainConfig

PARTS = ("loss", "sampler")


@contextmanager
def named(config: TrainConfig, loss: Any = None, sampler: Any = None) -> Iterator[TrainConfig]:
    """The options with a name for each object, by which it is found as long as the run is trained.

    Args:
        config: of the run.
        loss, sampler: objects; None: as the config or the recipe says.

    Raises:
        DMLTeachError: the config has a part of the kind, too; or the run is to be resumed.
    """
    objects = {part: given for part, given in zip(PARTS, (loss, sampler), strict=True) if given is not None}
    for part, given in objects.items():
        if isinstance(given, str):
            raise DMLTeachError(f"{part}= takes an object; a name goes into TrainConfig({part}={given!r}).")
        if isinstance(given, type):
            raise DMLTeachError(f"{part}={given.__name__} is a class: give an object, {given.__name__}(…).")
        for option in (part, f"{part}_options"):
            if getattr(config, option):
                raise DMLTeachError(
                    f"{option}={getattr(config, option)!r} was given beside {part}=, an object that has its "
                    "own: leave out one of the two."
                )
    size = getattr(sampler, "batch_size", config.batch_size)
    if config.batch_size not in (None, size):
        raise DMLTeachError(
            f"batch_size={config.batch_size} was given beside sampler=, an object whose batches hold {size}: "
            "leave it out."
        )
    if config.resume and objects:
        raise _not_resumed(" and ".join(objects))
    with foreign.under_names(objects) as names:
        yield replace(
            config, loss=names.get("loss", config.loss), sampler=names.get("sampler", config.sampler)
        )


def refuse_objects(folder: Path, options: dict[str, Any]) -> None:
    """Refuse to resume a run of which a part was an object.

    Args:
        folder: of the run.
        options: of the run, as its checkpoint keeps them.

    Raises:
        DMLTeachError: so it is.
    """
    objects = [part for part in PARTS if foreign.is_object(options.get(part))]
    if objects:
        raise _not_resumed(" and ".join(objects), f"the run in {folder} was made with such an object: ")


def check_sources(folder: Path, kept: dict[str, Any], config: TrainConfig) -> None:
    """Refuse to resume a run of which a part has another source now.

    Args:
        folder: of the run.
        kept: its checkpoint.
        config: with which it is resumed.

    Raises:
        DMLTeachError: so it is.
    """
    for part, now in sources(config).items():
        was = kept.get("sources", {}).get(part, now)
        if was["sha256"] != now["sha256"]:
            raise DMLTeachError(
                f"{now['file']}, which holds the {part} of the run in {folder}, has changed since the run "
                "was made: put it back as it was, or train on from the run's weights (--checkpoint "
                f"{folder}, another --output)."
            )


def sources(config: TrainConfig) -> dict[str, dict[str, str]]:
    """File and hash of each part of a run that is not ours.

    Args:
        config: of the run.
    """
    parts = {name: getattr(config, name) for name in (*PARTS, "backbone", "dataset")}
    return foreign.sources({**parts, "miner": config.loss_options.get("miner")})


def _not_resumed(parts: str, begin: str = "") -> DMLTeachError:
    return DMLTeachError(
        f"{begin}a {parts} given as an object is kept nowhere, so that its run cannot be resumed; write it "
        "into a file and name it, e.g. loss='mine.py:MyLoss', or train anew in another --output."
    )
