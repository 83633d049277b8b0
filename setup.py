"""Package of lors_det: version ranges and extras; requirements.txt holds the pinned set that is tested."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "lors_det" / "__init__.py").read_text(encoding="utf-8")).group(1)

setup(
    name="lors_det",
    version=VERSION,
    description="LORS-AdaMixer object detection for MMDetection 3.x: decoder stages that share weights",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["lors_det", "lors_det.*"]),
    # OpenCV is mmcv's choice: it comes as several distributions, of which one may be installed.
    # mmengine, mmcv and mmdet are left out on purpose: full mmcv, mmcv-lite and the OneDL forks carry different
    # distribution names for the same modules, and any of them will do. The extra "mm" installs the tested ones.
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "numpy>=1.24",
        "scipy>=1.10",
        "matplotlib>=3.7",
        "pycocotools>=2.0.7",
        "setuptools<82",  # mmengine imports pkg_resources, which later ones lack
    ],
    extras_require={
        "mm": ["mmengine>=0.10.4,<1", "mmcv-lite>=2.1,<2.2", "mmdet>=3.3,<4"],
        "dev": ["pytest>=8", "ruff>=0.6"],
    },
)
