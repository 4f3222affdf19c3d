import FileFormats
import IR
import Operators
import Rigor
import Specifications
import Tensors

/// Builds a ``VerificationProblem``.
struct ProblemBuilder {
  let query: Query
  let models: [Graph]
  let semantics: Semantics
  private var sources: [VerificationProblem.Source]
  /// By query variable that is an input: the number of the flat input.
  var inputNumbers: [Int: Int] = [:]
  var inputCount = 0
  private(set) var rows: [VerificationProblem.Row] = []
  private var rowIndex: [RowKey: Int] = [:]

  private struct RowKey: Hashable {
    var sources: [VerificationProblem.Source]
    var coefficients: [Rational]
    var constant: Rational
  }

  init(_ query: Query, networks: [String: Graph]) throws {
    self.query = query
    var models: [Graph] = []
    var used: Set<String> = []
    for declaration in query.networks {
      var name = declaration.name
      if case .equalTo(let other) = declaration.equivalence {
        guard networks[name] == nil else {
          throw FileError(
            file: query.file, place: declaration.position.description,
            reason: "the network \(name) is declared equal to \(other) and takes no model of its own")
        }
        name = other
      }
      guard let model = networks[name] else {
        throw FileError(
          file: query.file, place: declaration.position.description,
          reason: name.isEmpty ? "no network is given" : "no model is given for the network \(name)")
      }
      used.insert(name)
      models.append(model)
    }
    if let surplus = networks.keys.filter({ !used.contains($0) }).sorted().first {
      throw FileError(
        file: query.file, reason: "a model is given for \(surplus), which the query does not declare")
    }
    self.models = models
    sources = []
    semantics = try query.semantics()
  }

  /// Where the value of a query variable is found, once the networks are joined.
  func source(of variable: Int) -> VerificationProblem.Source { sources[variable] }

  // MARK: Types

  private func checkType(_ tensor: TensorDeclaration, _ node: Node) throws {
    let type = node.elementType
    let fits: Bool
    switch semantics {
    case .real: fits = type.isFloatingPoint
    case .float32: fits = type == .float32
    case .float64: fits = type == .float64
    }
    guard fits else {
      throw FileError(
        file: query.file, place: tensor.position.description,
        reason:
          "\(tensor.name) has the element type \(tensor.type), the model's '\(node.name)' has \(type.rawValue)"
      )
    }
  }

  private func checkShape(_ tensor: TensorDeclaration, _ node: Node) throws {
    // Version 1.0 knows flat vectors only; leading extents of 1 are a batch of one.
    func trimmed(_ dims: [Int]) -> [Int] { Array(dims.drop { $0 == 1 }) }
    let fits =
      query.majorVersion == 1
      ? tensor.count == node.shape.count : trimmed(tensor.shape) == trimmed(node.shape.dims)
    guard fits else {
      throw FileError(
        file: query.file, place: tensor.position.description,
        reason: "\(tensor.name) has the shape \(tensor.shape), the model's '\(node.name)' has \(node.shape)")
    }
  }

  /// Checks shapes and types of a network's inputs and outputs. Hidden values must fit, too.
  private func checkDeclaration(_ declaration: NetworkDeclaration, _ model: Graph) throws {
    let inputs = try matched(
      declaration, declaration.inputs, model.inputs.map { ($0, model[$0].name) }, "inputs")
    let outputs = try matched(
      declaration, declaration.outputs, model.outputs.map { ($0.node, $0.name) }, "outputs")
    for (tensor, node) in zip(declaration.inputs + declaration.outputs, inputs + outputs) {
      try checkShape(tensor, model[node])
      try checkType(tensor, model[node])
    }
    for tensor in declaration.hidden {
      let node = try hidden(tensor, model)
      try checkShape(tensor, node)
      try checkType(tensor, node)
    }
  }

  /// The model's node that a hidden value names.
  private func hidden(_ tensor: TensorDeclaration, _ model: Graph) throws -> Node {
    guard let node = model.nodes.last(where: { $0.name == tensor.onnxName }) else {
      throw FileError(
        file: query.file, place: tensor.position.description,
        reason: "the model has no value named '\(tensor.onnxName ?? "")'")
    }
    return node
  }

  // MARK: Graph

  mutating func problem() throws -> VerificationProblem {
    // First of all: tables of variables are as large as the models' tensors, not as the query says.
    for (declaration, model) in zip(query.networks, models) { try checkDeclaration(declaration, model) }
    numberInputs()
    var builder = GraphBuilder(origin: "Query")
    let type = models.first?.inputNodes.first?.elementType ?? .float32
    let input = builder.input("inputs", [inputCount], type: type)
    for (declaration, model) in zip(query.networks, models) {
      try join(declaration, model, input: input, into: &builder)
    }
    for variable in inputNumbers.keys { sources[variable] = .input(inputNumbers[variable] ?? 0) }
    let cases = try query.cases().flatMap { try problemCases($0) }
    let rowGraph = Self.rowGraph(builder, rows, input: input)
    let twin = try twinForm(type: type)
    let networks = builder
    let used = Self.nodes(rows.flatMap(\.terms).map(\.source))
    for node in used.sorted() { builder.output(node) }
    // The search walks the four basic kinds only.
    let (graph, mapping) = builder.build().sparsified().expandingComposites()
    let moved = { (source: VerificationProblem.Source) -> VerificationProblem.Source in
      if case .value(let node, let place) = source { return .value(mapping[node], place) }
      return source
    }
    for r in rows.indices {
      for t in rows[r].terms.indices { rows[r].terms[t].source = moved(rows[r].terms[t].source) }
    }
    var evaluated = VerificationProblem.EvaluatedGraph(
      graph: graph, inputNode: mapping[input], sources: sources.map(moved))
    let declared = Self.nodes(sources)
    if !declared.isSubset(of: used) { evaluated = evaluatedGraph(networks, declared, input: input) }
    return VerificationProblem(
      query: query, semantics: semantics, graph: graph, rowGraph: rowGraph, twin: twin,
      inputNode: mapping[input],
      rows: rows, cases: cases, sources: sources.map(moved), evaluated: evaluated)
  }

  private static func nodes(_ sources: [VerificationProblem.Source]) -> Set<NodeID> {
    Set(
      sources.compactMap { source in
        if case .value(let node, _) = source { return node }
        return nil
      })
  }

  /// The networks with the given nodes as outputs.
  private func evaluatedGraph(_ networks: GraphBuilder, _ nodes: Set<NodeID>, input: NodeID)
    -> VerificationProblem.EvaluatedGraph
  {
    var builder = networks
    for node in nodes.sorted() { builder.output(node) }
    let (graph, mapping) = builder.build().sparsified().expandingComposites()
    return VerificationProblem.EvaluatedGraph(
      graph: graph, inputNode: mapping[input],
      sources: sources.map { source in
        if case .value(let node, let place) = source { return .value(mapping[node], place) }
        return source
      })
  }

  /// Numbers the flat inputs; inputs that the query equates on every path share a number.
  private mutating func numberInputs() {
    var parent = Array(0..<query.variableCount)
    func root(_ v: Int) -> Int {
      var v = v
      while parent[v] != v { v = parent[v] }
      return v
    }
    var isInput = [Bool](repeating: false, count: query.variableCount)
    let inputs = query.tensors.filter { $0.kind == .input }
    for tensor in inputs { for v in tensor.variables { isInput[v] = true } }
    func unite(_ formula: Formula) {
      switch formula {
      case .all(let parts): for part in parts { unite(part) }
      case .any(let parts): if parts.count == 1 { unite(parts[0]) }
      case .comparison(let comparison):
        let terms = comparison.expression.terms
        guard comparison.relation == .equal, comparison.expression.isLinear, terms.count == 2,
          comparison.expression.constant.isZero, terms.allSatisfy({ isInput[$0.variable] }),
          (terms[0].coefficient + terms[1].coefficient).isZero
        else { return }
        let a = root(terms[0].variable)
        let b = root(terms[1].variable)
        parent[max(a, b)] = min(a, b)
      }
    }
    unite(query.formula)
    for tensor in inputs {
      for v in tensor.variables {
        let r = root(v)
        if let number = inputNumbers[r] {
          inputNumbers[v] = number
        } else {
          inputNumbers[v] = inputCount
          inputCount += 1
        }
      }
    }
    sources = Array(repeating: .input(0), count: query.variableCount)
  }

  /// Copies a model into the graph and finds its tensors.
  private mutating func join(
    _ declaration: NetworkDeclaration, _ model: Graph, input: NodeID, into builder: inout GraphBuilder
  ) throws {
    let modelInputs = try matched(
      declaration, declaration.inputs, model.inputs.map { ($0, model[$0].name) }, "inputs")
    let modelOutputs = try matched(
      declaration, declaration.outputs, model.outputs.map { ($0.node, $0.name) }, "outputs")
    var mapping = [NodeID](repeating: -1, count: model.nodes.count)
    if query.majorVersion == 1, modelInputs.count == 1, model.inputs.count > 1 {
      throw FileError(
        file: query.file, reason: "the model has \(model.inputs.count) inputs; VNN-LIB 1.0 knows only one")
    }
    for (tensor, node) in zip(declaration.inputs, modelInputs) {
      let index = tensor.variables.map { Int32(inputNumbers[$0] ?? 0) }
      let isIdentity = index.count == inputCount && index.enumerated().allSatisfy { $0 == Int($1) }
      let map: any LinearMap =
        isIdentity
        ? Reshape([inputCount], to: model[node].shape)
        : IndexMap([inputCount], to: model[node].shape, index: index)
      mapping[node] = try builder.linear(map, input, name: model[node].name)
    }
    let prefix = models.count > 1 ? declaration.name + "/" : ""
    for node in model.nodes where mapping[node.id] < 0 {
      mapping[node.id] = builder.append(
        node.operation, inputs: node.inputs.map { mapping[$0] }, shape: node.shape, type: node.elementType,
        name: prefix + node.name)
    }
    for (tensor, node) in zip(declaration.outputs, modelOutputs) { locate(tensor, node, mapping) }
    for tensor in declaration.hidden { locate(tensor, try hidden(tensor, model).id, mapping) }
  }

  private mutating func locate(_ tensor: TensorDeclaration, _ node: NodeID, _ mapping: [NodeID]) {
    for (i, variable) in tensor.variables.enumerated() { sources[variable] = .value(mapping[node], i) }
  }

  /// The model's node for every declared tensor, by name if all are named, else by order.
  func matched(
    _ declaration: NetworkDeclaration, _ tensors: [TensorDeclaration], _ nodes: [(NodeID, String)],
    _ what: String
  ) throws -> [NodeID] {
    guard tensors.count == nodes.count else {
      throw FileError(
        file: query.file, place: declaration.position.description,
        reason: "the query declares \(tensors.count) \(what), the model has \(nodes.count)")
    }
    guard declaration.isNamed else { return nodes.map(\.0) }
    return try tensors.map { tensor in
      guard let node = nodes.first(where: { $0.1 == tensor.onnxName }) else {
        throw FileError(
          file: query.file, place: tensor.position.description,
          reason: "'\(tensor.onnxName ?? "")' is none of the model's \(what)")
      }
      return node.0
    }
  }

  // MARK: Cases

  /// The nearest number of the query's arithmetic, nil for real arithmetic.
  func rounded(_ x: Rational) -> Rational? { Self.rounded(x, semantics) }

  private static func rounded(_ x: Rational, _ semantics: Semantics) -> Rational? {
    switch semantics {
    case .real: return nil
    case .float32:
      let nearest = x.nearestFloat
      return nearest.isFinite ? Rational(nearest) : nil
    case .float64:
      let nearest = x.nearestDouble
      return nearest.isFinite ? Rational(nearest) : nil
    }
  }

  /// The cases over the flat input that a case of the query is: usually one, none if equated inputs or relations between
  /// inputs leave nothing, and one for every disjunct where only relations inside disjunctions bound the inputs.
  private mutating func problemCases(_ part: QueryCase) throws -> [VerificationProblem.Case] {
    var exact = [VariableBounds](repeating: VariableBounds(), count: inputCount)
    for (variable, bounds) in part.bounds {
      if let number = inputNumbers[variable] { exact[number] = exact[number].intersection(bounds) }
    }
    if exact.contains(where: \.isEmpty) { return [] }
    if exact.allSatisfy({ $0.lower != nil && $0.upper != nil }) {
      return try problemCase(exact, part.condition).map { [$0] } ?? []
    }
    let reach = InputReach(sources: sources, rounding: { [semantics] in Self.rounded($0, semantics) })
    let common = reach.bounded(exact, by: part.condition)
    if let common, common.allSatisfy({ $0.lower != nil && $0.upper != nil }) {
      return try problemCase(common, part.condition).map { [$0] } ?? []
    }
    if common == nil { return [] }
    let clauses = DisjunctiveForm(part.condition)
    guard let count = clauses.count, count > 1, count <= InputReach.mostClauses else {
      return try problemCase(common ?? exact, part.condition).map { [$0] } ?? []
    }
    return try clauses.compactMap { clause in
      let condition = Formula.all(clause.map { .comparison($0) })
      guard let bounds = reach.bounded(exact, by: condition) else { return nil }
      return try problemCase(bounds, condition)
    }
  }

  /// A case over the flat input; nil if its box holds no number of the query's type.
  private mutating func problemCase(_ exact: [VariableBounds], _ condition: Formula) throws
    -> VerificationProblem.Case?
  {
    if exact.contains(where: \.isEmpty) { return nil }
    var lower: [Double] = []
    var upper: [Double] = []
    lower.reserveCapacity(inputCount)
    upper.reserveCapacity(inputCount)
    for (number, bounds) in exact.enumerated() {
      guard let low = bounds.lower, let high = bounds.upper else {
        let variable = inputNumbers.filter { $0.value == number }.keys.min() ?? 0
        throw FileError(
          file: query.file,
          reason: "the input \(query.name(ofVariable: variable)) is not bounded on both sides, "
            + "neither by constants nor by linear relations between inputs")
      }
      // Inputs of float arithmetic are floats; decimals may be read exactly or rounded, so take the wider box.
      switch semantics {
      case .real, .float64:
        lower.append(low.roundedDown)
        upper.append(high.roundedUp)
      case .float32:
        lower.append(Double(min(low.roundedUpToFloat, low.nearestFloat)))
        upper.append(Double(max(high.roundedDownToFloat, high.nearestFloat)))
      }
    }
    // A box so thin that it holds no float.
    if zip(lower, upper).contains(where: { $0 > $1 }) { return nil }
    return VerificationProblem.Case(
      lower: lower, upper: upper, exact: exact, condition: try rowFormula(condition))
  }

  private mutating func rowFormula(_ formula: Formula) throws -> RowFormula {
    switch formula {
    case .all(let parts): return .all(try parts.map { try rowFormula($0) })
    case .any(let parts): return .any(try parts.map { try rowFormula($0) })
    case .comparison(let comparison):
      guard comparison.expression.isLinear else {
        throw FileError(
          file: query.file, place: comparison.position.description,
          reason: "products of variables are not supported, only linear comparisons are")
      }
      let form = comparison.expression
      switch comparison.relation {
      case .lessOrEqual: return row(form, strict: false)
      case .less: return row(form, strict: true)
      case .greaterOrEqual: return row(-form, strict: false)
      case .greater: return row(-form, strict: true)
      case .equal: return .all([row(form, strict: false), row(-form, strict: false)])
      case .notEqual: return .any([row(form, strict: true), row(-form, strict: true)])
      }
    }
  }

  /// The number of the row for an expression, whose terms are first collected by source.
  private mutating func row(_ expression: Polynomial, strict: Bool) -> RowFormula {
    var order: [VerificationProblem.Source] = []
    var sums: [VerificationProblem.Source: Rational] = [:]
    for term in expression.terms {
      let source = sources[term.variable]
      if sums[source] == nil { order.append(source) }
      sums[source, default: .zero] += term.coefficient
    }
    order.removeAll { sums[$0]?.isZero ?? true }
    if order.isEmpty {
      let sign = expression.constant.sign
      return .constant(strict ? sign < 0 : sign <= 0)
    }
    let coefficients = order.map { sums[$0] ?? .zero }
    let key = RowKey(sources: order, coefficients: coefficients, constant: expression.constant)
    if let known = rowIndex[key] { return .row(known, strict: strict) }
    var constant = expression.constant
    if let other = rounded(constant), other < constant { constant = other }
    var errors: [Double] = []
    for coefficient in coefficients {
      let used = Rational(coefficient.nearestDouble)
      var error = (coefficient - used).magnitude
      if let other = rounded(coefficient) { error = max(error, (other - used).magnitude) }
      errors.append(error.roundedUp)
    }
    rowIndex[key] = rows.count
    rows.append(
      VerificationProblem.Row(
        terms: zip(order, coefficients).map { ($0, $1.nearestDouble) }, coefficientErrors: errors,
        constant: constant.roundedDown, nearestConstant: expression.constant.nearestDouble,
        exactCoefficients: coefficients, exactConstant: expression.constant))
    return .row(rows.count - 1, strict: strict)
  }
}
