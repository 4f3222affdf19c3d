/// The values that names stand for inside a graph, a subgraph or a function body.
final class OnnxScope {
  /// The scope a subgraph sees around it; nil for the model's graph and for functions.
  let parent: OnnxScope?
  private var values: [String: Value] = [:]

  init(parent: OnnxScope? = nil) { self.parent = parent }

  /// The value of a name here or in the scopes around.
  func find(_ name: String) -> Value? {
    var scope: OnnxScope? = self
    while let current = scope {
      if let value = current.values[name] { return value }
      scope = current.parent
    }
    return nil
  }

  /// Whether this scope itself gives the name a value.
  func defines(_ name: String) -> Bool { values[name] != nil }

  /// Gives a name its value; false if it already has one in this scope.
  func define(_ name: String, _ value: Value) -> Bool { values.updateValue(value, forKey: name) == nil }
}
