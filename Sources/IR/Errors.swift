/// An operator, or a use of one, that an importer or an analysis does not support. Commands exit with status 3.
public struct UnsupportedOperator: Error, Sendable, Equatable, CustomStringConvertible {
  /// The node's name in the file (or its output's name where it has none).
  public var node: String
  /// The operator's name in the file's vocabulary.
  public var operatorName: String
  /// The attribute or property that is not supported, if it is not the operator as such.
  public var attribute: String?
  /// Why, in one sentence.
  public var reason: String

  public init(node: String, operatorName: String, attribute: String? = nil, reason: String) {
    self.node = node
    self.operatorName = operatorName
    self.attribute = attribute
    self.reason = reason
  }

  public init(_ node: Node, attribute: String? = nil, reason: String) {
    self.init(node: node.name, operatorName: node.origin, attribute: attribute, reason: reason)
  }

  public var description: String {
    let place = attribute.map { ", attribute '\($0)'" } ?? ""
    return "node '\(node)', operator \(operatorName)\(place): \(reason)"
  }
}

/// A graph that cannot be built or evaluated: shapes that do not fit, inputs that are missing or of the wrong shape.
public struct GraphError: Error, Sendable, Equatable, CustomStringConvertible {
  public var node: String
  public var reason: String
  public init(node: String, reason: String) {
    self.node = node
    self.reason = reason
  }
  public var description: String { "node '\(node)': \(reason)" }
}

/// A check of the toolkit's own result that failed. Commands exit with status 4 and print no answer.
public struct FailedCheck: Error, Sendable, Equatable, CustomStringConvertible {
  /// What was checked.
  public var check: String
  /// What was found.
  public var reason: String
  public init(check: String, reason: String) {
    self.check = check
    self.reason = reason
  }
  public var description: String { "check failed: \(check): \(reason)" }
}
