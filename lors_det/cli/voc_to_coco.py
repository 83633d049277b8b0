"""Convert one split of a Pascal VOC set to COCO's format.

lors-det voc-to-coco VOC_ROOT OUT_JSON --split train

Without --classes every split gets the same categories: all names in the set, sorted.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path

from lors_det.data.voc.convert import convert_voc
from lors_det.files import check_place, write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("voc_root", type=Path, metavar="VOC_ROOT", help="holds Annotations, ImageSets, JPEGImages")
    parser.add_argument("out", type=Path, metavar="OUT_JSON", help="a file to write; its folder is made")
    parser.add_argument("--split", required=True, help="name of a list in ImageSets/Main")
    parser.add_argument("--classes", nargs="+", action="extend", metavar="NAME", help="categories in this order")
    parser.add_argument(
        "--difficult",
        choices=("crowd", "keep", "drop"),
        default="crowd",
        help="boxes that are marked so become crowds, which no evaluation counts (default), stay, or go",
    )


def main(args: Namespace) -> None:
    check_place(args.out, ".json", new_folder=True)
    coco, dropped = convert_voc(args.voc_root, args.split, classes=args.classes, difficult=args.difficult)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(args.out, lambda file: file.write(json.dumps(coco).encode()))
    counts = Counter(annotation["category_id"] for annotation in coco["annotations"])
    boxes = ", ".join(f"{c['name']} {counts[c['id']]}" for c in coco["categories"])
    print(f"{args.out}: {len(coco['images'])} images; boxes: {boxes}")
    for box in dropped:
        print(f"dropped ({box.reason}): {box.image} {box.class_name} {box.corners}")
    for box in coco["info"]["clipped"]:
        print(f"clipped: {box['image']} {box['class']} {tuple(box['corners'])}")
    for image in coco["info"]["sizes_differ"]:
        print(
            f"size differs: {image['image']} has {image['width']} x {image['height']} pixels, and its XML file says "
            f"{image['stated'][0]} x {image['stated'][1]}, which is kept; correct the one that is wrong"
        )
    zeros, ones = coco["info"]["first_corners"]
    if zeros > ones:
        print(
            f"counted from 0? {zeros} boxes at the left or upper edge have a corner of 0, {ones} of 1; Pascal VOC "
            "counts from 1, as here. Where --data names the folder, such a set is taken as counted from 0"
        )
