"""Export of generators: SavedModel, LiteRT, ONNX, model cards and releases."""
