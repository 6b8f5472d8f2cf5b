# The same with two goals: AP with shared weights, and milliseconds for an image here. For
# --sampler nsgaii --workers 1.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_shared-weights_shapes.py'

reward = dict(_delete_=True, type='RewardAndCosts', reward=_base_.reward, costs=['latency'])
