// Bounds: the CROWN family of bound propagation.
