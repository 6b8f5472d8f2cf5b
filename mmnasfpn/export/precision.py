"""Exported models in int8 and in half precision."""
import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmnasfpn.export.to_onnx import check_installed

PRECISIONS = ('fp32', 'fp16', 'int8')

#: What int8 is for: convolutions, and what lies between them and is as fast on integers.
_QUANTIZED = ('Conv', 'Relu', 'Clip', 'Add', 'MaxPool', 'Resize')

#: Of the range of a map: a convolution that rounding its input changes by more stays in float.
_MOST_NOISE = 0.05

#: What ONNX Runtime leaves to the limits of the integers, where it comes after a convolution.
_ACTIVATIONS = ('Relu', 'Clip')

#: Of ONNX: the first opset with a scale for each channel.
_LEAST_OPSET = 13


def to_int8(model: Any, batches: Iterable[np.ndarray], is_symmetric: bool = False) -> Any:
    """Return an ONNX model in int8, by ONNX Runtime's static quantisation.

    Weights are integers with a scale for each channel, maps between the convolutions integers with one
    scale, by the lowest and highest values in ``batches``. The graph says so by pairs of QuantizeLinear
    and DequantizeLinear, which other runtimes know too. The last convolutions stay in float, and what
    comes after them. So does a convolution that multiplies a channel of small values, as some depthwise
    ones of MobileNetV2 do: rounding its input would change a channel of its output by more than 5% of
    the map's range.

    Weights take 7 of the 8 bits: the sums of processors without VNNI have 16 bits, which 8 overflow.

    Args:
        model (ModelProto): The model in float32, of one input.
        batches (Iterable[ndarray]): What it takes. It is iterated twice if a convolution stays in float.
        is_symmetric (bool): Let the integer 0 stand for 0, use all 8 bits, and leave biases in float:
            what TensorRT wants. Defaults to False.

    Returns:
        ModelProto: The model in int8, without metadata.

    Raises:
        ImportError: If what export needs is not installed.
        ValueError: If the model has nothing to quantise, is quantised already, or its opset is too
            old.
    """
    check_installed()
    _check_float32(model, 'int8')
    if iter(batches) is batches:  # there for one iteration
        batches = list(batches)
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quietly():
        given, prepared, quantized = (Path(folder) / f'{name}.onnx'
                                      for name in ('fp32', 'prepared', 'int8'))
        onnx.save(model, given)
        # Folds norms into convolutions.
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        floating = onnx.load(prepared)
        nodes = [node.name for node in network_of(floating) if node.op_type in _QUANTIZED]

        def quantize() -> Any:
            quantize_static(prepared, quantized, _reader(model.graph.input[0].name, batches),
                            QuantFormat.QDQ, list(_QUANTIZED), per_channel=True,
                            reduce_range=not is_symmetric,
                            activation_type=QuantType.QInt8 if is_symmetric else QuantType.QUInt8,
                            weight_type=QuantType.QInt8, nodes_to_quantize=nodes,
                            extra_options=dict(ActivationSymmetric=is_symmetric,
                                               QuantizeBias=not is_symmetric))
            return onnx.load(quantized)

        found = quantize()
        if noisy := _noisy_convolutions(found):
            stay = _with_neighbours(floating, noisy)
            nodes = [name for name in nodes if name not in stay]
            found = quantize() if nodes else floating  # no names would be all nodes
        return found


def _noisy_convolutions(model: Any) -> set[str]:
    """Return the names of a quantised model's convolutions that rounding their input changes a lot."""
    import onnx

    constants = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    rounded = {node.input[0]: node for node in model.graph.node if node.op_type == 'QuantizeLinear'}
    noisy = set()
    for node in model.graph.node:
        if node.op_type != 'Conv':
            continue
        x, w = (made_by.get(name) for name in node.input[:2])
        y = rounded.get(node.output[0])
        if x is None or w is None or y is None or x.op_type != 'DequantizeLinear':
            continue
        weights = constants[w.input[0]].astype(np.float32) * constants[w.input[1]].reshape(-1, 1, 1, 1)
        # Of a uniform error between half a step below and half a step above.
        noise = constants[x.input[1]] / 12 ** 0.5 * np.sqrt((weights ** 2).sum((1, 2, 3)))
        if noise.max() > _MOST_NOISE * 255 * constants[y.input[1]]:
            noisy.add(node.name)
    return noisy


def _with_neighbours(model: Any, names: set[str]) -> set[str]:
    """Return convolutions with their activations, and those from whose activation they take their input.

    ONNX Runtime leaves out an activation after a quantised convolution, whose integers end where it
    would, and then the rounding before a convolution in float, which so would get what is beyond.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    by_name = {node.name: node for node in model.graph.node}
    found, todo = set(names), list(names)
    while todo:
        activation = made_by.get(by_name[todo.pop()].input[0])
        if activation is not None and activation.op_type in _ACTIVATIONS:
            before = made_by.get(activation.input[0])
            if before is not None and before.op_type == 'Conv' and before.name not in found:
                found.add(before.name)
                todo.append(before.name)
    return found | {node.name for node in model.graph.node if node.op_type in _ACTIVATIONS
                    and node.input[0] in made_by and made_by[node.input[0]].name in found}


def to_fp16(model: Any) -> Any:
    """Return an ONNX model whose network computes in float16.

    Inputs and outputs stay as they are, and preprocessing, decoding, NMS and the last convolutions too.

    Args:
        model (ModelProto): The model in float32.

    Returns:
        ModelProto: The model in float16.

    Raises:
        ImportError: If what export needs is not installed.
        ValueError: If the model has nothing to convert, is in another precision already, or its opset
            is too old.
    """
    check_installed()
    _check_float32(model, 'fp16')
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network = {node.name for node in network_of(model)}
    others = [node.name for node in model.graph.node if node.name not in network]
    with _quietly():
        return convert_float_to_float16(model, keep_io_types=True, op_block_list=[],
                                        node_block_list=others)


def _check_float32(model: Any, precision: str) -> None:
    import onnx

    kinds = {node.op_type for node in model.graph.node}
    types = {x.data_type for x in model.graph.initializer}
    is_float16 = onnx.TensorProto.FLOAT16 in types
    if is_float16 or {'QuantizeLinear', 'DequantizeLinear', 'QLinearConv', 'ConvInteger'} & kinds:
        raise ValueError(f'the model is {"in float16" if is_float16 else "quantised"} already: give the '
                         'one in float32')
    [opset] = [x.version for x in model.opset_import if x.domain in ('', 'ai.onnx')]
    if opset < _LEAST_OPSET:
        raise ValueError(f'the model has opset {opset}, but {precision} needs at least {_LEAST_OPSET}: '
                         'export it anew')


def network_of(model: Any) -> list[Any]:
    """Return the nodes from the first convolutions to the last ones, without the last ones themselves.

    A convolution is a last one where none comes after it. What is neither after a convolution nor one,
    such as the preprocessing, does not count.

    Raises:
        ValueError: If the model has no convolution after another.
    """
    nodes = list(model.graph.node)  # sorted: each after those that it takes from
    after: set[int] = set()
    before: set[int] = set()
    from_convolutions: set[str] = set()
    for index, node in enumerate(nodes):
        if node.op_type == 'Conv' or not from_convolutions.isdisjoint(node.input):
            after.add(index)
            from_convolutions.update(node.output)
    to_convolutions: set[str] = set()
    for index, node in reversed(list(enumerate(nodes))):
        if not to_convolutions.isdisjoint(node.output):
            before.add(index)
        if index in before or node.op_type == 'Conv':
            to_convolutions.update(node.input)
    network = [nodes[index] for index in sorted(after & before)]
    if not network:
        raise ValueError('the model has no convolution after another')
    return network


def _reader(name: str, batches: Iterable[np.ndarray]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    return Reader()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep back ONNX Runtime's advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
