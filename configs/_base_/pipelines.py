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
_two_ways = dict(type="RandomFlip", prob=[0.25, 0.25], direction=["horizontal", "vertical"])
shapes_128x128 = _resized((128, 128), _two_ways)
shapes_192x192 = _resized((192, 192), _two_ways)
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


# sizes of None are chosen from the training set: the side that an image's long side is resized to
_whole = dict(type="Resize", scale=None, keep_ratio=True)
_scaled = dict(type="RandomResize", scale=None, ratio_range=(0.75, 1.1), keep_ratio=True)
# keeps colours near, where PhotoMetricDistortion also swaps channels; it works in place, on images as they were loaded
_colours = dict(type="YOLOXHSVRandomAug")
_cut = dict(type="RandomCrop", crop_type="relative_range", crop_size=(0.6, 0.6), allow_negative_crop=True)
_cut_sometimes = dict(type="RandomApply", transforms=[_cut], prob=0.5)
_four_in_one = [
    dict(type="CachedMosaic", img_scale=None, pad_val=114.0, max_cached_images=20, random_pop=False, prob=0.5),
    dict(type="RandomResize", scale=None, ratio_range=(0.75, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=None, allow_negative_crop=True),
]
_two_in_one = dict(type="CachedMixUp", img_scale=None, max_cached_images=10, random_pop=False, prob=0.3)

own_gentle = [*_load, _mirror, _scaled, _pack]
own_colours = [*_load, _colours, _mirror, _scaled, _pack]
own_crops = [*_load, _colours, _mirror, _cut_sometimes, _scaled, _pack]
own_mosaic = [*_load, _colours, *_four_in_one, _mirror, _pack]
own_mixup = [*_load, _colours, *_four_in_one, _two_in_one, _mirror, _pack]
own_test = [_load[0], _whole, _load[1], dict(**_pack, meta_keys=_meta_keys)]
