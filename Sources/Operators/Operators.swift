// Operators: the concrete operator types, each joining one kind.
