// IR: the graph, the kinds of operation and the two walks.
