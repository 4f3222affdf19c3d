import Bounds
import Domains
import FileFormats
import IR
import Inputs
import Limits
import Reports
import Tensors

/// What `bounds` prints.
struct BoundsReport {
  var loaded: LoadedNetwork
  var region: PerturbedRegion
  var command: BoundsCommand
  var target: BoundsTarget?
  var result: BoundResult
  /// The outputs (or rows) at the centre; empty if they are not known yet.
  var center: [Tensor<Double>]
  var certification: Certification?
  var seconds: Double
  /// Why the method did not end; nil if it did.
  var stopped: StopReason?

  private var graph: Graph { loaded.graph }

  /// Name and shape of everything that is bounded.
  private var outputs: [(name: String, shape: Shape)] {
    if let target { return [(graph.outputs[0].name, [target.labels.count])] }
    return graph.outputs.map { ($0.name, graph[$0.node].shape) }
  }

  // MARK: JSON

  var json: JSONValue {
    var members: [JSONObject.Entry] = [
      .init(key: "method", value: .string(result.method.rawValue)),
      .init(key: "norm", value: .string(command.norm.rawValue)),
      .init(key: "epsilon", value: command.box == nil ? epsilonJSON : .null),
      .init(key: "outputs", value: .array(outputs.indices.map(outputJSON))),
    ]
    if command.intermediate { members.append(.init(key: "nodes", value: nodesJSON)) }
    if command.coefficients { members.append(.init(key: "coefficients", value: coefficientsJSON)) }
    members.append(.init(key: "seconds", value: JSONValue(seconds)))
    if let stopped {
      members += [
        .init(key: "partial", value: .bool(true)), .init(key: "reason", value: .string(stopped.text)),
      ]
    }
    return .object(JSONObject(members))
  }

  private var epsilonJSON: JSONValue {
    guard let epsilon = command.epsilon else { return .null }
    return JSONValue(result: epsilon.number.nearest)
  }

  private func outputJSON(_ index: Int) -> JSONValue {
    let bounds = result.outputs[index]
    var members: [JSONObject.Entry] = [
      .init(key: "name", value: .string(outputs[index].name)),
      .init(key: "shape", value: JSONValue(outputs[index].shape.dims)),
      .init(key: "center", value: center.isEmpty ? .null : JSONValue(results: center[index].elements)),
      .init(key: "lower", value: JSONValue(results: bounds.lower.elements)),
      .init(key: "upper", value: JSONValue(results: bounds.upper.elements)),
    ]
    if let node = unbounded(index) {
      members.append(
        .init(key: "unbounded_at", value: ["node": .string(node.name), "operator": .string(node.origin)]))
    }
    return .object(JSONObject(members))
  }

  /// The node from which an output has elements without bounds; nil if all have some.
  private func unbounded(_ index: Int) -> Node? {
    guard result.outputs[index].mayBeNaN else { return nil }
    return result.unboundedNode(output: target == nil ? index : 0)
  }

  private var boundedNodes: [(node: Node, bounds: Interval)] {
    result.graph.nodes.compactMap { node in
      if case .constant = node.operation { return nil }
      return result.nodes[node.id].map { (node, $0) }
    }
  }

  private var nodesJSON: JSONValue {
    .array(
      boundedNodes.map { node, bounds in
        [
          "name": .string(node.name),
          "operator": .string(node.origin),
          "shape": JSONValue(node.shape.dims),
          "lower": JSONValue(results: bounds.lower.elements),
          "upper": JSONValue(results: bounds.upper.elements),
        ]
      })
  }

  private var coefficientsJSON: JSONValue {
    .array(
      result.coefficients.enumerated().map { index, linear in
        let rows = linear.lowerConstant.count
        var inputs: [JSONValue] = []
        for (position, node) in graph.inputNodes.enumerated() where region.region.inputs[position].isPerturbed
        {
          let zeros = Tensor<Double>.zeros([rows * node.shape.count])
          inputs.append([
            "name": .string(node.name),
            "shape": JSONValue([rows] + node.shape.dims),
            "lower": JSONValue(results: (linear.lowerCoefficients[position] ?? zeros).elements),
            "upper": JSONValue(results: (linear.upperCoefficients[position] ?? zeros).elements),
          ])
        }
        return [
          "name": .string(outputs[index].name),
          "shape": JSONValue(outputs[index].shape.dims),
          "inputs": .array(inputs),
          "lower_constant": JSONValue(results: linear.lowerConstant.elements),
          "upper_constant": JSONValue(results: linear.upperConstant.elements),
        ]
      })
  }

  // MARK: Text

  /// Rows that a table shows of one output.
  static let rowLimit = 200

  var text: String {
    var parts = [heading]
    for index in outputs.indices { parts.append(outputTable(index)) }
    for index in outputs.indices {
      if let node = unbounded(index) {
        parts.append(
          "Nothing is known of some elements of \(outputs[index].name): from node '\(node.name)' (\(node.origin)) on they may be no numbers."
        )
      }
    }
    if let certification { parts.append(verdict(certification)) }
    if command.intermediate { parts.append(nodesTable) }
    if command.coefficients { parts += result.coefficients.indices.map(coefficientsTable) }
    parts.append(footer)
    return parts.joined(separator: "\n\n")
  }

  private var heading: String {
    let inputs = graph.inputNodes.map { "\(VisibleText.line($0.name)) \($0.shape)" }.joined(separator: ", ")
    return """
      network  \(VisibleText.line(loaded.network.file)) (\(loaded.network.format), \(loaded.network.parameterCount.grouped) parameters)
      input    \(inputs): \(source)
      region   \(regionText)
      """
  }

  private var source: String {
    if let box = command.box { return "the box of \(box), centre at its midpoint" }
    switch loaded.inputs.source {
    case .file(let path): return path
    case .sample(let path): return "the sample beside the network, \(path)"
    case .zeros: return "the zero vector (no --input was given)"
    }
  }

  private var regionText: String {
    let perturbed = zip(graph.inputNodes, region.region.inputs).filter { $0.1.isPerturbed }.map {
      VisibleText.line($0.0.name)
    }
    if perturbed.isEmpty { return "one point" }
    let others = graph.inputs.count - perturbed.count
    let names = graph.inputs.count == 1 ? perturbed[0] : perturbed.joined(separator: ", ")
    let rest = others > 0 ? "; other inputs fixed" : ""
    guard command.box == nil, let epsilon = command.epsilon else {
      return "lower <= \(names) <= upper\(rest)"
    }
    switch command.norm {
    case .linf: return "every element of \(names) within \(epsilon.text) of the centre\(rest)"
    case .l2: return "\(names) within \(epsilon.text) of the centre in the Euclidean norm\(rest)"
    case .l1: return "\(names) within \(epsilon.text) of the centre in the 1-norm\(rest)"
    }
  }

  private func outputTable(_ index: Int) -> String {
    let bounds = result.outputs[index]
    let count = bounds.lower.count
    let shown = min(count, Self.rowLimit)
    let lower = Array(bounds.lower.elements.prefix(shown))
    let upper = Array(bounds.upper.elements.prefix(shown))
    let widths = zip(lower, upper).map { $1 - $0 }
    let format = DirectedDecimal(for: lower + upper, resolving: widths)
    let points = center.isEmpty ? [] : Array(center[index].elements.prefix(shown))
    let centers = DirectedDecimal(for: points, resolving: widths)
    var table = TextTable([
      .init("output"), .init("at centre", .right), .init("lower", .right), .init("upper", .right),
      .init("width", .right),
    ])
    let name = outputs[index].name
    let shape = outputs[index].shape
    for i in 0..<shown {
      table.append([
        target?.labels[i] ?? shape.elementName(name, i), points.isEmpty ? "-" : centers.text(points[i]),
        format.text(lower[i], .down), format.text(upper[i], .up), format.text(widths[i], .up),
      ])
    }
    if shown < count { return table.text + "\n... \(count - shown) more elements (--json gives all)" }
    return table.text
  }

  private func verdict(_ certification: Certification) -> String {
    let margin = DirectedDecimal(for: [certification.margin]).text(certification.margin, .down)
    let label = "predicted class: \(certification.label)"
    if certification.isCertified {
      return
        "\(label), certified: its value stays above every other by at least \(margin) (closest: \(certification.runnerUp))"
    }
    return
      "\(label), not certified: its value minus that of \(certification.runnerUp) is only known to be at least \(margin)"
  }

  private var nodesTable: String {
    var table = TextTable([
      .init("node"), .init("operator"), .init("shape"), .init("least lower", .right),
      .init("greatest upper", .right), .init("mean width", .right),
    ])
    for (node, bounds) in boundedNodes {
      let low = bounds.lower.elements.min() ?? 0
      let high = bounds.upper.elements.max() ?? 0
      let widths = zip(bounds.lower.elements, bounds.upper.elements).map { $1 - $0 }
      let mean = widths.reduce(0, +) / Double(max(widths.count, 1))
      table.append([
        node.name, node.origin, node.shape.description, DirectedDecimal(for: [low]).text(low, .down),
        DirectedDecimal(for: [high]).text(high, .up), DirectedDecimal(for: [mean]).text(mean),
      ])
    }
    return table.text
  }

  /// The coefficients of largest magnitude in every row.
  private func coefficientsTable(_ index: Int) -> String {
    let linear = result.coefficients[index]
    let rows = min(linear.lowerConstant.count, Self.rowLimit)
    var table = TextTable([.init("output"), .init("bound"), .init("linear function of the input")])
    for row in 0..<rows {
      let name = target?.labels[row] ?? outputs[index].shape.elementName(outputs[index].name, row)
      table.append([
        name, ">=", function(linear.lowerCoefficients, linear.lowerConstant[flat: row], row, of: linear),
      ])
      table.append([
        "", "<=", function(linear.upperCoefficients, linear.upperConstant[flat: row], row, of: linear),
      ])
    }
    return table.text
  }

  private func function(
    _ coefficients: [Tensor<Double>?], _ constant: Double, _ row: Int, of linear: BoundResult.LinearBounds
  ) -> String {
    var terms: [(name: String, value: Double)] = []
    for (position, node) in graph.inputNodes.enumerated() {
      guard let tensor = coefficients[position] else { continue }
      let n = node.shape.count
      for i in 0..<n where tensor[flat: row * n + i] != 0 {
        terms.append((node.shape.elementName(node.name, i), tensor[flat: row * n + i]))
      }
    }
    let shown = terms.sorted { abs($0.value) > abs($1.value) }.prefix(6)
    let format = { (x: Double) in DirectedDecimal(for: [x]).text(x) }
    var text = format(constant)
    for term in shown {
      text +=
        term.value < 0 ? " - \(format(-term.value)) \(term.name)" : " + \(format(term.value)) \(term.name)"
    }
    if terms.count > shown.count { text += " + ... \(terms.count - shown.count) smaller terms" }
    return text
  }

  private var footer: String {
    let holds =
      command.arithmetic == .real
      ? "the real-valued network on the stored weights"
      : "the network as deployed, every operation rounded in its own type, in any order of summation"
    let plain = command.plain ? ", plain" : ""
    let partial =
      stopped.map {
        "\npartial  \($0.text) before \(command.method.rawValue) ended: these are the bounds known by then"
      }
      ?? ""
    return """
      method   \(result.method.rawValue)\(plain), \(seconds.duration)\(partial)
      rounding included: the bounds hold for \(holds)
      """
  }
}

extension Shape {
  /// `y[0,3]` for one element of a tensor; extents of 1 are left out.
  func elementName(_ name: String, _ index: Int) -> String {
    var rest = index
    var coordinates: [Int] = []
    for (axis, stride) in strides.enumerated() where dims[axis] != 1 {
      coordinates.append(rest / stride)
      rest %= stride
    }
    return coordinates.isEmpty ? name : name + "[" + coordinates.map(String.init).joined(separator: ",") + "]"
  }
}
