"""Generates the synthetic detection set (COCO format): python tools/make_shapes.py [FOLDER]"""

import argparse
import sys
from pathlib import Path

from lors_det.data.shapes import generate_shapes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("data/shapes"), help="folder of the set")
    parser.add_argument("--num-train", type=int, default=2000, help="images of the split train")
    parser.add_argument("--num-val", type=int, default=250, help="images of the split val")
    parser.add_argument("--image-size", type=int, default=128, help="side of the square images in pixels")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other images")
    args = parser.parse_args()
    try:
        generate_shapes(
            args.out,
            num_train=args.num_train,
            num_val=args.num_val,
            image_size=args.image_size,
            seed=args.seed,
        )
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {args.num_train} train and {args.num_val} val images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
