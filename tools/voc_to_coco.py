"""Converts one split of a Pascal VOC set: python tools/voc_to_coco.py VOC_ROOT OUT_JSON --split train

Without --classes every split gets the same categories: all names in the set, sorted.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lors_det.data.voc import convert_voc


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voc_root", type=Path, metavar="VOC_ROOT", help="holds Annotations, ImageSets, JPEGImages")
    parser.add_argument("out", type=Path, metavar="OUT_JSON")
    parser.add_argument("--split", required=True, help="name of a list in ImageSets/Main")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="categories in this order")
    parser.add_argument("--difficult", choices=("crowd", "keep", "drop"), default="crowd")
    args = parser.parse_args()
    try:
        coco, dropped = convert_voc(args.voc_root, args.split, classes=args.classes, difficult=args.difficult)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{args.out.name}-", dir=args.out.parent) as scratch:
            part = Path(scratch) / args.out.name
            part.write_text(json.dumps(coco))
            os.replace(part, args.out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = Counter(annotation["category_id"] for annotation in coco["annotations"])
    boxes = ", ".join(f"{c['name']} {counts[c['id']]}" for c in coco["categories"])
    print(f"{args.out}: {len(coco['images'])} images; boxes: {boxes}")
    for box in dropped:
        print(f"dropped ({box.reason}): {box.image} {box.class_name} {box.corners}")
    for box in coco["info"]["clipped"]:
        print(f"clipped: {box['image']} {box['class']} {tuple(box['corners'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
