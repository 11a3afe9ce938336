"""What chapters ask their readers to predict before it is measured; no answer is wrong."""

from dmlteach.course.exercises.unmarked import PredictedChoice, Prediction

START_HERE = (
    Prediction(
        id="guess.recall",
        title="Recall@1 of four ways",
        question="Recall@1 among 100 characters, in percent",
        parts={
            "guessing": "guessing",
            "untrained": "an untrained network",
            "softmax": "a classifier without its last layer",
            "sst": "the network of the picture above",
        },
        unit="%",
    ),
)

PAIRS_AND_TRIPLETS = (
    Prediction(
        id="guess.active_triplets",
        title="Triplets that still teach",
        question="share of random triplets that tell the network anything, in percent",
        parts={"before": "before the training", "after": "after a few passes over the data"},
        unit="%",
    ),
)

SST_GRADIENTS = (
    Prediction(
        id="guess.pushes",
        title="Who is pushed",
        question="shares of triplets, in percent",
        parts={
            "opposed": "active triplets in which the two pushes are opposed",
            "triplet": "random triplets still pushed at the end, triplet loss",
            "sst": "random triplets still pushed at the end, SST",
        },
        unit="%",
    ),
)

BATCHES = (
    Prediction(
        id="guess.confusable",
        title="Confusable drawings",
        question="confusable drawings that an anchor meets in a batch of 32, on average",
        parts={
            "random": "in a random batch",
            "local": "in a neighborhood",
            "later": "in a neighborhood, after training",
        },
        unit="",
        most=31,
    ),
    PredictedChoice(
        id="guess.active_near",
        title="Active triplets in a neighborhood",
        question="the share of active triplets in a neighborhood of the untrained network",
        options={
            "a": "larger than in a random batch",
            "b": "about the same (5 points apart at most)",
            "c": "smaller than in a random batch",
        },
    ),
)

WEIGHTING = (
    Prediction(
        id="guess.nearer_than_1",
        title="Negatives nearer than 1",
        question="how many of 1,000 random negatives are nearer to the anchor than 1",
        parts={"2": "in 2 dimensions", "128": "in 128 dimensions"},
        unit="",
        most=1000,
    ),
)

TEMPERATURE = (
    Prediction(
        id="guess.sharing",
        title="Who shares the push",
        question="as if how many of the 60 negatives shared the push at a temperature of 0.1",
        parts={"untrained": "in an untrained network", "trained": "in a trained one"},
        unit="",
        least=1,
        most=60,
    ),
)

PROXIES = (
    Prediction(
        id="guess.above",
        title="How many of the eight",
        question="how many of the eight losses end above a loss on pairs, so that the seeds can tell",
        parts={"triplet": "above the triplet loss", "multi_similarity": "above multi-similarity"},
        unit="",
        most=8,
    ),
)

FILLING_THE_SPACE = (
    Prediction(
        id="guess.exact_copies",
        title="Copies in which nothing is new",
        question="share of DAS's gain at the learning rate 0.0003 that exact copies have, in percent",
        parts={"share": "exact copies"},
        unit="%",
        most=1000,
    ),
)

ENSEMBLES = (
    PredictedChoice(
        id="guess.three_weak",
        title="Three weak against one strong",
        question="Recall@1 of three weak embeddings side by side, beside one of the same size",
        options={
            "a": "higher",
            "b": "cannot be told by a few seeds",
            "c": "lower",
        },
    ),
)

TRAINING = (
    PredictedChoice(
        id="guess.slowest",
        title="Where the time goes",
        question="the part of a training step that takes the most time",
        options={
            "a": "reading the images",
            "b": "augmenting them",
            "c": "forward",
            "d": "the loss",
            "e": "backward",
            "f": "the optimiser",
        },
    ),
    Prediction(
        id="guess.pairs_left",
        title="Pairs that are still compared",
        question="share of the pairs that is still compared, in percent",
        parts={"two": "on two processes"},
        unit="%",
    ),
)

LOOKING = (
    Prediction(
        id="guess.islands",
        title="Islands",
        question="Recall@1 among 100 characters, in percent",
        parts={
            "noise": "in the noise",
            "untrained network": "in the untrained network's embedding",
            "SST": "in SST's",
        },
        unit="%",
    ),
)

COMPARING = (
    Prediction(
        id="guess.three",
        title="Three differences",
        question="differences of Recall@1, in points",
        parts={
            "methods": "between the best method and the tenth best",
            "seeds": "between the seeds of one method",
            "networks": "between the networks of one method, as published",
        },
        unit="points",
    ),
    PredictedChoice(
        id="guess.rates",
        title="Another learning rate",
        question="what another learning rate changes",
        options={
            "a": "more than lies between the best method and the tenth",
            "b": "less than lies between the best method and the tenth",
        },
    ),
    Prediction(
        id="guess.contains",
        title="One standard deviation",
        question="how often mean ± s of three seeds contains the true mean, in percent",
        parts={"s": "of all such experiments"},
        unit="%",
    ),
    Prediction(
        id="guess.by_luck",
        title="By luck alone",
        question="points between the best and the worst mean of equal methods",
        parts={"luck": "on average"},
        unit="points",
    ),
)
