// Tensors: shapes, storage, broadcasting and the numeric kernels.
