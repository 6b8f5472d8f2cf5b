"""What TensorRT needs of an ONNX model. TensorRT itself is not needed here."""
from typing import Any


def check_for_tensorrt(model: Any) -> None:
    """Check a model by ONNX's checker and shape inference, and that all its sizes are known.

    An operator that gives as much as it finds, such as NonMaxSuppression, has no known size.

    Args:
        model (ModelProto): The model.

    Raises:
        ValueError: If a size is open, or an operator is not ONNX's own.
        ValidationError, InferenceError: ONNX's, if the model is wrong.
    """
    import onnx

    onnx.checker.check_model(model, full_check=True)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    known = {value.name for value in (*graph.value_info, *graph.output)
             if value.type.tensor_type.HasField('shape')
             and all(dim.HasField('dim_value') for dim in value.type.tensor_type.shape.dim)}
    for node in graph.node:
        if node.domain not in ('', 'ai.onnx'):
            raise ValueError(f'the model has an operator {node.op_type} of {node.domain}, which '
                             'TensorRT does not know')
        if unknown := [name for name in node.output if name and name not in known]:
            raise ValueError(f'the model has an operator {node.op_type} whose output {unknown[0]} is of '
                             'no known size, which TensorRT would not take')
