// Rigor: rounding-error constants and exact rational arithmetic.
