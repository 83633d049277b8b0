_base_ = [
    "../_base_/model_r18-half.py",
    "../_base_/decoders_small.py",
    "../_base_/data_shapes.py",
    "../_base_/schedule_3e.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=16, decoder=_base_.adamixer_g8_p5))
