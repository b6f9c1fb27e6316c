"""The operations of a SavedModel, read before any of them runs."""

from pathlib import Path

from google.protobuf.message import DecodeError

from esrgan_tf.errors import UserError

# Operations with effects that a network has. All others read or write files, talk to other machines, or keep a state.
_HARMLESS = {
    *("VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "StatefulPartitionedCall", "PartitionedCall", "NoOp"),
    *("Placeholder", "StatefulIf", "StatefulWhile"),
}


def check_operations(folder: Path) -> None:
    """Refuses graphs with effects outside of the network, in whatever is run when it is loaded or called.

    Raises:
        UserError: an operation reads or writes files, say, or is not known; or `saved_model.pb` is damaged.
    """
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    file = saved_model_pb2.SavedModel()
    try:
        file.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise UserError(f"{folder} is not a SavedModel of esrgan-tf: its saved_model.pb is damaged") from error
    for graph in file.meta_graphs:
        functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
        # What saves and restores checkpoints by file names is no function of an object; the loader does without it.
        waiting = [name for name in graph.object_graph_def.concrete_functions if name in functions]
        seen = set(waiting)
        while waiting:
            for node in functions[waiting.pop()]:
                called = [node.op, *_called_by(node)]
                waiting += [name for name in called if name in functions and name not in seen]
                seen.update(called)
                definition = op_def_registry.get(node.op)
                known = node.op in functions or definition is not None
                if not known or (definition is not None and definition.is_stateful and node.op not in _HARMLESS):
                    raise UserError(
                        f"{folder} is not a SavedModel of esrgan-tf: its graph has the operation {node.op}, which is "
                        "no part of a network; it was not run"
                    )


def _called_by(node):
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
