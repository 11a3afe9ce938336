"""What chapters ask their readers to predict before it is measured; no answer is wrong."""

from dmlteach.course.exercises.unmarked import PredictedChoice, Prediction

HIGHER_OR_LOWER = {"a": "higher", "b": "cannot be told by a few seeds", "c": "lower"}

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
    PredictedChoice(
        id="guess.plane",
        title="Twelve points in the plane",
        question="where the points of a class end on top of each other",
        options={
            "a": "under the contrastive loss alone",
            "b": "under the triplet loss alone, with both margins",
            "c": "under both losses, with all margins",
        },
    ),
)

SST_GRADIENTS = (
    PredictedChoice(
        id="guess.opposed",
        title="Opposed pushes",
        question="where, between a and p, the two losses push n in opposite directions",
        options={
            "a": "in the half nearer to a",
            "b": "in the half nearer to p",
            "c": "in all of it, or in a part of both halves",
            "d": "nowhere",
        },
    ),
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
            "local": "in a neighbourhood",
            "later": "in a neighbourhood, after training",
        },
        unit="",
        most=31,
    ),
    PredictedChoice(
        id="guess.active_near",
        title="Active triplets in a neighbourhood",
        question="the share of active triplets in a neighbourhood of the untrained network",
        options={
            "a": "larger than in a random batch",
            "b": "about the same (10 points apart at most)",
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
    PredictedChoice(
        id="guess.ends",
        title="The smallest and the largest temperature",
        question="which of the two temperatures ends with the higher Recall@1",
        options={
            "a": "the smallest, 0.003",
            "b": "the largest, 1",
        },
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
    PredictedChoice(
        id="guess.below_zero",
        title="Below zero",
        question="where the loss ends, on the sphere",
        options={
            "a": "above 0, with the own proxy in the sum and without",
            "b": "above 0 with the own proxy in the sum, below 0 without",
            "c": "below 0 with the own proxy in the sum, above 0 without",
            "d": "below 0 in both",
        },
    ),
)

FILLING_THE_SPACE = (
    PredictedChoice(
        id="guess.das",
        title="With DAS",
        question="Recall@1 with DAS, beside that without",
        options=HIGHER_OR_LOWER,
    ),
    PredictedChoice(
        id="guess.das_detached",
        title="With DAS, detached",
        question="Recall@1 with detached copies, beside that without DAS",
        options=HIGHER_OR_LOWER,
    ),
    Prediction(
        id="guess.new_points",
        title="New points in a real embedding",
        question="shares of new points, and of the distance to the nearest classmate, in percent",
        parts={
            "keeps_birds": "as for birds: points nearest to their own character",
            "way_birds": "as for birds: the way that a new point has gone",
            "keeps_products": "as for products: points nearest to their own character",
            "way_products": "as for products: the way that a new point has gone",
        },
        unit="%",
    ),
    PredictedChoice(
        id="guess.forces",
        title="Forces that sum to zero",
        question="for which loss the forces sum to zero if copies are detached",
        options={
            "a": "for the contrastive loss alone",
            "b": "for the triplet loss alone",
            "c": "for both",
            "d": "for none",
        },
    ),
    PredictedChoice(
        id="guess.drift",
        title="How far it drifts",
        question="length of the mean of all embeddings with detached copies, beside that with DAS",
        options={
            "a": "less than twice as long",
            "b": "from twice to ten times as long",
            "c": "more than ten times as long",
        },
    ),
    Prediction(
        id="guess.exact_copies",
        title="Copies in which nothing is new",
        question="share of DAS's gain at the learning rate 0.0003 that exact copies have, in percent",
        parts={"share": "exact copies"},
        unit="%",
        most=1000,
    ),
    PredictedChoice(
        id="guess.best_rates",
        title="Each at its best rate",
        question="where DAS ends beside exact copies and none, each at the rate that suits it best",
        options={
            "a": "above both",
            "b": "cannot be told from at least one of them by a few seeds, and below neither",
            "c": "below one of them",
        },
    ),
)

ENSEMBLES = (
    PredictedChoice(
        id="guess.three_weak",
        title="Three weak against one strong",
        question="Recall@1 of three weak embeddings side by side, beside one of the same size",
        options=HIGHER_OR_LOWER,
    ),
    PredictedChoice(
        id="guess.alike",
        title="Who errs alike",
        question="whose errors are more alike",
        options={
            "a": "those of three heads on one network",
            "b": "those of three networks",
            "c": "cannot be told by a few seeds",
        },
    ),
    PredictedChoice(
        id="guess.side_by_side",
        title="Side by side, as they are",
        question="Recall@1 of the three side by side, beside the best of them",
        options={
            "a": "more than one point higher",
            "b": "within one point",
            "c": "more than one point lower",
        },
    ),
    Prediction(
        id="guess.above_its_loss",
        title="Above the loss it is made of",
        question="how many of HDC, BIER and A-BIER end above their loss, so that the seeds can tell",
        parts={"three": "of the three"},
        unit="",
        most=3,
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
    PredictedChoice(
        id="guess.shares",
        title="Cards or blocks",
        question="which way of cutting the batch does less harm, on two processes",
        options={
            "a": "dealing it out like cards",
            "b": "cutting it into blocks",
        },
    ),
)

LOOKING = (
    PredictedChoice(
        id="guess.two_maps",
        title="Two maps",
        question="which network is better",
        options={
            "a": "that of map A",
            "b": "that of map B",
            "c": "neither",
        },
    ),
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
    Prediction(
        id="guess.trained_classes",
        title="Trained classes in the test set",
        question="1. by how many points one more layer moves Recall@1 (with a minus where it falls)",
        parts={
            "fitted": "among the 50 characters it is fitted to",
            "others": "among the 50 others",
            "all": "among all 100",
        },
        unit="points",
        least=-100.0,
    ),
    Prediction(
        id="guess.leak",
        title="A query among its own results",
        question="2. how many points a query that finds itself adds to MAP@R",
        parts={"untrained": "for the untrained network", "sst": "for SST"},
        unit="points",
    ),
    Prediction(
        id="guess.signs",
        title="Four signs",
        question="3. Recall@1 of SST among 100 characters by four signs, in percent",
        parts={"four": "as the library counts"},
        unit="%",
    ),
    PredictedChoice(
        id="guess.winners",
        title="Three metrics, three winners",
        question="4. whom Recall@1, MAP@R and NMI name the best of three embeddings",
        options={"a": "each metric can name another one", "b": "two of them at least always agree"},
    ),
    PredictedChoice(
        id="guess.ahead",
        title="The untrained network ahead",
        question="5. a fair-looking test in which the untrained network is ahead of SST",
        options={"a": "there is one", "b": "there is none"},
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
    PredictedChoice(
        id="guess.local_random",
        title="SST in local batches",
        question="beside the triplet loss in random batches",
        options=HIGHER_OR_LOWER,
    ),
    PredictedChoice(
        id="guess.local_local",
        title="SST in local batches, once more",
        question="beside the triplet loss in local batches",
        options=HIGHER_OR_LOWER,
    ),
)
