"""Segmenters: which class each pixel of an image shows."""

from fitness.segmenters.base import Segmenter
from fitness.segmenters.parts import PartSegmenter

__all__ = ["PartSegmenter", "Segmenter"]
