// OnnxFormat: the ONNX protobuf messages and decoding of their tensors.
