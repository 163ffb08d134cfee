"""Segmenters: which class each pixel of an image shows."""

from fitness.segmenters.base import Segmenter
from fitness.segmenters.colours import ColourSegmenter
from fitness.segmenters.evidence import EvidenceSegmenter
from fitness.segmenters.module import ModuleSegmenter
from fitness.segmenters.parts import PartSegmenter

SEGMENTERS = ("parts", "colours", "classes")

__all__ = [
    "SEGMENTERS",
    "ColourSegmenter",
    "EvidenceSegmenter",
    "ModuleSegmenter",
    "PartSegmenter",
    "Segmenter",
]
