import IR
import Rigor

/// The arithmetic that bounds speak about.
public enum Arithmetic: String, Sendable, Hashable, CaseIterable {
  /// The real-valued network on the stored weights.
  case real
  /// The network as deployed: every node is evaluated in its own type, float32 or float64, in any order of summation, with
  /// or without fused multiply-add.
  case float32

  /// How a node of the given type rounds; nil where it does not.
  public func rounding(of type: ElementType) -> DeployedRounding? {
    switch (self, type) {
    case (.real, _): nil
    case (.float32, .float32): DeployedRounding(unit: Rounding.unit32, underflow: Rounding.underflow32)
    case (.float32, .float64): DeployedRounding(unit: Rounding.unit, underflow: Rounding.underflow)
    // Integers and booleans are exact; half precision is refused beforehand (`Graph.checkRounding`).
    default: nil
    }
  }
}

/// What one operation of a deployed run may be off by.
public struct DeployedRounding: Sendable, Hashable {
  /// The relative error of one rounding.
  public var unit: Double
  /// What one product or sum can lose below the normal range.
  public var underflow: Double

  /// The relative error of k roundings in a sum of products; infinite when nothing can be said.
  public func gamma(_ k: Int) -> Double { Rounding.gamma(k, unit: unit) }

  /// What a result of the given size may be off by, for an error of so many units in the last place.
  public func error(_ value: Double, ulps: Double) -> Double {
    (ulps + 1) * 2 * unit * abs(value) + underflow
  }
}

extension Graph {
  /// Refuses what the account of a deployed run's rounding does not cover.
  ///
  /// - Throws: `UnsupportedOperator` for half precision, and for conversions of float64 to float32, which round.
  public func checkRounding(_ arithmetic: Arithmetic) throws {
    guard arithmetic != .real else { return }
    for node in nodes where !isGiven(node) {
      switch node.elementType {
      case .float16, .bfloat16:
        throw UnsupportedOperator(
          node,
          reason:
            "bounds do not include the rounding of \(node.elementType.rawValue), only real arithmetic does")
      case .float32:
        let wide = node.inputs.first { self[$0].elementType == .float64 && !isGiven(self[$0]) }
        if let wide, node.operation.kind != "discrete" {
          throw UnsupportedOperator(
            node, reason: "bounds do not include the rounding of '\(self[wide].name)' from float64 to float32"
          )
        }
      default: continue
      }
    }
  }

  private func isGiven(_ node: Node) -> Bool {
    switch node.operation {
    case .input, .constant: true
    default: false
    }
  }
}
