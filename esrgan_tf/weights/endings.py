"""What the files are that are no model to us, by their endings, for the line that refuses them."""

_HDF5 = "an HDF5 file, as Keras 2 wrote models and Keras 3 writes weights alone"
_CHECKPOINT = "part of a TensorFlow checkpoint"
_ARCHIVE = "an archive; unpack it"

OTHERS = {
    ".onnx": "an ONNX model, which is written but not read",
    ".tflite": "a LiteRT model, which is written but not read",
    ".param": "a network of ncnn",
    ".bin": "weights of ncnn or OpenVINO, or of PyTorch, which are to be renamed .pth",
    ".xml": "a network of OpenVINO",
    ".engine": "a TensorRT engine",
    ".mlmodel": "a Core ML model",
    ".gguf": "a GGUF model",
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".pb": "a TensorFlow graph; of a SavedModel, name the folder",
    ".index": _CHECKPOINT,
    ".meta": _CHECKPOINT,
    ".data-00000-of-00001": _CHECKPOINT,
    ".npz": "an archive of NumPy arrays",
    ".npy": "a NumPy array",
    ".pkl": "a pickle, which could run code",
    ".json": "a JSON file",
    ".yaml": "a configuration; of a run, name the folder",
    ".zip": _ARCHIVE,
    ".gz": _ARCHIVE,
    ".tar": _ARCHIVE,
}
