"""What happens between an image's file and the network, as values that a data set or a leaf chooses from."""

_load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
_mirror = dict(type="RandomFlip", prob=0.5)
_every_way = dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"])
_pack = dict(type="PackDetInputs")
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
_multi_scale = dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True)
_coarse = dict(type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True)
_crop = dict(type="RandomCrop", crop_type="absolute_range", crop_size=(384, 600), allow_negative_crop=True)


def _resized(scale, flip):
    """Images that fit into (width, height), flipped at random in training."""
    resize = dict(type="Resize", scale=scale, keep_ratio=True)
    return dict(
        train=[*_load, resize, flip, _pack],
        test=[_load[0], resize, _load[1], dict(**_pack, meta_keys=_meta_keys)],
    )


# left and right alike: what most photographs want
mirrored_1333x800 = _resized((1333, 800), _mirror)
mirrored_384x288 = _resized((384, 288), _mirror)

# no up or down
shapes_128x128 = _resized((128, 128), dict(type="RandomFlip", prob=[0.25, 0.25], direction=["horizontal", "vertical"]))
cells_384x288 = _resized((384, 288), _every_way)
cells_256x192 = _resized((256, 192), _every_way)

# short side 480 to 800 pixels, long side at most 1333; the second: the same, half of the time after a random crop
mirrored_multi_scale = [*_load, _mirror, _multi_scale, _pack]
mirrored_crop_multi_scale = [
    *_load,
    _mirror,
    dict(type="RandomChoice", transforms=[[_multi_scale], [_coarse, _crop, _multi_scale]]),
    _pack,
]
