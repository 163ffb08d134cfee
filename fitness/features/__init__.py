"""Feature spaces: what sets of images are compared in.

====================== ====== ========================================== =========================
name                   D      images that it is for                      weights from
====================== ====== ========================================== =========================
`inception`            2048   natural, colour; published FID figures     a file, SHA-256 verified
`classifier`           128    small or grey, labelled                    trained on the data
`stacked`              384    labelled layers as colours: `classifier`   trained on the layers
`efficientnet-lite0`   1280   natural, colour, where Inception is absent optional packages
`pixels`               C*H*W  points of mixtures, tests                  none
`package.module:Name`  any    whatever its author says                   its author
====================== ====== ========================================== =========================
"""

from fitness.features.base import FeatureSpace, Progress, WeightsError

SPACES = ("classifier", "efficientnet-lite0", "inception", "pixels")

__all__ = ["SPACES", "FeatureSpace", "Progress", "WeightsError"]
