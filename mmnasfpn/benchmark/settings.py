"""What the benchmarks compare, without what runs it: a command line reads it at once."""

#: The models that are compared.
OURS, MMDET, FPN, CONVOLUTIONS = 'NAS-FPN', "MMDetection's NASFPN", 'FPN', 'convolutions alone'

#: What ``--ways`` puts together, with ``+`` between; ``eager`` is none of them.
SWITCHES = dict(
    folded='batch normalisation is folded into the convolutions; for inference',
    channels_last='tensors are stored channels last',
    bf16='automatic mixed precision in bfloat16',
    recomputed='the neck recomputes its stacks in the backward pass; for training',
    compiled='by torch.compile',
    onnx='exported, by ONNX Runtime, on its own; for inference on a CPU')

#: What is measured by PyTorch unless ``--ways`` is given.
DEFAULT_WAYS = dict(infer=('eager', 'channels_last', 'folded', 'folded+channels_last'),
                    train=('eager', 'channels_last', 'channels_last+recomputed'))

#: The parts of a Markdown file that the tables replace.
CASES_PARTS = dict(infer='benchmark of inference', train='benchmark of training')
COUNTS_PARTS = dict(infer='operations of inference', train='operations of training')
SIZES_PARTS = dict(infer='growth in inference', train='growth in training')

#: What can run a detector that is deployed on a CPU.
RUNTIMES = {
    'eager': 'PyTorch', 'compiled': 'PyTorch, compiled', 'onnx': 'ONNX Runtime',
    'onnx-int8': 'ONNX Runtime, int8', 'openvino': 'OpenVINO', 'openvino-int8': 'OpenVINO, int8',
    'openvino-throughput': 'OpenVINO, throughput',
    'openvino-int8-throughput': 'OpenVINO, int8, throughput'}

#: The part of a Markdown file that gets their latencies.
RUNTIMES_PART = 'latencies by runtime'
