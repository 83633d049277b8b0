"""LORS-AdaMixer object detection for MMDetection 3.x.

Importing this package registers nothing; ``lors_det.plugin`` registers the models, datasets and hooks.

Symbols used in every docstring:

======  =====================================================================
B       images of a batch
Q       queries of an image
S       decoder stages; i counts them
D       width of a query (256)
G       channel groups; g counts them
C       channels of a group, D / G
P       points that a group samples
O       output points of the spatial mixing
R       rank of a residual
K       parameter groups of a residual (of stage i); k counts them
L       pyramid levels; level l has stride s_l, height H_l and width W_l
N       classes
T       any leading dimensions, flattened (B * Q where nothing else is said)
xyxy    box corners (x1, y1, x2, y2), pixels of the network's input
xyzr    box as centre (x, y) in pixels, z = log2 sqrt(w h), r = log2(h / w)
======  =====================================================================

Papers: LORS, "Low-rank Residual Structure for Parameter-Efficient Network Stacking" (CVPR 2024), and
AdaMixer, "A Fast-Converging Query-Based Object Detector" (CVPR 2022).
"""

__version__ = "0.1.0"
