import IR
import Rigor

/// The arithmetic that bounds speak about.
public enum Arithmetic: String, Sendable, Hashable, CaseIterable {
  /// The real-valued network on the stored weights.
  case real
  /// The network as deployed: every operation of the file rounds in its own type, in any order of summation, with or
  /// without fused multiply-add; library functions are off by what ``DeployedKernel`` says.
  case float32

  /// How a node of the given type rounds; nil where it does not.
  public func rounding(of type: ElementType) -> DeployedRounding? {
    // Integers and booleans are exact.
    self == .real ? nil : DeployedRounding(type)
  }
}

/// What one operation of a deployed run may be off by.
public struct DeployedRounding: Sendable, Hashable {
  /// The relative error of one rounding.
  public var unit: Double
  /// What one product or sum can lose below the normal range.
  public var underflow: Double
  /// The largest number of the type.
  public var largest: Double

  public init?(_ type: ElementType) {
    switch type {
    case .float32: self.init(unit: 0x1p-24, underflow: 0x1p-126, largest: 0x1.fffffep127)
    case .float64: self.init(unit: 0x1p-53, underflow: 0x1p-1022, largest: .greatestFiniteMagnitude)
    case .float16: self.init(unit: 0x1p-11, underflow: 0x1p-14, largest: 65504)
    case .bfloat16: self.init(unit: 0x1p-8, underflow: 0x1p-126, largest: 0x1.fep127)
    default: return nil
    }
  }

  private init(unit: Double, underflow: Double, largest: Double) {
    self.unit = unit
    self.underflow = underflow
    self.largest = largest
  }

  /// The relative error of k roundings in a sum of products; infinite when nothing can be said.
  public func gamma(_ k: Int) -> Double { Rounding.gamma(k, unit: unit) }

  /// Numbers from here on round to infinity: half a unit in the last place above the largest.
  public var overflow: Double { largest * (1 + unit / 2) }

  /// Bounds with an end beyond the largest number at infinity, where a run has it.
  public func overflowed(_ lower: Double, _ upper: Double) -> (lower: Double, upper: Double) {
    (
      lower < -largest ? -.infinity : min(lower, largest),
      upper > largest ? .infinity : max(upper, -largest)
    )
  }
}

extension ElementType {
  /// How many binary digits numbers of the type have at most.
  fileprivate var digits: Int {
    switch self {
    case .float64: 53
    case .float32: 24
    case .float16: 11
    case .bfloat16: 8
    case .bool: 1
    case .int8, .uint8: 8
    case .int16, .uint16: 16
    case .int32, .uint32: 32
    case .int64, .uint64: 64
    }
  }

  /// Whether every number of this type is one of the other, so that converting does not round.
  public func isContained(in other: ElementType) -> Bool {
    if self == other || !other.isFloatingPoint { return true }
    // bfloat16 reaches further than float16.
    return digits <= other.digits && !(self == .bfloat16 && other == .float16)
  }
}

extension Graph {
  /// Refuses what the account of a deployed run's rounding does not cover.
  ///
  /// - Throws: `UnsupportedOperator` for conversions to a type of fewer digits by nodes that do not count as roundings;
  ///   the importers write them as ``Conversion`` where the arithmetic asks for it.
  public func checkRounding(_ arithmetic: Arithmetic) throws {
    guard arithmetic != .real else { return }
    for node in nodes where node.elementType.isFloatingPoint && !isGiven(node) {
      switch node.operation {
      case .elementwise, .discrete: continue
      default: break
      }
      let wide = node.inputs.first {
        !self[$0].elementType.isContained(in: node.elementType) && !isGiven(self[$0])
      }
      if let wide {
        throw UnsupportedOperator(
          node,
          reason: "bounds do not include the rounding of '\(self[wide].name)' from "
            + "\(self[wide].elementType.rawValue) to \(node.elementType.rawValue)")
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
