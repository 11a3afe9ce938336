"""Random batches: a shuffled data set cut into pieces."""

from dmlteach.interfaces import Sampler


class Random(Sampler):
    """Each epoch shuffles all images and cuts them into full batches.

    The rest that does not fill a batch (fewer than `batch_size` images, others each epoch) is dropped.
    """

    def _compose(self, rng, space, last_loss):
        num_batches = len(self.labels) // self.batch_size
        shuffled = rng.permutation(len(self.labels))[: num_batches * self.batch_size]
        report = {"batches": num_batches, "coverage": len(shuffled) / len(self.labels)}
        return list(shuffled.reshape(num_batches, self.batch_size)), None, report
