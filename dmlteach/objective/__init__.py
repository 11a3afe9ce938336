"""What a training step minimizes: DAS, then the loss, then the loss against a memory of batches."""

from dmlteach.objective.cross_batch_memory import CrossBatchMemory
from dmlteach.objective.das import DAS
from dmlteach.objective.objective import Objective

__all__ = ["DAS", "CrossBatchMemory", "Objective"]
