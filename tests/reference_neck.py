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


def resize_like_mmdet(x, size):
    """Pick windows of the map in a frame of zeros, or the value at the same share of the map."""
    height, width = x.shape[2:]
    rows, columns = size
    if (height, width) == (rows, columns):
        return x
    out = np.empty((*x.shape[:2], rows, columns))
    if height < rows or (height == rows and width < columns):
        for i in range(rows):
            for j in range(columns):
                out[:, :, i, j] = x[:, :, i * height // rows, j * width // columns]
        return out
    window = [int(np.ceil(height / rows)), int(np.ceil(width / columns))]
    framed = np.zeros((*x.shape[:2], window[0] * rows, window[1] * columns))
    top, left = (framed.shape[2] - height) // 2, (framed.shape[3] - width) // 2
    framed[:, :, top:top + height, left:left + width] = x
    for i in range(rows):
        for j in range(columns):
            out[:, :, i, j] = framed[:, :, i * window[0]:(i + 1) * window[0],
                                     j * window[1]:(j + 1) * window[1]].max(axis=(2, 3))
    return out


class ReferenceNeck:
    """Runs a genotype with the weights of a ``NASFPN`` state dict, in inference."""

    variant = 'authors'

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

    def lateral(self, index, x):
        """Project the backbone's map of this index."""
        return self.conv_norm(f'laterals.{index}', x)

    def cell_conv(self, stack, cell, x):
        """Convolve what a cell merged, after ReLU."""
        return self.conv_norm(f'pyramids.{stack}.cells.{cell}.conv', x)

    def coarser(self, index, x):
        """Make the map of the next level, the backbone having none."""
        height, width = x.shape[2:]
        if self.variant == 'mmdet':
            x = self.conv_norm(f'coarser_convs.{index}', x)
            return resize(x[:, :, :height // 2 * 2, :width // 2 * 2], 0, 1, (height // 2, width // 2))
        return resize(x, 0, 1, ((height + 1) // 2, (width + 1) // 2))

    def to_level(self, x, from_level, to_level, size):
        """Resize a map."""
        return resize_like_mmdet(x, size) if self.variant == 'mmdet' else resize(
            x, from_level, to_level, size)

    def gate(self, coarse, fine):
        """Merge by global pooling."""
        if self.variant == 'mmdet':
            return fine + coarse / (1 + np.exp(-fine.mean(axis=(2, 3), keepdims=True)))
        return coarse + fine / (1 + np.exp(-coarse.max(axis=(2, 3), keepdims=True)))

    def __call__(self, inputs):
        """Return, for each stack, the outputs as a dict by level."""
        levels = list(range(self.genotype['min_level'], self.genotype['max_level'] + 1))
        maps = [self.lateral(i, np.asarray(x, np.float64)) for i, x in enumerate(inputs)]
        for index in range(len(levels) - len(maps)):
            maps.append(self.coarser(index, maps[-1]))
        pyramid = dict(zip(levels, maps, strict=True))
        pyramids = []
        for stack in range(self.stacks):
            pyramid = self.pyramid_network(stack, pyramid)
            pyramids.append(pyramid)
        return pyramids

    def pyramid_network(self, stack, pyramid):
        """Run one pyramid network on a dict of maps by level."""
        nodes = sorted(pyramid.items())  # (level, map), fine to coarse
        used = [False] * len(nodes)
        outputs = {}
        for index, cell in enumerate(self.genotype['cells']):
            level, size = cell['level'], pyramid[cell['level']].shape[2:]
            for node in cell['inputs']:
                used[node] = True
            at_size = [self.to_level(nodes[node][1], nodes[node][0], level, size)
                       for node in cell['inputs']]
            if cell['op'] == 'sum':
                merged = sum(at_size)
            else:
                level_a, level_b = (nodes[node][0] for node in cell['inputs'])
                at_size_a, at_size_b = at_size
                b_is_coarse = level_b > level_a
                coarse, fine = (at_size_b, at_size_a) if b_is_coarse else (at_size_a, at_size_b)
                merged = self.gate(coarse, fine)
            if cell['is_output']:
                for node, (node_level, x) in enumerate(nodes):
                    if node_level == level and not used[node]:
                        merged = merged + x
                        used[node] = True
            made = self.cell_conv(stack, index, np.maximum(merged, 0))
            nodes.append((level, made))
            used.append(False)
            if cell['is_output']:
                outputs[level] = made
        return outputs


class ReferenceMmdetNeck(ReferenceNeck):
    """The same by the rules of MMDetection's NASFPN."""

    variant = 'mmdet'


class ReferenceAuthorsNeck(ReferenceNeck):
    """Runs a genotype with the variables of the authors' TensorFlow code, by their names."""

    def layer(self, scope, name, x):
        """Convolve with bias, then normalise, nothing folded."""
        if f'{scope}/{name}/kernel' in self.weights:
            kernel = self.weights[f'{scope}/{name}/kernel']
        else:
            depthwise = self.weights[f'{scope}/{name}/depthwise_kernel']
            x = conv2d(x, np.transpose(depthwise, (2, 3, 0, 1)), groups=x.shape[1])
            kernel = self.weights[f'{scope}/{name}/pointwise_kernel']
        x = conv2d(x, np.transpose(kernel, (3, 2, 0, 1)), self.weights[f'{scope}/{name}/bias'])
        gamma, beta, mean, var = (self.weights[f'{scope}/bn/{part}'][None, :, None, None] for part in (
            'gamma', 'beta', 'moving_mean', 'moving_variance'))
        return (x - mean) / np.sqrt(var + self.eps) * gamma + beta

    def lateral(self, index, x):
        """Project, unless there is nothing to project with: then the map has the dimension already."""
        scope = f'resample_l{self.genotype["min_level"] + index}'
        name = next((key.split('/')[1] for key in self.weights if key.startswith(f'{scope}/')), None)
        return x if name is None else self.layer(scope, name, x)

    def cell_conv(self, stack, cell, x):
        """Convolve."""
        num_levels = self.genotype['max_level'] - self.genotype['min_level'] + 1
        return self.layer(f'fpn_cells/cell_{stack}/sub_policy{cell}/op_after_combine{num_levels + cell}',
                          'conv', x)
