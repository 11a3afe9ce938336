"""A model is a backbone and an embedding head: images (N, C, H, W) → embeddings (N, D)."""

from dmlteach.models.backbones import OmniglotCNN, usual_weights
from dmlteach.models.bier import BIERHead, initialize_heads
from dmlteach.models.files import MODEL_FILE, SHIPPED, card, load, pretrained, save
from dmlteach.models.heads import CascadeHead, Head, LinearHead
from dmlteach.models.model import HEADS, Model, Spec, create

__all__ = [
    "HEADS",
    "MODEL_FILE",
    "SHIPPED",
    "BIERHead",
    "CascadeHead",
    "Head",
    "LinearHead",
    "Model",
    "OmniglotCNN",
    "Spec",
    "card",
    "create",
    "initialize_heads",
    "load",
    "pretrained",
    "save",
    "usual_weights",
]
