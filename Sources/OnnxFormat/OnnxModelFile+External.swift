extension OnnxModelFile {
  /// The files that tensors of the model lie in, as the model names them.
  package func externalLocations() -> Set<String> {
    var found: Set<String> = []
    func visit(_ tensor: Onnx_TensorProto) {
      guard tensor.dataLocation == .external else { return }
      for entry in tensor.externalData where entry.key == "location" { found.insert(entry.value) }
    }
    func visit(_ nodes: [Onnx_NodeProto]) {
      for attribute in nodes.flatMap(\.attribute) {
        if attribute.hasT { visit(attribute.t) }
        for tensor in attribute.tensors { visit(tensor) }
        if attribute.hasG { visit(attribute.g) }
        for graph in attribute.graphs { visit(graph) }
      }
    }
    func visit(_ graph: Onnx_GraphProto) {
      for tensor in graph.initializer { visit(tensor) }
      for tensor in graph.sparseInitializer {
        visit(tensor.values)
        visit(tensor.indices)
      }
      visit(graph.node)
    }
    visit(model.graph)
    for function in model.functions { visit(function.node) }
    return found
  }
}
