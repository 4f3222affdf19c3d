import FileFormats
import IR
import OnnxFormat

// Walking lists of nodes: order, names, functions.
extension OnnxSession {
  /// Lowers the nodes that `outputs` need, in an order in which every value exists before it is used.
  func lower(_ nodes: [Onnx_NodeProto], in scope: OnnxScope, outputs: [String]) throws {
    var producer: [String: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for name in node.output where !name.isEmpty {
        if producer.updateValue(index, forKey: name) != nil || scope.defines(name) {
          throw malformed("tensor '\(name)'", "is computed twice, by node '\(OnnxNode.label(node))' too")
        }
      }
    }
    let reads = try nodes.map { node -> [Int] in
      var indices: [Int] = []
      for name in Self.namesRead(by: node) {
        if let index = producer[name] {
          indices.append(index)
        } else if scope.find(name) == nil {
          throw malformed(
            "node '\(OnnxNode.label(node))' (\(node.opType))",
            "needs tensor '\(name)', which nothing computes")
        }
      }
      return indices
    }
    lowering.epsilons.formUnion(Self.epsilons(nodes))
    let needed = self.needed(outputs.compactMap { producer[$0] }, reads)
    for index in try order(nodes, reads) where needed[index] {
      try lower(nodes[index], in: scope)
    }
  }

  /// Names of values that an Add brings under a Sqrt: guards against division by zero.
  private static func epsilons(_ nodes: [Onnx_NodeProto]) -> Set<String> {
    var roots: Set<String> = []
    for node in nodes where node.opType == "Sqrt" { roots.formUnion(node.input) }
    if roots.isEmpty { return [] }
    var names: Set<String> = []
    for node in nodes where node.opType == "Add" && node.output.contains(where: roots.contains) {
      names.formUnion(node.input)
    }
    return names
  }

  /// The nodes that the given ones depend on, themselves included.
  private func needed(_ roots: [Int], _ reads: [[Int]]) -> [Bool] {
    var needed = [Bool](repeating: false, count: reads.count)
    var pending = roots
    while let next = pending.popLast() {
      if needed[next] { continue }
      needed[next] = true
      pending.append(contentsOf: reads[next])
    }
    return needed
  }

  /// A topological order that keeps the file's order where it can (Kahn's algorithm).
  private func order(_ nodes: [Onnx_NodeProto], _ reads: [[Int]]) throws -> [Int] {
    var users = [[Int]](repeating: [], count: nodes.count)
    var missing = [Int](repeating: 0, count: nodes.count)
    for (index, sources) in reads.enumerated() {
      for source in Set(sources) {
        users[source].append(index)
        missing[index] += 1
      }
    }
    var order: [Int] = []
    var done = [Bool](repeating: false, count: nodes.count)
    for start in nodes.indices where !done[start] && missing[start] == 0 {
      var ready = [start]
      while let next = ready.popLast() {
        if done[next] { continue }
        done[next] = true
        order.append(next)
        for user in users[next] {
          missing[user] -= 1
          // Nodes further on in the file are met by the outer loop.
          if missing[user] == 0 && user < start { ready.append(user) }
        }
      }
    }
    if order.count < nodes.count {
      let stuck = nodes.indices.first { !done[$0] } ?? 0
      throw malformed(
        "node '\(OnnxNode.label(nodes[stuck]))' (\(nodes[stuck].opType))", "is part of a cycle")
    }
    return order
  }

  /// The names a node reads, those its subgraphs take from around them included.
  static func namesRead(by node: Onnx_NodeProto) -> [String] {
    var names = node.input.filter { !$0.isEmpty }
    for attribute in node.attribute {
      if attribute.hasG { names += freeNames(of: attribute.g) }
      for graph in attribute.graphs { names += freeNames(of: graph) }
    }
    return names
  }

  /// Names that a subgraph uses but does not define. (The parser limits how deep messages nest.)
  static func freeNames(of graph: Onnx_GraphProto) -> [String] {
    var own = Set(graph.input.map(\.name))
    own.formUnion(graph.initializer.map(\.name))
    own.formUnion(graph.sparseInitializer.map(\.values.name))
    for node in graph.node { own.formUnion(node.output) }
    var free = graph.output.map(\.name).filter { !own.contains($0) }
    for node in graph.node { free += namesRead(by: node).filter { !own.contains($0) } }
    return free
  }

  /// Lowers one node and defines its outputs.
  func lower(_ proto: Onnx_NodeProto, in scope: OnnxScope) throws {
    let domain = Self.domain(proto.domain)
    let inputs = try proto.input.map { name -> Value? in
      if name.isEmpty { return nil }
      guard let value = scope.find(name) else {
        throw malformed("node '\(OnnxNode.label(proto))'", "needs tensor '\(name)', which nothing computes")
      }
      // An empty optional stands for an input that is left out.
      if case .nothing = value.content, !OnnxOperators.readOptionals.contains(proto.opType) { return nil }
      return value
    }
    operatorCounts[proto.opType, default: 0] += 1
    lowering.builder.origin = proto.opType
    lowering.builder.scope = OnnxNode.label(proto) + "/"
    let first = lowering.builder.nodes.count
    let results: [Value]
    let key = FunctionKey(domain: domain, name: proto.opType, overload: proto.overload)
    if let function = functions[key] {
      results = try call(function, proto, inputs)
    } else {
      let node = try OnnxNode(
        proto, inputs: inputs, version: opsets[domain] ?? 1, tensors: file.tensors,
        literals: lowering.literals)
      if opsets[domain] == nil {
        throw node.malformed("the model imports no opset of domain '\(domain)'")
      }
      results = try OnnxOperators.lower(node, domain: domain, in: self, scope)
    }
    guard results.count >= proto.output.count else {
      throw UnsupportedOperator(
        node: OnnxNode.label(proto), operatorName: proto.opType,
        reason: "output \(results.count) is not supported")
    }
    for (name, value) in zip(proto.output, results) where !name.isEmpty {
      guard scope.define(name, value) else { throw malformed("tensor '\(name)'", "is computed twice") }
      // Values that were here before (Identity) keep their names.
      if case .node(let id) = value.content, id >= first { names[id] = name }
    }
  }

  /// Inlines a model-local function.
  private func call(_ function: Onnx_FunctionProto, _ proto: Onnx_NodeProto, _ inputs: [Value?]) throws
    -> [Value]
  {
    let place = "node '\(OnnxNode.label(proto))' (\(proto.opType))"
    guard callDepth < 64 else { throw malformed(place, "functions call each other without end") }
    guard inputs.count <= function.input.count, proto.output.count <= function.output.count else {
      throw malformed(place, "has more inputs or outputs than the function it calls")
    }
    var given: [String: Onnx_AttributeProto] = [:]
    for attribute in function.attributeProto { given[attribute.name] = attribute }
    for attribute in proto.attribute { given[attribute.name] = attribute }
    let scope = OnnxScope()
    for (index, name) in function.input.enumerated() {
      let value = index < inputs.count ? inputs[index] : nil
      guard scope.define(name, value ?? .nothing) else {
        throw malformed(place, "the function defines '\(name)' twice")
      }
    }
    let outer = opsets
    let imports = try Self.opsets(function.opsetImport, file.tensors.file)
    opsets = imports.isEmpty ? outer : imports
    callDepth += 1
    defer {
      opsets = outer
      callDepth -= 1
    }
    let body = function.node.map { Self.substituting(given, in: $0) }
    try lower(body, in: scope, outputs: function.output)
    return try function.output.map { name in
      guard let value = scope.find(name) else {
        throw malformed(place, "the function does not compute '\(name)'")
      }
      return value
    }
  }

  /// A function's node with references to the function's attributes replaced by what the call gave; references to
  /// attributes that were not given vanish.
  private static func substituting(_ given: [String: Onnx_AttributeProto], in node: Onnx_NodeProto)
    -> Onnx_NodeProto
  {
    var node = node
    node.attribute = node.attribute.compactMap { attribute in
      if attribute.hasRefAttrName, !attribute.refAttrName.isEmpty {
        guard var value = given[attribute.refAttrName] else { return nil }
        value.name = attribute.name
        return value
      }
      guard attribute.hasG else { return attribute }
      var copy = attribute
      copy.g.node = attribute.g.node.map { substituting(given, in: $0) }
      return copy
    }
    return node
  }

  /// Evaluates a subgraph whose inputs have the given values.
  func subgraph(_ graph: Onnx_GraphProto, _ inputs: [Value], around scope: OnnxScope, _ node: OnnxNode) throws
    -> [Value]
  {
    guard inputs.count == graph.input.count else {
      throw node.malformed("the subgraph has \(graph.input.count) inputs, \(inputs.count) are given")
    }
    let inner = OnnxScope(parent: scope)
    try readInitializers(graph, into: inner)
    for (info, value) in zip(graph.input, inputs) {
      guard inner.define(info.name, value) else { throw node.malformed("'\(info.name)' is defined twice") }
    }
    let names = graph.output.map(\.name)
    try lower(graph.node, in: inner, outputs: names)
    lowering.builder.origin = node.op
    lowering.builder.scope = node.label + "/"
    return try names.map { name in
      guard let value = inner.find(name) else {
        throw node.malformed("the subgraph does not compute '\(name)'")
      }
      return value
    }
  }
}
