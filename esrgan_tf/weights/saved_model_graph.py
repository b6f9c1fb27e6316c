"""Operations and named weights of a SavedModel, read before the SavedModel is loaded."""

from pathlib import Path

from google.protobuf.message import DecodeError

from esrgan_tf.errors import UserError

# Stateful operations of networks. All other stateful operations access files, the network, or a state.
_HARMLESS = {
    *("VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "StatefulPartitionedCall", "PartitionedCall", "NoOp"),
    *("Placeholder", "StatefulIf", "StatefulWhile"),
}


def check_operations(folder: Path) -> None:
    """Refuses a SavedModel with operations that have side effects, in any function that loading or a call runs.

    Raises:
        UserError: an operation is unknown or has side effects, such as file access; or `saved_model.pb` is damaged.
    """
    from tensorflow.python.framework import op_def_registry

    for graph in _parse(folder).meta_graphs:
        functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
        # The functions that save and restore checkpoints belong to no object; the loader does not run them.
        unchecked = [name for name in graph.object_graph_def.concrete_functions if name in functions]
        seen = set(unchecked)
        while unchecked:
            for node in functions[unchecked.pop()]:
                called = [node.op, *_called_functions(node)]
                unchecked += [name for name in called if name in functions and name not in seen]
                seen.update(called)
                definition = op_def_registry.get(node.op)
                known = node.op in functions or definition is not None
                if not known or (definition is not None and definition.is_stateful and node.op not in _HARMLESS):
                    raise UserError(
                        f"{folder} was not run, because its graph has the operation {node.op}, which is no part of a "
                        "network; expected a SavedModel of esrgan-tf"
                    )


def named_shapes(folder: Path) -> tuple[dict[str, tuple[int, ...]], int]:
    """`{path: shape}` of the variables of a SavedModel of this package, and its number of image channels.

    Signatures are not read, because loading, training and saving again removes them.

    Raises:
        UserError: the SavedModel has no list `variables` or no call for float images, or `saved_model.pb` is damaged.
    """
    graphs = _parse(folder).meta_graphs
    shapes: dict[str, tuple[int, ...]] = {}
    channels = None
    for graph in graphs[:1]:
        objects = graph.object_graph_def
        if objects.nodes:
            children = {child.local_name: objects.nodes[child.node_id] for child in objects.nodes[0].children}
            variables = children["variables"].children if "variables" in children else ()
            found = [objects.nodes[child.node_id].variable for child in variables]
            shapes = {v.name.removesuffix(":0"): tuple(d.size for d in v.shape.dim) for v in found if v.name}
            if "__call__" in children:
                channels = _channels(objects, children["__call__"].function.concrete_functions)
    lacking = [] if shapes else ["no list `variables` of named weights"]
    lacking += [] if channels else ["no call for float images [B, H, W, C]"]
    if lacking or channels is None:
        raise UserError(
            f"{folder} is not a SavedModel of esrgan-tf: it has {' and '.join(lacking)}. Expected a folder of "
            "esrgan-tf export or export_saved_model, even if loaded and saved again. "
            'For a Keras model, name the file that model.save("NAME.keras") writes'
        )
    return shapes, channels


def _channels(objects, names):
    """C of the first function with images `[B, H, W, C]` as first argument; None without such a function."""
    from tensorflow.core.framework import types_pb2

    for name in names:
        arguments = objects.concrete_functions[name].canonicalized_input_signature.tuple_value.values
        for image in arguments[0].tuple_value.values[:1] if arguments else ():
            spec = image.tensor_spec_value
            if spec.dtype == types_pb2.DT_FLOAT and len(spec.shape.dim) == 4:
                return spec.shape.dim[3].size
    return None


def _parse(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder} holds no SavedModel (saved_model.pb)")
    file = saved_model_pb2.SavedModel()
    try:
        file.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise UserError(f"{folder} is not a SavedModel of esrgan-tf: its saved_model.pb is damaged") from error
    return file


def _called_functions(node):
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
