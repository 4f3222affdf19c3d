import FileFormats
import IR

/// The lowerings of all supported operators, by domain and name.
enum OnnxOperators {
  /// Lowers one node: reads attributes and inputs from the node, appends to the graph, gives the outputs.
  typealias Lower = @Sendable (OnnxNode, Lowering) throws -> [Value]
  /// The lowering of an operator with subgraphs, which sees the names around it.
  typealias LowerWithScope = @Sendable (OnnxNode, OnnxSession, OnnxScope) throws -> [Value]

  /// Operators that look at empty optionals; for all others these are inputs left out.
  static let readOptionals: Set<String> = [
    "OptionalHasElement", "OptionalGetElement", "Optional", "Identity", "If",
  ]

  /// One small table per family; a file each.
  private static let families: [[String: Lower]] = [
    activations, arithmetic, comparisons, movement, splitting, indexing, generators, products, spectra,
    convolutions, pooling, normalizations, softmaxes, losses, reductions, orderings, recurrences, sequences,
    resizing, sampling, attention, signalWindows, quantization,
  ]

  private static let table: [String: Lower] = families.reduce(into: [:]) { table, family in
    table.merge(family) { _, new in new }
  }

  /// The names of the default domain's operators that can be lowered.
  static var supported: [String] { (Array(table.keys) + Array(controlFlow.keys)).sorted() }

  /// Whether operators of this domain and name can be lowered (for some of their uses).
  static func isSupported(_ name: String, domain: String) -> Bool {
    if domain == microsoftDomain { return microsoft[name] != nil }
    return ["", "ai.onnx.preview", "ai.onnx.ml"].contains(domain)
      && (table[name] != nil || controlFlow[name] != nil)
  }

  /// Why an operator that cannot be lowered cannot.
  static func refusal(_ name: String) -> String { refusals[name] ?? "the operator is not supported" }

  /// Lowers an operator of the default domain that has no subgraphs, outside of any ONNX file.
  static func lower(_ node: OnnxNode, on lowering: Lowering) throws -> [Value] {
    do {
      guard let lower = table[node.op] else { throw node.unsupported(refusal(node.op)) }
      let results = try lower(node, lowering)
      try node.refuseUnknownAttributes()
      return results
    } catch let error as GraphError {
      throw node.malformed(error.reason)
    } catch let needed as StaticValueNeeded {
      throw node.unsupported("\(needed.what) must be known when the model is read")
    }
  }

  static func lower(_ node: OnnxNode, domain: String, in session: OnnxSession, _ scope: OnnxScope) throws
    -> [Value]
  {
    do {
      let results: [Value]
      let isKnown = domain.isEmpty || domain == "ai.onnx.preview" || domain == "ai.onnx.ml"
      try OnnxTypeConstraints.of(node.op, domain: domain, version: node.version)?.check(node)
      if isKnown, let lower = table[node.op] {
        results = try lower(node, session.lowering)
      } else if isKnown, let lower = controlFlow[node.op] {
        results = try lower(node, session, scope)
      } else if domain == microsoftDomain, let lower = microsoft[node.op] {
        results = try lower(node, session.lowering)
      } else {
        throw node.unsupported(refusal(node.op))
      }
      try node.refuseUnknownAttributes()
      return results
    } catch let error as GraphError {
      throw node.malformed(error.reason)
    } catch let needed as StaticValueNeeded {
      throw StaticValueNeededAt(node: node.label, op: node.op, what: needed.what, inputs: needed.inputs)
    } catch let error as UnsupportedOperator where error.node.isEmpty {
      throw node.unsupported(error.reason)
    }
  }

  /// Why some operators stay unsupported.
  private static let refusals: [String: String] = {
    var reasons: [String: String] = [:]
    for name in [
      "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
    ] {
      reasons[name] = "its value is random, so the network is no function of its inputs"
    }
    for name in ["StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch", "TfIdfVectorizer"] {
      reasons[name] = "strings are not supported"
    }
    reasons["ImageDecoder"] = "image files inside networks are not supported"
    return reasons
  }()
}

extension Lowering {
  /// Resolves an axis that may count from the end.
  func axis(_ axis: Int, _ rank: Int, _ node: OnnxNode, attribute: String = "axis") throws -> Int {
    let resolved = axis < 0 ? axis + rank : axis
    guard resolved >= 0, resolved < rank else {
      throw node.malformed("\(axis) is no axis of a tensor of rank \(rank)", attribute: attribute)
    }
    return resolved
  }

  /// Resolves axes and refuses repeated ones.
  func axes(_ axes: [Int], _ rank: Int, _ node: OnnxNode, attribute: String = "axes") throws -> [Int] {
    let resolved = try axes.map { try axis($0, rank, node, attribute: attribute) }
    guard Set(resolved).count == resolved.count else {
      throw node.malformed("\(axes) names an axis twice", attribute: attribute)
    }
    return resolved
  }
}
