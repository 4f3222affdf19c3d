// Circuits: contextual decomposition and circuit discovery.
