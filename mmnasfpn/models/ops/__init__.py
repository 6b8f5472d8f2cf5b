"""What necks compute: tensors in, tensor out, no weights."""
from mmnasfpn.models.ops.drop_block import drop_block
from mmnasfpn.models.ops.merge import MERGE_OPS, global_pooling, sum_maps
from mmnasfpn.models.ops.resample import downsample, resample, upsample

__all__ = ['MERGE_OPS', 'downsample', 'drop_block', 'global_pooling', 'resample', 'sum_maps', 'upsample']
