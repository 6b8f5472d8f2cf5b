"""An independent, slow NAS-FPN: NumPy in float64, one picture position at a time where it matters.

It shares nothing with the package: it reads the genotype as plain data and finds the weights by
their names.
"""
import numpy as np


def conv2d(x, weight, bias=None, groups=1):
    """Convolve (N, C, H, W) with (O, C / groups, K, K), same size, zeros outside."""
    out_channels, per_group, kernel, _ = weight.shape
    pad = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = x.shape[2:]
    out = np.zeros((x.shape[0], out_channels, height, width))
    for o in range(out_channels):
        first = o // (out_channels // groups) * per_group
        for dy in range(kernel):
            for dx in range(kernel):
                window = padded[:, first:first + per_group, dy:dy + height, dx:dx + width]
                out[:, o] += np.einsum('nchw,c->nhw', window, weight[o, :, dy, dx])
    return out if bias is None else out + bias[None, :, None, None]


def resize(x, from_level, to_level, size):
    """Pick for each target position the value or window of the source by its coordinates."""
    height, width = size
    out = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        for j in range(width):
            if to_level >= from_level:
                k = 2**(to_level - from_level)
                out[:, :, i, j] = x[:, :, i * k:(i + 1) * k, j * k:(j + 1) * k].max(axis=(2, 3))
            else:
                k = 2**(from_level - to_level)
                out[:, :, i, j] = x[:, :, i // k, j // k]
    return out


class ReferenceNeck:
    """Runs a genotype with the weights of a ``NASFPN`` state dict, in inference."""

    def __init__(self, genotype: dict, state_dict: dict, stacks: int, eps: float):
        self.genotype, self.stacks, self.eps = genotype, stacks, eps
        self.weights = {key: np.asarray(value, dtype=np.float64) for key, value in state_dict.items()}

    def conv_norm(self, name, x):
        """Apply the convolution called ``name``, plain or separable, and its normalisation."""
        w = self.weights
        if f'{name}.depthwise_conv.conv.weight' in w:
            x = conv2d(x, w[f'{name}.depthwise_conv.conv.weight'],
                       w.get(f'{name}.depthwise_conv.conv.bias'), groups=x.shape[1])
            name = f'{name}.pointwise_conv'
        x = conv2d(x, w[f'{name}.conv.weight'], w.get(f'{name}.conv.bias'))
        if f'{name}.bn.weight' in w:
            mean, var, gamma, beta = (w[f'{name}.bn.{part}'][None, :, None, None] for part in (
                'running_mean', 'running_var', 'weight', 'bias'))
            x = (x - mean) / np.sqrt(var + self.eps) * gamma + beta
        return x

    def __call__(self, inputs):
        """Return, for each stack, the outputs as a dict by level."""
        levels = list(range(self.genotype['min_level'], self.genotype['max_level'] + 1))
        maps = [self.conv_norm(f'laterals.{i}', np.asarray(x, np.float64))
                for i, x in enumerate(inputs)]
        while len(maps) < len(levels):
            height, width = maps[-1].shape[2:]
            maps.append(resize(maps[-1], 0, 1, ((height + 1) // 2, (width + 1) // 2)))
        pyramid = dict(zip(levels, maps, strict=True))
        pyramids = []
        for stack in range(self.stacks):
            pyramid = self.pyramid_network(f'pyramids.{stack}', pyramid)
            pyramids.append(pyramid)
        return pyramids

    def pyramid_network(self, name, pyramid):
        """Run one pyramid network on a dict of maps by level."""
        nodes = sorted(pyramid.items())  # (level, map), fine to coarse
        used = [False] * len(nodes)
        outputs = {}
        for index, cell in enumerate(self.genotype['cells']):
            level, size = cell['level'], pyramid[cell['level']].shape[2:]
            for node in cell['inputs']:
                used[node] = True
            at_size = [resize(nodes[node][1], nodes[node][0], level, size) for node in cell['inputs']]
            if cell['op'] == 'sum':
                merged = sum(at_size)
            else:
                level_a, level_b = (nodes[node][0] for node in cell['inputs'])
                at_size_a, at_size_b = at_size
                b_is_coarse = level_b > level_a
                coarse, fine = (at_size_b, at_size_a) if b_is_coarse else (at_size_a, at_size_b)
                merged = coarse + fine / (1 + np.exp(-coarse.max(axis=(2, 3), keepdims=True)))
            if cell['is_output']:
                for node, (node_level, x) in enumerate(nodes):
                    if node_level == level and not used[node]:
                        merged = merged + x
                        used[node] = True
            made = self.conv_norm(f'{name}.cells.{index}.conv', np.maximum(merged, 0))
            nodes.append((level, made))
            used.append(False)
            if cell['is_output']:
                outputs[level] = made
        return outputs
