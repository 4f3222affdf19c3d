import IR
import Operators
import Rigor
import Specifications
import Tensors

/// A problem about several parallel networks in the coordinates (value, difference): see `Twin`.
///
/// Rows over the values of a second network are rows over the first one's values and the differences, so that what both runs
/// have in common cancels before anything is bounded. Witnesses are still checked on the networks themselves.
struct TwinForm: Sendable {
  let graph: Graph
  /// The rows as the one output.
  let rowGraph: Graph
  let inputNode: NodeID
  /// In the order of the problem's rows.
  let rows: [VerificationProblem.Row]
}

extension ProblemBuilder {
  /// nil for a query over one network, where the networks do not run in parallel, where rows speak of hidden values, and over
  /// float arithmetic: a difference node knows nothing of the rounding of either run.
  func twinForm(type: ElementType) throws -> TwinForm? {
    guard semantics == .real, models.count > 1, query.networks.allSatisfy(\.hidden.isEmpty), !rows.isEmpty
    else {
      return nil
    }
    let networks = models.map { $0.expandingComposites().graph }
    var builder = GraphBuilder(origin: "Query")
    let input = builder.input("inputs", [inputCount], type: type)
    let first = try copy(networks[0], query.networks[0], input: input, into: &builder)
    let base = networks[0].inputs.map { first[$0] }
    var sources = try values(query.networks[0], networks[0]) { [first[$0]] }
    for (network, declaration) in zip(networks, query.networks).dropFirst() {
      let inputs = try differences(declaration, network, from: base, input: input, in: &builder)
      guard
        let twin = try Twin(of: network, from: networks[0], nodes: first, inputs: inputs, into: &builder)
      else { return nil }
      sources.merge(
        try values(declaration, network) { node in
          guard let value = twin.values[node] else { return [] }
          return [value.first] + (value.difference.map { [$0] } ?? [])
        }
      ) { own, _ in own }
    }
    let rows = try rows.map { try inTwin($0, sources) }
    guard let rowGraph = Self.rowGraph(builder, rows, input: input) else { return nil }
    for node in Set(
      rows.flatMap(\.terms).compactMap { term -> NodeID? in
        if case .value(let node, _) = term.source { return node }
        return nil
      }
    ).sorted() {
      builder.output(node)
    }
    // Equal networks: no row has a term left, and the graph computes nothing.
    if builder.outputs.isEmpty { builder.output(input) }
    return TwinForm(graph: builder.build(), rowGraph: rowGraph, inputNode: input, rows: rows)
  }

  /// The first network over the flat input; by node, where it stands.
  private func copy(
    _ network: Graph, _ declaration: NetworkDeclaration, input: NodeID, into builder: inout GraphBuilder
  ) throws -> [NodeID] {
    var mapping = [NodeID](repeating: -1, count: network.nodes.count)
    for (id, index) in try inputIndices(declaration, network) {
      mapping[id] = try builder.linear(
        IndexMap([inputCount], to: network[id].shape, index: index), input, name: network[id].name)
    }
    for node in network.nodes where mapping[node.id] < 0 {
      mapping[node.id] = builder.append(
        node.operation, inputs: node.inputs.map { mapping[$0] }, shape: node.shape, type: node.elementType,
        name: node.name)
    }
    return mapping
  }

  /// By input of the network: the flat inputs it sees.
  private func inputIndices(_ declaration: NetworkDeclaration, _ network: Graph) throws -> [(NodeID, [Int32])]
  {
    let nodes = try matched(
      declaration, declaration.inputs, network.inputs.map { ($0, network[$0].name) }, "inputs")
    return zip(declaration.inputs, nodes).map { tensor, node in
      (node, tensor.variables.map { Int32(inputNumbers[$0] ?? 0) })
    }
  }

  /// By how much each input of a network exceeds the first network's; nil where both see the same flat inputs.
  private func differences(
    _ declaration: NetworkDeclaration, _ network: Graph, from base: [NodeID], input: NodeID,
    in builder: inout GraphBuilder
  ) throws -> [NodeID?] {
    let own = Dictionary(uniqueKeysWithValues: try inputIndices(declaration, network))
    let first = Dictionary(uniqueKeysWithValues: try inputIndices(query.networks[0], models[0]))
    return try zip(network.inputs, models[0].inputs).enumerated().map { place, pair -> NodeID? in
      guard let b = own[pair.0], let a = first[pair.1], a != b, place < base.count else { return nil }
      let rows = zip(b, a).map { q, p in
        q == p ? [] : [SparseEntry(Int(q), 1), SparseEntry(Int(p), -1)]
      }
      return try builder.linear(
        SparseMap([inputCount], to: network[pair.0].shape, rows: rows), input,
        name: "difference of \(network[pair.0].name)")
    }
  }

  /// By output of a network, where the problem finds it: the values that it is the sum of.
  private func values(
    _ declaration: NetworkDeclaration, _ network: Graph, _ parts: (NodeID) -> [NodeID]
  ) throws -> [VerificationProblem.Source: [VerificationProblem.Source]] {
    let outputs = try matched(
      declaration, declaration.outputs, network.outputs.map { ($0.node, $0.name) }, "outputs")
    var result: [VerificationProblem.Source: [VerificationProblem.Source]] = [:]
    for (tensor, node) in zip(declaration.outputs, outputs) {
      for (place, variable) in tensor.variables.enumerated() {
        result[self.source(of: variable)] = parts(node).map { .value($0, place) }
      }
    }
    return result
  }

  /// A row over values as one over values and differences.
  private func inTwin(
    _ row: VerificationProblem.Row, _ sources: [VerificationProblem.Source: [VerificationProblem.Source]]
  ) throws -> VerificationProblem.Row {
    var order: [VerificationProblem.Source] = []
    var sums: [VerificationProblem.Source: Rational] = [:]
    var errors: [VerificationProblem.Source: Double] = [:]
    for (index, term) in row.terms.enumerated() {
      for source in sources[term.source] ?? [term.source] {
        if sums[source] == nil { order.append(source) }
        sums[source, default: .zero] += row.exactCoefficients[index]
      }
    }
    order.removeAll { sums[$0]?.isZero ?? true }
    for source in order {
      let exact = sums[source] ?? .zero
      errors[source] = (exact - Rational(exact.nearestDouble)).magnitude.roundedUp
    }
    var twin = row
    twin.terms = order.map { ($0, (sums[$0] ?? .zero).nearestDouble) }
    twin.coefficientErrors = order.map { errors[$0] ?? 0 }
    twin.exactCoefficients = order.map { sums[$0] ?? .zero }
    return twin
  }
}
