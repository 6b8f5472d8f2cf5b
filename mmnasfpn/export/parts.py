"""A detector as an ONNX model, made of two: its network, and what is done after it."""
from typing import Any

import torch
from torch import Tensor, nn

from mmnasfpn.export.detector import ExportableDetector, edge_of
from mmnasfpn.export.to_onnx import Progress, no_progress, to_onnx

#: What the maps of a head are called, in the order in which it returns them.
_KINDS = ('scores', 'boxes', 'factors')

#: Before the names in the model of what is done after the network.
_PREFIX = 'decode/'


def detector_to_onnx(detector: ExportableDetector, images: Tensor, is_dynamic: bool,
                     progress: Progress = no_progress) -> Any:
    """Return a detector as an ONNX model.

    Network and decoding are exported apart, and joined. Sizes that are left open make long terms on
    their way through the network, with which PyTorch's exporter would decode for a minute.

    Args:
        detector (ExportableDetector): The detector.
        images (Tensor): An example of what it takes, (N, 3, H, W).
        is_dynamic (bool): Leave number and size of the images open; at least 2 images then.
        progress (Callable): Called with what is done next. Defaults to nothing.

    Returns:
        ModelProto: The model. Its input is ``images``; its outputs are those of the detector:
        ``boxes``, ``scores`` and ``labels``, or ``scores_0``, ..., ``boxes_0``, ...
    """
    dims = (0, 2, 3) if is_dynamic else ()
    names = _map_names(detector)
    is_raw = detector.outputs == 'raw'
    with_edge = is_dynamic and not is_raw
    between = [*names, 'edge'] if with_edge else names
    network = to_onnx(_Network(detector, with_edge), [images], ['images'], between, [dims], progress)
    if is_raw:
        return network
    edge = edge_of(images)
    examples = [torch.zeros(_shape_of(output)) for output in network.graph.output[:len(names)]]
    inputs = [*examples, edge] if with_edge else examples
    decoder = to_onnx(_Decoder(detector, None if with_edge else edge), inputs, between,
                      ['boxes', 'scores', 'labels'], [dims if x.dim() == 4 else () for x in inputs],
                      progress)
    return _join(network, decoder)


def _map_names(detector: ExportableDetector) -> list[str]:
    """Return names for the maps that the head returns."""
    with torch.no_grad():  # of any size: to see what it returns
        outputs = detector.head(detector.detector.extract_feat(torch.zeros(1, 3, 128, 128)))
    return [f'{kind}_{level}' for kind, maps in zip(_KINDS, outputs, strict=False)
            for level in range(len(maps))]


def _shape_of(output: Any) -> list[int]:
    """Return the shape of one of the network's maps, or, where it is left open, one like it."""
    level = int(output.name.rpartition('_')[2])
    shape = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    example = (2, 0, 2 + level, 20 + level)
    return [size or other for size, other in zip(shape, example, strict=True)]


class _Network(nn.Module):
    """From images to what the head returns, and, where asked for, the images' edge."""

    def __init__(self, detector: ExportableDetector, with_edge: bool) -> None:
        super().__init__()
        self.detector = detector
        self.with_edge = with_edge

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.detector.run_network(images)
        return (*maps, edge_of(images)) if self.with_edge else maps


class _Decoder(nn.Module):
    """From what the head returns, and an edge that may be left open, to candidates or detections."""

    def __init__(self, detector: ExportableDetector, edge: Tensor | None) -> None:
        super().__init__()
        self.decode = detector.decode  # not the detector, whose weights would be exported too
        self.edge = edge

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        return self.decode(maps[:-1], maps[-1]) if self.edge is None else self.decode(maps, self.edge)


def _join(network: Any, decoder: Any) -> Any:
    """Return one model of two, of which the second takes what the first gives, by name."""
    from onnx import compose

    names = [output.name for output in network.graph.output]
    joined = compose.merge_models(network, decoder, [(name, name) for name in names],
                                  prefix2=_PREFIX)
    renamed = {output.name: output.name.removeprefix(_PREFIX) for output in joined.graph.output}
    for node in joined.graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [renamed.get(name, name) for name in tensors]
    batch = joined.graph.input[0].type.tensor_type.shape.dim[0]
    for output in joined.graph.output:
        output.name = renamed[output.name]
        output.type.tensor_type.shape.dim[0].CopyFrom(batch)
    del joined.graph.value_info[:]  # the two call their open sizes by the same names
    del joined.opset_import[len(network.opset_import):]  # which are those of both
    return joined
