"""Export: a checkpoint becomes a model folder of ONNX graphs, compared with PyTorch."""
