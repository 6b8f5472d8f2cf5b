# The same with two goals: AP with shared weights, and the latency here, as a share of that of
# nasfpn_lite. For --sampler nsgaii.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_shared-weights_shapes.py'

reward = dict(_delete_=True, type='RewardAndCosts', reward=_base_.reward, costs=['relative_latency'])
