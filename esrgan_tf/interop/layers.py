"""What a layer's tensors are called and shaped in PyTorch, and which Keras variables they are."""

Tensors = dict[str, tuple[str, tuple[int, ...]]]  # {PyTorch's name: (the Keras variable's path, shape in PyTorch)}


def conv(name: str, path: str, outputs: int, inputs: int, size: int, bias: bool = True) -> Tensors:
    """A convolution's kernel, and its bias if it has one."""
    result = {f"{name}.weight": (f"{path}/kernel", (outputs, inputs, size, size))}
    return result | ({f"{name}.bias": (f"{path}/bias", (outputs,))} if bias else {})


def batch_norm(name: str, path: str, channels: int) -> Tensors:
    """Batch normalisation, without PyTorch's count of batches, which nothing is computed from."""
    parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{name}.{part}": (f"{path}/{ours}", (channels,)) for part, ours in parts.items()}


def dense(name: str, path: str, outputs: int, inputs: int) -> Tensors:
    """A dense layer's kernel and bias."""
    return {f"{name}.weight": (f"{path}/kernel", (outputs, inputs)), f"{name}.bias": (f"{path}/bias", (outputs,))}


def spectral_conv(name: str, path: str, outputs: int, inputs: int, size: int) -> Tensors:
    """A convolution without bias, and the singular vectors that its kernel is divided by."""
    return {
        f"{name}.weight_orig": (f"{path}/kernel", (outputs, inputs, size, size)),
        f"{name}.weight_u": (f"{path}_sn/vector_u", (outputs,)),
        f"{name}.weight_v": (f"{path}_sn/vector_v", (inputs * size**2,)),
    }
