// Specifications: VNN-LIB queries, boxes and norm balls.
