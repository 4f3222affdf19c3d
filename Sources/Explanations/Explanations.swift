// Explanations: explainers of graph networks and their fidelity.
