import FileFormats

/// Agreement of a ranking and a circuit with a known truth.
public struct TruthScore: Sendable {
  /// The share of true units in the circuit.
  public var recall: Double
  /// The share of the circuit that is true; 1 for an empty circuit.
  public var precision: Double
  /// The area under the ROC curve of |score| over all units, ties counted half; nil without both kinds.
  public var auc: Double?

  public init(circuit: [CircuitUnit], ranking: [(unit: CircuitUnit, score: Double)], truth: Set<CircuitUnit>)
  {
    let hits = Set(circuit).intersection(truth).count
    recall = truth.isEmpty ? 1 : Double(hits) / Double(truth.count)
    precision = circuit.isEmpty ? 1 : Double(hits) / Double(Set(circuit).count)
    auc = Self.auc(ranking, truth)
  }

  /// The probability that a true unit has a larger |score| than another.
  static func auc(_ ranking: [(unit: CircuitUnit, score: Double)], _ truth: Set<CircuitUnit>) -> Double? {
    let right = ranking.filter { truth.contains($0.unit) }.map(\.score.magnitude)
    let wrong = ranking.filter { !truth.contains($0.unit) }.map(\.score.magnitude).sorted()
    guard !right.isEmpty, !wrong.isEmpty else { return nil }
    var sum = 0.0
    for value in right {
      // Places of the value among the sorted others.
      var low = 0
      var high = wrong.count
      while low < high {
        let middle = (low + high) / 2
        if wrong[middle] < value { low = middle + 1 } else { high = middle }
      }
      let below = low
      high = wrong.count
      while low < high {
        let middle = (low + high) / 2
        if wrong[middle] <= value { low = middle + 1 } else { high = middle }
      }
      sum += Double(below) + Double(low - below) / 2
    }
    return sum / Double(right.count * wrong.count)
  }

  /// Reads a truth file: `nodes` with layer, head and position, a number or a name that the prompts define.
  ///
  /// - Throws: `FileError` naming the entry that is malformed or whose position is not known.
  public static func read(_ path: String, positions names: [String: Int], count: Int, byHead: Bool) throws
    -> Set<CircuitUnit>
  {
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    var result = Set<CircuitUnit>()
    for node in try root.member("nodes").elements() {
      if case .array = node.value {
        let numbers = try node.elements().map { try $0.int() }
        guard numbers.count == 3 else { throw node.error("expected [layer, position, head]") }
        result.insert(CircuitUnit(layer: numbers[0], position: byHead ? nil : numbers[1], head: numbers[2]))
        continue
      }
      let layer = try node.member("layer").int()
      let head = try node.member("head").int()
      if byHead {
        result.insert(CircuitUnit(layer: layer, position: nil, head: head))
        continue
      }
      let place = try node.member("position")
      let position: Int
      if let number = place.value.intValue {
        position = number
      } else {
        let name = try place.string()
        guard let known = names[name] else {
          throw place.error("the prompts do not all name a position \"\(name)\"")
        }
        position = known
      }
      guard position >= 0, position < count else {
        throw place.error("position \(position) is outside the prompts")
      }
      result.insert(CircuitUnit(layer: layer, position: position, head: head))
    }
    return result
  }
}

extension TruthScore {
  public init(recall: Double, precision: Double, auc: Double?) {
    self.recall = recall
    self.precision = precision
    self.auc = auc
  }
}
