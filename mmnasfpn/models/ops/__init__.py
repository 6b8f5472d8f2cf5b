"""What necks compute: tensors in, tensor out, no weights."""
from mmnasfpn.models.ops.drop_block import drop_block
from mmnasfpn.models.ops.merge import global_average_pooling, global_pooling, sum_maps
from mmnasfpn.models.ops.resample import downsample, resample, resample_by_size, upsample
from mmnasfpn.models.ops.variants import VARIANTS, Variant, get_variant

__all__ = ['VARIANTS', 'Variant', 'downsample', 'drop_block', 'get_variant', 'global_average_pooling',
           'global_pooling', 'resample', 'resample_by_size', 'sum_maps', 'upsample']
