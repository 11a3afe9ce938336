"""What to know of a method before its numbers: what to tune beside the rate, when to use it, and when not.

Sentences true to the sources; how a method ranks and in which range to tune it is measured.
"""

from typing import NamedTuple


class Advice(NamedTuple):
    """Sentences on a method."""

    tune: str  # beside the learning rate
    use: str  # when
    avoid: str  # when not


ADVICE: dict[str, Advice] = {
    "sst": Advice(
        "The scale of the features (`--head-option feature_scale=…`): the loss has no margin, and the "
        "scale of the embedding is its temperature.",
        "To fine-tune a pre-trained network in batches of neighbors, with no margin to choose and no vectors "
        "of classes to learn.",
        "In random batches: most triplets are easy there, and few anchors have a positive.",
    ),
    "triplet": Advice(
        "The margin, in squared distance: it must suit the scale of the embedding, which is not normalized.",
        "As the baseline that other tuple losses are explained by, in batches of neighbors or with several "
        "images of each class.",
        "In random batches of many classes: few anchors have a positive there.",
    ),
    "contrastive": Advice(
        "The margin: negatives farther apart than it teach nothing, so it must suit the first distances.",
        "Where pairs are all that is known, or a memory of earlier batches is to join (`--memory`).",
        "For classes that spread differently: every positive pair is drawn to a distance of 0.",
    ),
    "semihard": Advice(
        "The margin, which is also the width of the band in which negatives count.",
        "For a triplet loss that does not collapse from its hardest negatives, on the unit sphere.",
        "In small batches: few triplets lie in the band.",
    ),
    "lifted": Advice(
        "The margin, in distances of an embedding that is not normalized.",
        "To let each positive pair see all negatives of both of its images.",
        "With wrong labels: the nearest negatives weigh most, and a mislabeled image is one of them.",
    ),
    "lifted_modified": Advice(
        "`alpha`, how much more the nearest negatives weigh.",
        "For a smooth loss over all pairs of a batch, on cosines.",
        "To repeat the published lifted structure: this is what a public benchmark made of it.",
    ),
    "binomial_deviance": Advice(
        "`negative_cost`: a batch holds far more negative pairs than positive ones.",
        "For a simple smooth loss on cosines in which all pairs count.",
        "Where most negatives are easy: they count like the others.",
    ),
    "margin": Advice(
        "`alpha`, half of the gap between positives and negatives, and the rate of the boundary that is "
        "learned (`--rate-factor loss=…`).",
        "For pairs on the sphere with negatives drawn evenly over the distances, instead of the hardest.",
        "With embeddings of few numbers: the weights of its sampling assume a sphere of many dimensions.",
    ),
    "nca": Advice(
        "`scale`, the inverse of a temperature of squared distances.",
        "For classes of several looks: an image needs some near neighbor of its class, not all of them.",
        "In small batches: the neighbors are those of the batch.",
    ),
    "weight": Advice(
        "`base`, the similarity at which positives and negatives meet.",
        "To compare with the public benchmark that names it beside its best rows.",
        "Where a source must be certain: its code was never published, and `multi_similarity` is the "
        "published relative.",
    ),
    "multi_similarity": Advice(
        "`base`, the similarity around which pairs begin to weigh; then `epsilon`, by which they are mined.",
        "In batches with several images of each class, where hard pairs should weigh most; a memory "
        "can join it.",
        "In random batches of many classes: pairs are mined by comparison with the anchor's positives.",
    ),
    "clustering": Advice(
        "`gamma`, how much the margin grows with a wrong clustering.",
        "Where good clusters of whole classes are the aim.",
        "Where time counts: each step searches for the most violating clustering.",
    ),
    "hdc": Advice(
        "`hard_ratios`, the share of hard pairs at each depth, and the margin.",
        "In deep networks, whose inner layers tell easy pairs apart by themselves.",
        "Where one short embedding is wanted: it joins those of three depths.",
    ),
    "bier": Advice(
        "`negative_cost`, and the learners of the head (`--head-option`).",
        "For large embeddings, whose numbers say much the same: boosted learners share them.",
        "For short embeddings: each learner gets a part.",
    ),
    "abier": Advice(
        "`negative_cost`, and the weight of the diversity of the learners (`--head-option`).",
        "As `bier`, with learners that an adversary keeps different all through the training.",
        "In short trainings: the adversary has to learn as well.",
    ),
    "proxy_nca": Advice(
        "`scale`, and the rate of the proxies (`--rate-factor loss=…`).",
        "In small or random batches: an image is compared with one vector of each class.",
        "With very many classes of few images: each has a vector to learn.",
    ),
    "proxy_anchor": Advice(
        "The rate of the proxies (`--rate-factor loss=…`); then `alpha`, how much more hard images weigh.",
        "In random batches, where a proxy should learn from all images of the batch at once.",
        "With very many classes of few images: each has a vector to learn.",
    ),
    "smart_mining": Advice(
        "`kappa` of the sampler, how hard the mined triplets are; then `lambda_`.",
        "Where hard triplets should come from all training images, and not from one batch.",
        "Where time counts: neighbors of all images are searched before each epoch.",
    ),
    "htl": Advice(
        "`beta`, the constant part of the margin.",
        "For classes that form groups: the margin follows a tree of the classes, and batches join near ones.",
        "In short trainings: the tree is built anew for each epoch, and the first epoch has none.",
    ),
    "normalized_softmax": Advice(
        "`temperature` of the cosines.",
        "As a classifier in the geometry of retrieval.",
        "With very many classes of few images: each has a vector to learn.",
    ),
    "n_pair": Advice(
        "`l2`, which keeps the embedding short: nothing else bounds it.",
        "In batches of many classes with two images each.",
        "Where retrieval compares directions: the loss compares inner products, which grow with the length.",
    ),
    "soft_triple": Advice(
        "`scale`; then the number of centers of a class.",
        "For classes of several looks: each has several centers.",
        "With few images of a class: a center then stands for a single image.",
    ),
    "supcon": Advice(
        "`temperature` of the cosines.",
        "In batches where an anchor has several positives.",
        "In random batches of many classes: most anchors have no positive.",
    ),
    "circle": Advice(
        "`gamma`, how sharply pairs are weighed; then the margin, which sets the aims of all pairs.",
        "Where pairs far from their aim should move faster than those near it.",
        "As a first loss to explain: aims and weights of pairs hang on one margin.",
    ),
    "arcface": Advice(
        "The margin, from a small one upwards, and `scale`.",
        "For many images of each class, as of faces, with a gap between the classes.",
        "From random weights with the published margin: at first nothing is classified right with it.",
    ),
    "angular": Advice(
        "`alpha`, the angle that bounds a triplet.",
        "Where the bound should not depend on the scale of distances.",
        "By itself where it learns slowly: its authors join it to N-pairs (`--loss-option npair_weight=…`).",
    ),
    "histogram": Advice(
        "`num_nodes`: there is nothing else.",
        "Where no margin and no weight of pairs should be chosen.",
        "In small batches: both histograms are estimated from the pairs of the batch.",
    ),
    "fast_ap": Advice(
        "The size of the batch; then `num_bins`.",
        "Where average precision itself is the aim, with large batches.",
        "In small batches: the lists that are ranked are short.",
    ),
    "ranked_list": Advice(
        "The margin between both bounds; then `temperature`, how much more near negatives weigh.",
        "For classes that should keep their spread: positives are drawn into a ball, not onto a point.",
        "With two images of a class in a batch: there is no spread to keep.",
    ),
    "smooth_ap": Advice(
        "`temperature`, how sharply ranks are counted.",
        "Where average precision itself is the aim.",
        "With very large batches: its cost grows with their cube.",
    ),
    "softmax": Advice(
        "The rate of its last layer (`--rate-factor loss=…`).",
        "First: it is the baseline that a metric loss has to beat.",
        "With very many classes of few images: each has a row of the last layer to learn.",
    ),
}
