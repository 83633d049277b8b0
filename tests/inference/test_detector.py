"""A detector from a checkpoint is the model that was trained, wherever its images come from."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.config import Config
from PIL import Image
from references.trained import evaluated

from lors_det.errors import InputError
from lors_det.inference import Detections, Detector
from lors_det.inference.images import as_rgb
from lors_det.inference.pipeline import decoded, set_side
from lors_det.inference.tiling import TiledDetector
from lors_det.lors import SharedStack


def equal(found: Detections, other: Detections) -> bool:
    """To the bit."""
    pairs = zip((found.boxes, found.scores, found.labels), (other.boxes, other.scores, other.labels))
    return all(np.array_equal(left, right) for left, right in pairs)


@pytest.mark.parametrize(("batch_size", "tta"), [(1, False), (3, False), (1, True), (3, True)])
def test_detections_are_those_of_the_test_command_to_the_bit(trained, tmp_path, batch_size, tta):
    expected, _ = evaluated(trained, tmp_path, batch_size=batch_size, tta=tta)
    own = Detector.from_checkpoint(trained.checkpoint, score_threshold=0, tta=tta)
    found = own(trained.images, batch_size=batch_size)
    assert len(found) == len(expected) == 8
    assert {each.image_size for each in found} == {(64, 64), (64, 40), (50, 64)}
    for each, instances in zip(found, expected):
        assert len(each)
        assert np.array_equal(each.boxes, instances["bboxes"].numpy())
        assert np.array_equal(each.scores, instances["scores"].numpy())
        assert np.array_equal(each.labels, instances["labels"].numpy())


def test_files_arrays_and_pillow_images_are_one_image(detector, trained, tmp_path):
    path = tmp_path / "lossless.png"
    cv2.imwrite(str(path), cv2.imread(str(trained.images[1])))
    image = Image.open(path)
    found = detector(path)
    assert found.image == path
    assert found.image_size == (64, 40)
    assert found.classes == ("disc", "square", "triangle", "star", "cross", "ring")
    for other in (str(path), image, np.array(image)):
        assert equal(found, detector(other))
    assert not equal(found, detector(np.array(image)[..., ::-1])), "channels make no difference"
    grey = np.array(image.convert("L"))
    assert equal(detector(grey), detector(np.stack([grey] * 3, axis=-1)))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_seen_as_they_are_displayed(detector, trained, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.open(trained.images[1]).save(path, exif=exif, quality=95)
    displayed = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    found = detector(path)
    assert found.image_size == ((40, 64) if orientation > 4 else (64, 40))
    assert equal(found, detector(displayed))
    assert detector(Image.open(path)).image_size == found.image_size


def test_many_images_come_in_order_and_no_more_than_a_batch_is_read_ahead(detector, trained):
    read = []

    def images():
        for path in trained.images:
            read.append(path)
            yield path

    stream = detector.stream(images(), batch_size=2)
    assert next(stream).image == trained.images[0]
    assert len(read) == 2
    assert [found.image for found in stream] == trained.images[1:]
    assert detector([]) == []
    with pytest.raises(InputError, match="batch_size is 0"):
        detector(trained.images, batch_size=0)


def test_thresholds_and_classes_leave_out(detector, trained):
    path = trained.images[0]
    everything = detector(path)
    middle = float(np.median(everything.scores))
    strict = Detector.from_checkpoint(trained.checkpoint, score_threshold=middle)
    assert 0 < len(strict(path)) < len(everything)
    assert equal(strict(path), everything[everything.scores >= middle])
    name = everything.names[0]
    single = copy.deepcopy(Detector.from_checkpoint(trained.checkpoint, score_threshold=0, classes=(name for _ in "1")))
    assert set(single(path).names) == {name}
    assert len(single(path)) == everything.names.count(name)


def test_weights_are_corrected_once(trained, monkeypatch):
    calls = []
    correct = SharedStack.corrected
    monkeypatch.setattr(SharedStack, "corrected", lambda stack: calls.append(stack) or correct(stack))
    detector = Detector.from_checkpoint(trained.checkpoint)
    detector(trained.images)
    detector(trained.images[0])
    assert len(calls) == 1


def test_wrong_images_are_named(detector, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    for image, words in (
        (tmp_path / "none.jpg", "none.jpg does not exist"),
        (tmp_path, "is a folder"),
        (broken, "broken.jpg cannot be decoded"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (3, "int; it must be a path"),
    ):
        with pytest.raises(InputError, match=words):
            detector(image)


def test_one_image_is_not_taken_for_many(detector, trained):
    """Rows of an array would be grey images, and letters of a name files."""
    one = np.zeros((48, 64, 3), np.uint8)
    for stream in (detector.stream, TiledDetector(detector, tile=64).stream):
        for image in (one, one[..., 0], "photo.jpg", Image.fromarray(one)):
            with pytest.raises(InputError, match=r"one image came in place of several; name it in a list, \[image\]"):
                next(stream(image))
        assert len(list(stream(np.stack([one, one])))) == 2
    assert len(detector([one, one], batch_size=np.int64(2))) == 2
    for size in (0, 2.5, True):
        with pytest.raises(InputError, match=r"batch_size is .*; it must be a whole number of at least 1"):
            detector(one, batch_size=size)


def test_a_detector_that_takes_anothers_place_computes_with_the_weights_of_now(trained):
    """As after each round of a training: the former one lives until the name is given to the new one."""
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    former = Detector.from_checkpoint(trained.checkpoint, score_threshold=0)
    model, parts = former._model, (former._loader, former._pipeline)
    detector, seen = None, []
    for _ in range(4):
        with torch.no_grad():
            for base in model.bbox_head.decoder.stack.bases:
                for parameter in base.parameters():
                    parameter.mul_(1.2)
        detector = Detector(model, loader=parts[0], pipeline=parts[1], classes=former.classes, score_threshold=0)
        seen.append(detector(image).scores.sum())
        del former
        former = detector
    assert len({float(each) for each in seen}) == 4
    del detector, former
    assert model.bbox_head.decoder.stack._kept is None


@pytest.mark.parametrize("tta", [False, True])
def test_another_image_side_is_that_of_a_config_with_it(trained, detector, tta):
    cfg = Config.fromfile(trained.config)
    resize = next(step for step in cfg.test_dataloader.dataset.pipeline if step.type == "Resize")
    resize.scale = (96, 96)
    expected = Detector.from_checkpoint(trained.checkpoint, score_threshold=0, tta=tta, config=cfg)
    found = Detector.from_checkpoint(trained.checkpoint, score_threshold=0, tta=tta, image_side=96)
    for image in trained.images[:3]:
        assert equal(found(image), expected(image))
    assert not equal(found(trained.images[0]), detector(trained.images[0]))


def test_an_image_side_keeps_the_shape_of_a_scale_and_takes_the_place_of_one_alone(trained):
    cfg = Config.fromfile(trained.config)
    pipeline = cfg.test_dataloader.dataset.pipeline
    resize = next(step for step in pipeline if step.type == "Resize")
    resize.scale = (1333, 800)
    set_side(cfg, 640)
    assert resize.scale == (640, 384)
    for side in (0, 31, -64, 64.0, True, "64"):
        with pytest.raises(InputError, match=r"the image side is .*; it must be a whole number of at least 32"):
            set_side(cfg, side)
    pipeline.insert(2, {"type": "Pad", "size": (640, 640)})
    with pytest.raises(InputError, match=r"test_dataloader.dataset.pipeline has 2 sizes"):
        set_side(cfg, 640)
    del pipeline[2]
    cfg.tta_pipeline = pipeline
    with pytest.raises(InputError, match="tta_pipeline has sizes of its own"):
        set_side(cfg, 640, tta=True)
    pipeline.remove(resize)
    with pytest.raises(InputError, match=r"test_dataloader.dataset.pipeline has 0 sizes"):
        set_side(cfg, 640)


def test_wrong_arguments_are_named(trained):
    for arguments, words in (
        ({"score_threshold": 30}, "score_threshold is 30; it must be a number from 0 to 1"),
        ({"score_threshold": "0.3"}, "score_threshold is '0.3'; it must be a number"),
        ({"classes": ["dsic"]}, "no class 'dsic'; did you mean disc"),
        ({"classes": "disc"}, r"such as \['disc'\]"),
        ({"classes": [7]}, "classes must be names, and 7 is none"),
        ({"classes": [0]}, "classes must be names, and 0 is none"),
        ({"device": "gpu"}, "device 'gpu' is none that torch knows"),
        ({"device": "meta"}, "device 'meta' computes nothing here"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not there"),
        ({"names": ["a"]}, "other than the names that came"),
    ):
        with pytest.raises(InputError, match=words):
            Detector.from_checkpoint(trained.checkpoint, **arguments)


def test_mmdets_own_interfaces_take_the_config_and_the_checkpoint(detector, trained):
    path = str(trained.images[1])
    expected = detector(path)
    model = init_detector(str(trained.config), str(trained.checkpoint), device="cpu")
    instances = inference_detector(model, path).pred_instances
    assert model.dataset_meta["classes"] == expected.classes
    inferencer = DetInferencer(str(trained.config), str(trained.checkpoint), device="cpu", show_progress=False)
    (prediction,) = inferencer(path)["predictions"]
    for boxes, scores, labels in (
        (instances.bboxes.numpy(), instances.scores.numpy(), instances.labels.numpy()),
        (prediction["bboxes"], prediction["scores"], prediction["labels"]),
    ):
        # they correct the weights in every call, which rounds as a folded stack does, or nearly
        np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)
        np.testing.assert_allclose(boxes, expected.boxes, rtol=1e-4, atol=1e-3)
        assert np.array_equal(labels, expected.labels)


def test_a_config_of_its_own_and_the_stored_one_are_the_same(detector, trained):
    own = Detector.from_checkpoint(trained.checkpoint, score_threshold=0, config=trained.config)
    assert equal(detector(trained.images[2]), own(trained.images[2]))


def test_a_config_that_is_given_stays_what_it_is(trained):
    config = Config.fromfile(trained.config)
    config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="torchvision://resnet18")
    before = copy.deepcopy(config.to_dict())
    Detector.from_checkpoint(trained.checkpoint, config=config)
    assert config.to_dict() == before


@pytest.mark.parametrize("colour", ["unchanged", "grayscale", "color_ignore_orientation"])
def test_a_loader_of_other_images_is_refused(trained, colour):
    config = Config.fromfile(trained.config)
    config.test_dataloader.dataset.pipeline[0].color_type = colour
    with pytest.raises(InputError, match=f"pipeline.0.color_type is '{colour}'; .*in 'color'"):
        Detector.from_checkpoint(trained.checkpoint, config=config)


def test_pixels_that_do_not_fit_are_refused(trained, detector, tmp_path):
    """As a loader of another library gives them."""
    for image in (np.full((4, 4, 3), 300, np.uint16), np.full((4, 4), 7, np.uint8)):
        with pytest.raises(InputError, match=r"a.png is loaded in another form than 8-bit colour, 4 x 4.* of uint"):
            decoded(lambda _, image=image: {"img": image}, tmp_path / "a.png")


def test_what_is_not_finite_is_no_detection(trained, monkeypatch):
    detector = Detector.from_checkpoint(trained.checkpoint)
    step = detector._model.test_step

    def spoiled(batch):
        samples = step(batch)
        samples[0].pred_instances.scores[3] = torch.nan
        return samples

    monkeypatch.setattr(detector._model, "test_step", spoiled)
    with pytest.raises(InputError, match="finds boxes or scores that are not finite"):
        detector(trained.images[0])


def test_a_batch_that_the_gpu_does_not_hold_is_named(trained, monkeypatch):
    detector = Detector.from_checkpoint(trained.checkpoint)

    def full(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(detector._model, "test_step", full)
    with pytest.raises(InputError, match="memory does not hold a batch of 2; make it smaller"):
        detector(list(trained.images[:2]), batch_size=2)
    with pytest.raises(InputError, match="memory does not suffice"):
        detector(trained.images[0])


@pytest.mark.parametrize("shape", [(1, 300), (300, 1)])
def test_an_image_without_a_pixel_left_is_refused_with_its_size_and_the_limit(detector, shape):
    """The network's image is 64 pixels: beyond 128 to 1 the short side is less than half a pixel."""
    width, height = shape[::-1]
    with pytest.raises(InputError, match=f"image of {width} x {height} pixels cannot be scaled to 128: .* 256 times"):
        detector(np.zeros((*shape, 3), np.uint8))
    assert detector(np.zeros((1, 250, 3), np.uint8)).image_size == (250, 1)


def test_what_is_no_image_of_ours_is_refused_with_the_remedy(detector):
    for wrong, words in ((b"jpeg", "open it first"), ("https://example.org/a.jpg", "download it")):
        with pytest.raises(InputError, match=words):
            detector(wrong)


def test_threads_may_share_a_detector(trained, detector):
    """Shared weights are put into one module, which must not be another thread's at that moment."""
    images = [as_rgb(cv2.imread(str(path))) for path in trained.images[::3]] * 4
    expected = [detector(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        assert all(map(equal, threads.map(detector, images), expected))
