"""Training on a folder of one's own data: what follows from it, and what is said."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from references.mean_score import MeanScore  # noqa: F401 - registers it
from references.tiny import LORS, make_data, tiny_config

import lors_det
from lors_det.cli import run
from lors_det.data.folder import read_folder
from lors_det.errors import InputError
from lors_det.plugin.config.own_data import use_folder
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.reports.scalars import read_scalars

QUICK = {
    "model.bbox_head.num_queries": 8,
    "train_cfg.val_interval": 1,
    "train_dataloader.num_workers": 0,
    "val_dataloader.num_workers": 0,
    "test_dataloader.num_workers": 0,
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data") / "shapes")


def as_yolo(shapes: Path, out: Path) -> Path:
    """The same set as labels of YOLO beside its images, with one class more than has boxes in a photograph."""
    names = None
    for split in ("train", "val"):
        content = json.loads((shapes / f"annotations/{split}.json").read_text())
        names = [category["name"] for category in content["categories"]]
        place = {category["id"]: number for number, category in enumerate(content["categories"])}
        shutil.copytree(shapes / split, out / split / "images")
        (out / split / "labels").mkdir()
        for image in content["images"]:
            width, height = image["width"], image["height"]
            lines = []
            for box in content["annotations"]:
                if box["image_id"] == image["id"]:
                    x, y, w, h = box["bbox"]
                    where = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
                    lines.append(" ".join(map(str, (place[box["category_id"]], *where))))
            (out / split / "labels" / f"{Path(image['file_name']).stem}.txt").write_text("\n".join(lines))
    (out / "data.yaml").write_text(f"train: train/images\nval: val/images\nnc: {len(names)}\nnames: {names}\n")
    return out


def as_voc(shapes: Path, out: Path) -> Path:
    """The training half of the set in Pascal VOC's form, without lists of splits."""
    content = json.loads((shapes / "annotations/train.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    shutil.copytree(shapes / "train", out / "JPEGImages")
    (out / "Annotations").mkdir()
    for image in content["images"]:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = image["file_name"]
        size = ElementTree.SubElement(root, "size")
        for side in ("width", "height"):
            ElementTree.SubElement(size, side).text = str(image[side])
        for box in content["annotations"]:
            if box["image_id"] == image["id"]:
                x, y, w, h = box["bbox"]
                node = ElementTree.SubElement(root, "object")
                ElementTree.SubElement(node, "name").text = names[box["category_id"]]
                corners = ElementTree.SubElement(node, "bndbox")
                for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + w + 1, y + h + 1)):
                    ElementTree.SubElement(corners, name).text = str(value)
        ElementTree.ElementTree(root).write(out / "Annotations" / f"{Path(image['file_name']).stem}.xml")
    return out


def trained(data: Path, work_dir: Path, **changes):
    options = {**QUICK, **changes.pop("options", {})}
    return lors_det.train(LORS, data, work_dir=work_dir, epochs=1, batch_size=8, options=options, **changes)


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_a_folder_trains_in_the_form_in_which_it_lies(shapes, tmp_path, capsys, form):
    data = {"coco": lambda: shapes, "yolo": lambda: as_yolo(shapes, tmp_path / "yolo")}.get(
        form, lambda: as_voc(shapes, tmp_path / "voc")
    )()
    before = sorted(data.rglob("*"))
    result = trained(data, tmp_path / "run")
    said = capsys.readouterr().out
    assert sorted(data.rglob("*")) == before  # nothing is written into the folder
    cfg = Config.fromfile(result.config)
    names = [category["name"] for category in json.loads((shapes / "annotations/train.json").read_text())["categories"]]
    assert sorted(cfg.train_dataloader.dataset.metainfo.classes) == sorted(names)
    assert cfg.model.bbox_head.num_classes == len(names)
    expected = {"coco": "COCO", "yolo": "YOLO", "voc": "Pascal VOC"}[form]
    assert expected in said.splitlines()[0]
    assert f"{len(names)} classes" in said
    table = [line.split() for line in said.splitlines() if line.startswith("│")]
    num_images = {row[1]: int(row[3]) for row in table}
    if form == "voc":  # no lists: an image is for validation by its name
        assert num_images["train"] + num_images["val"] == 16
        assert min(num_images.values()) > 0
    else:
        assert num_images == {"train": 16, "val": 8}
    if form != "coco":  # written beside the run, not beside the images
        content = json.loads((tmp_path / "run/data/train.json").read_text())
        assert len(content["images"]) == num_images["train"]
    assert result.checkpoint.is_file()
    assert set(result.metrics) >= {"coco/bbox_mAP", "coco/bbox_mAP_50"}
    assert 0 <= result.constant_box.ap <= result.constant_box.ap50 <= 1
    assert f"the best constant box: AP {result.constant_box.ap:.3f}" in said


def test_every_form_gives_the_same_boxes(shapes, tmp_path):
    """The image's boxes in pixels, whatever form they were written in."""
    records = {}
    for form, data in (("yolo", as_yolo(shapes, tmp_path / "yolo")), ("coco", shapes)):
        cfg = tiny_config(shapes, tmp_path / form)
        use_folder(cfg, read_folder(data), tmp_path / form / "data")
        content = json.loads(Path(cfg.train_dataloader.dataset.ann_file).read_text())
        stems = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        boxes = sorted((stems[box["image_id"]], box["category_id"], *box["bbox"]) for box in content["annotations"])
        records[form] = boxes
        for image in content["images"]:
            assert Path(cfg.train_dataloader.dataset.data_prefix.img, image["file_name"]).is_file()
    for yolo, coco in zip(records["yolo"], records["coco"], strict=True):
        assert yolo[0] == coco[0]
        assert yolo[2:] == pytest.approx(coco[2:], abs=0.01)


def test_values_of_the_command_line_go_before_what_a_folder_makes_of_them(shapes, tmp_path):
    folder = read_folder(shapes)
    given = {
        "val_evaluator.metric_items": ["mAP"],
        "val_evaluator.classwise": False,
        "train_dataloader.dataset.filter_cfg.min_size": 32,
    }
    cfg = load_config(LORS, given, str(tmp_path), data=folder)
    assert cfg.val_evaluator.metric_items == ["mAP"]
    assert cfg.val_evaluator.classwise is False
    assert cfg.val_evaluator.ann_file == str(folder.splits["val"].annotation_file.absolute())
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=False, min_size=32)
    for key, value in (
        ("val_evaluator.ann_file", "a.json"),
        ("train_dataloader.dataset.data_prefix.img", "images"),
        ("model.bbox_head.num_classes", 3),
        ("train_dataloader.dataset.type", "VOCDataset"),
    ):
        with pytest.raises(InputError, match=rf"--cfg-options {key}: the folder of --data says it"):
            load_config(LORS, {key: value}, str(tmp_path), data=folder)


def test_annotations_of_an_earlier_run_are_left_as_they_are(shapes, tmp_path):
    data = as_yolo(shapes, tmp_path / "yolo")
    label = min((data / "train/labels").iterdir())
    texts = [label.read_text(), "0 .5 .5 .2 .2\n", "0 .5 .5 .3 .3\n"]
    names = []
    for text in (*texts, texts[1]):
        label.write_text(text)
        cfg = load_config(LORS, None, str(tmp_path / "run"), data=read_folder(data))
        names.append(Path(cfg.train_dataloader.dataset.ann_file).name)
    assert names == ["train.json", "train_2.json", "train_3.json", "train_2.json"]
    assert [path.name for path in (tmp_path / "run/data").glob("val*")] == ["val.json"]


def test_fine_tuning_a_checkpoint_of_other_classes(shapes, tmp_path, capsys):
    first = trained(shapes, tmp_path / "first")
    data = as_yolo(shapes, tmp_path / "yolo")
    text = (data / "data.yaml").read_text()
    names = [category["name"] for category in json.loads((shapes / "annotations/train.json").read_text())["categories"]]
    (data / "data.yaml").write_text(text.replace(names[0], "novelty"))
    trained(data, tmp_path / "second", load_from=first.checkpoint)
    said = "".join(capsys.readouterr())
    assert "novelty starts anew" in said


def test_a_config_that_says_where_its_data_is_needs_no_folder(shapes, tmp_path):
    cfg = tiny_config(shapes, tmp_path)
    path = tmp_path / "own.py"
    cfg.dump(path)
    result = lors_det.train(path, work_dir=tmp_path / "run", epochs=1)
    assert result.checkpoint.is_file()
    assert result.constant_box is None


def test_a_folder_of_nothing(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        lors_det.train(LORS, tmp_path)


def test_a_set_with_an_error_is_refused_before_training(shapes, tmp_path):
    data = as_yolo(shapes, tmp_path / "yolo")
    label = sorted((data / "train/labels").iterdir())[0]
    label.write_text("77 .5 .5 .2 .2\n")
    with pytest.raises(InputError, match="check-data"):
        trained(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@HOOKS.register_module()
class CtrlCHook(Hook):
    """Ctrl-C before the first step."""

    def before_train_iter(self, *args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_names_the_checkpoint_to_go_on_from(shapes, tmp_path, capsys):
    """One that goes on, and has written none, names what it went on from."""
    options = {**QUICK, "randomness.deterministic": True}
    first = lors_det.train(LORS, shapes, work_dir=tmp_path, epochs=1, batch_size=8, seed=3, options=options)
    assert dict(Config.fromfile(first.config).randomness) == {"seed": 3, "deterministic": True}
    stop = {**options, "custom_hooks": [dict(type="CtrlCHook")]}
    with pytest.raises(KeyboardInterrupt, match="no checkpoint was written yet"):
        lors_det.train(LORS, shapes, work_dir=tmp_path / "anew", epochs=2, batch_size=8, seed=3, options=stop)
    with pytest.raises(KeyboardInterrupt, match=r"the last checkpoint, .*epoch_1\.pth, with --resume"):
        lors_det.train(
            LORS,
            shapes,
            work_dir=tmp_path,
            epochs=2,
            batch_size=8,
            seed=3,
            options=stop,
            resume_from="auto",
            resume_anyway=True,
        )


def test_a_checkpoint_is_tested_on_either_split_and_on_another_folder(shapes, tmp_path, capsys):
    """The best validation's figures are those of the kept checkpoint on the validation split, whoever names it."""
    config = tmp_path / "scored.py"  # after two steps there is no AP to compare
    config.write_text(
        f'_base_ = ["{LORS}"]\nval_evaluator = [_base_.val_evaluator, dict(type="MeanScore")]\n'
        "test_evaluator = val_evaluator\n"
    )
    result = lors_det.train(config, shapes, work_dir=tmp_path / "run", epochs=1, batch_size=8, options=QUICK)
    other = shutil.copytree(shapes, tmp_path / "other")
    for image, another in zip((other / "val").iterdir(), (other / "train").iterdir()):
        shutil.copyfile(another, image)

    def score(*words: str) -> float:
        # a folder each, which stays: runs of one second have one visualizer, which mmengine keeps by the time
        place = Path(tempfile.mkdtemp(dir=tmp_path))
        run("test", [str(result.config), str(result.checkpoint), "--work-dir", str(place), *words])
        (metrics,) = (json.loads(path.read_text()) for path in place.glob("[0-9]*/*.json"))
        return metrics["coco/mean_score"]

    bare = ["test", str(result.checkpoint), "--work-dir", str(tmp_path / "bare")]
    run(*bare[:1], bare[1:])  # the config is the one beside it
    assert (tmp_path / "bare/scored_test.py").is_file()
    with pytest.raises(SystemExit):
        run("test", [str(result.config)])
    assert "is a config; name a checkpoint after it" in capsys.readouterr().err
    for words in (["--split", "val"], [], ["--data", str(as_yolo(shapes, tmp_path / "yolo"))]):
        assert score(*words) == result.metrics["coco/mean_score"] > 0
    assert score("--data", str(other)) != result.metrics["coco/mean_score"]


def test_a_test_on_another_folder_leaves_the_trainings_alone(shapes, tmp_path, capsys):
    """In its own work dir, with the config that it left there; classes are matched by their names."""
    result = lors_det.train(
        LORS, as_yolo(shapes, tmp_path / "yolo"), work_dir=tmp_path / "run", epochs=1, options=QUICK
    )
    trained_on = {path.name: path.read_bytes() for path in (tmp_path / "run/data").iterdir()}
    assert trained_on.keys() == {"train.json", "val.json"}
    other = as_voc(shapes, tmp_path / "voc")  # in the order of the alphabet, and without splits
    capsys.readouterr()
    run("test", [str(result.config), str(result.checkpoint), "--data", str(other), "--work-dir", str(tmp_path / "run")])
    assert "tested: 16 images, the whole folder" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "run/data").iterdir()} == trained_on
    written = json.loads((tmp_path / "run/data_tested/voc/test.json").read_text())
    assert len(written["images"]) == 16
    assert [each["name"] for each in written["categories"]] == ["disc", "square", "triangle", "star", "cross", "ring"]


def test_a_test_takes_the_sizes_of_the_training(shapes, tmp_path):
    """Where the config leaves them to the data, and the data of the test would ask for others."""
    result = fine_tuned(shapes, tmp_path / "run", epochs=1, image_side=64, batch_size=8)
    words = [str(FINETUNE), str(result.checkpoint), "--work-dir", str(tmp_path / "test"), "--data", str(shapes)]
    run("test", [*words, "--cfg-options", "model.backbone.init_cfg=None", "model.bbox_head.num_queries=8"])
    (kept,) = (tmp_path / "test").glob("*.py")
    scales = [step["scale"] for step in Config.fromfile(kept).test_dataloader.dataset.pipeline if "scale" in step]
    assert [tuple(scale) for scale in scales] == [(64, 64)]


def test_a_hook_is_turned_off_by_none(shapes, tmp_path):
    result = fine_tuned(shapes, tmp_path, epochs=1, image_side=64, batch_size=8, options={"custom_hooks.0": None})
    assert [hook.type for hook in Config.fromfile(result.config).custom_hooks] == ["PatienceHook"]


FINETUNE = next((LORS.parent.parent / "finetune").glob("*mobilenetv2*.py"))


def fine_tuned(data: Path, work_dir: Path, **changes):
    backbone = {"model.backbone.init_cfg": None, "model.bbox_head.num_queries": 8}
    workers = {name: value for name, value in QUICK.items() if name.endswith("num_workers")}
    options = {**backbone, **workers, **changes.pop("options", {})}
    return lors_det.train(FINETUNE, data, work_dir=work_dir, options=options, **changes)


def test_a_resumed_run_keeps_what_the_first_one_chose(shapes, tmp_path, capsys):
    """Side, batch and epochs of the command line too, which is not repeated; and a finished run is left as it is."""
    first = fine_tuned(shapes, tmp_path, epochs=2, image_side=64, batch_size=8)
    cfg = Config.fromfile(first.config)
    history = load_from_local(str(tmp_path / "epoch_2.pth"))["message_hub"]["log_scalars"]["train/loss"]
    losses, steps = history["lors_det.history"][0], history["lors_det.history"][0].numel() // 2
    (logged,) = (entry["loss"] for entry in read_scalars(tmp_path)[0] if entry["iter"] == 2 * steps)
    assert logged == pytest.approx(losses[steps:].mean().item(), rel=1e-5), "no loss of the first epoch is in it"
    (tmp_path / "epoch_2.pth").unlink()
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
    again = fine_tuned(shapes, tmp_path, resume_from="auto")
    said = capsys.readouterr()
    assert "images of 64 pixels, as before" in said.out
    assert "2 epochs, as before" in said.out
    assert "is another than this one" not in said.err
    kept = Config.fromfile(again.config)
    for key in ("train_cfg", "train_dataloader", "val_dataloader"):
        assert kept[key] == cfg[key]
    assert (tmp_path / "epoch_2.pth").is_file()
    text = again.config.read_text()
    capsys.readouterr()
    ended = fine_tuned(shapes, tmp_path, resume_from="auto")
    assert "nothing is left to train" in capsys.readouterr().out
    assert again.config.read_text() == text
    assert ended == again  # the best checkpoint, with its figures
    assert ended.metrics
    fine_tuned(shapes, tmp_path, resume_from="auto", epochs=3)  # what is said again goes before what was
    assert (tmp_path / "epoch_3.pth").is_file()


def test_a_run_is_resumed_as_it_was_or_as_it_is_said(shapes, tmp_path, capsys):
    """A training set of another size, another batch and another rate are refused, and shown; names are not."""
    data = as_yolo(shapes, tmp_path / "yolo")
    fine_tuned(data, tmp_path / "run", epochs=1, image_side=64, batch_size=4)
    images = data / "train/images"
    first = min(images.iterdir())
    (data / "train/labels" / f"{first.stem}.txt").replace(data / "train/labels/new.txt")
    first.replace(images / f"new{first.suffix}")
    fine_tuned(data, tmp_path / "run", resume_from="auto", epochs=2)
    assert "is another than this one" not in capsys.readouterr().err
    label = min((data / "val/labels").iterdir())
    text = label.read_text()
    label.write_text("")
    with pytest.raises(InputError, match=r"  val set: \d+ images, \d+ boxes, digest \w+ then, .* now\n"):
        fine_tuned(data, tmp_path / "run", resume_from="auto", epochs=3)
    label.write_text(text)
    for number in range(4):
        shutil.copy(images / f"new{first.suffix}", images / f"more_{number}{first.suffix}")
        shutil.copy(data / "train/labels/new.txt", data / f"train/labels/more_{number}.txt")
    changes = dict(resume_from="auto", epochs=3, options={"optim_wrapper.optimizer.lr": 1e-3})
    with pytest.raises(InputError, match=r"epoch_2\.pth is another than this one") as refused:
        fine_tuned(data, tmp_path / "run", **changes)
    assert "  steps of an epoch: 4 then, 5 now\n" in str(refused.value)
    assert re.search(r"  optim_wrapper\.optimizer\.lr: \S+ then, 0\.001 now\n", str(refused.value))
    assert "--resume-anyway" in str(refused.value)
    fine_tuned(data, tmp_path / "run", **changes, resume_anyway=True)
    said = capsys.readouterr().err
    assert "steps of an epoch: 4 then, 5 now" in said
    assert re.search(r"train set: .* then, .* now", said)
    assert "best validation" not in said
    assert (tmp_path / "run/epoch_3.pth").is_file()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_checkpoints_of_two_runs_are_not_mixed(shapes, tmp_path):
    """Neither by beginning anew where a run has been, nor by going on with one in another's folder; nothing changes."""
    data, first = as_yolo(shapes, tmp_path / "yolo"), tmp_path / "first"
    small = dict(image_side=64, batch_size=8)
    fine_tuned(data, first, epochs=1, **small)
    label = min((data / "val/labels").iterdir())
    label.write_text("")  # of which the earlier run's annotations must not hear
    before = contents(first)
    for name, more in (("first", {}), ("second", dict(resume_from=first / "epoch_1.pth"))):
        if more:
            shutil.copytree(first, tmp_path / name)
        with pytest.raises(
            InputError, match=rf"{name} has checkpoints of an earlier run, .*mix.*: --resume"
        ) as refused:
            fine_tuned(data, tmp_path / name, epochs=2, **small, **more)
        assert ("--resume without a name goes" in str(refused.value)) == bool(more)
        assert contents(tmp_path / name) == {
            tmp_path / name / path.relative_to(first): old for path, old in before.items()
        }
    for path in (tmp_path / "second").glob("epoch_*.pth"):
        path.unlink()
    with pytest.raises(InputError, match="it left nothing to go on from; --load-from starts from its weights"):
        fine_tuned(data, tmp_path / "second", epochs=2, **small)
    with pytest.raises(InputError, match=r"val set: .* then, .* now"):
        fine_tuned(data, first, epochs=2, resume_from="auto")
    after = contents(first)
    assert {path: after[path] for path in before} == before, "a refused run changes no file of the one that it resumes"


def test_checkpoints_that_a_hook_keeps_elsewhere_are_not_mixed_either(shapes, tmp_path, monkeypatch):
    """Nor those of names of one's own."""
    monkeypatch.chdir(tmp_path)
    for number, (key, value) in enumerate({"out_dir": "kept", "filename_tmpl": "step-{}.tar.pth"}.items()):
        work_dir = tmp_path / str(number) / "run"
        options = {f"default_hooks.checkpoint.{key}": value, "default_hooks.checkpoint.save_best": None}
        words = dict(work_dir=work_dir, epochs=1, batch_size=8, options={**QUICK, **options})
        lors_det.train(LORS, shapes, **words)
        with pytest.raises(InputError, match="has checkpoints of an earlier run"):
            lors_det.train(LORS, shapes, **words)


@pytest.mark.parametrize("side", [0, -5, 16])
def test_a_side_that_is_none(shapes, tmp_path, side):
    with pytest.raises(InputError, match=f"image side is {side}"):
        fine_tuned(shapes, tmp_path, image_side=side)


def test_a_checkpoint_that_there_is_not(shapes, tmp_path):
    with pytest.raises(InputError, match=r"none\.pth"):
        fine_tuned(shapes, tmp_path, load_from=tmp_path / "none.pth")
