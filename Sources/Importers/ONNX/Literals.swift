import Domains

/// Numbers that a program wrote as literals and a file stores as float32.
///
/// The real-valued network divides attention scores by sqrt 8, not by the float32 nearest to it, and adds an epsilon
/// of 1e-5. A deployed run has the stored float32: where the network jumps or cancels, the two differ. A reading belongs to one use:
/// every other use of the same constant takes the stored number.
struct Literals: Sendable {
  /// Whether numbers are taken as they are stored.
  let areStored: Bool

  init(_ arithmetic: Arithmetic = .real) { areStored = arithmetic != .real }

  /// The readings of a stored scalar.
  struct Readings: Sendable {
    var stored: Float
    var literals: Literals
    /// As a number that is added under a square root.
    var epsilon: Double { literals.decimal(stored) }
    /// As a factor or divisor.
    var factor: Double? { literals.root(stored) }
  }

  /// The shortest decimal that rounds to a float32, or the float32.
  func decimal(_ stored: Float) -> Double {
    areStored ? Double(stored) : Double(stored.description) ?? Double(stored)
  }

  /// A decimal of the standard (a default), or the float32 that an implementation has of it.
  func standard(_ decimal: Double) -> Double { areStored ? Double(Float(decimal)) : decimal }

  /// sqrt(n), 1 / sqrt(n) for integers up to 4096, or sqrt(2 / pi), where the float32 is the nearest to it; nil for
  /// all other numbers, and where numbers are taken as stored. By chance a float32 is one of these with a probability
  /// below one in a thousand.
  func root(_ stored: Float) -> Double? {
    let size = Double(stored.magnitude)
    guard !areStored, size > 1.0 / 64, size < 64 else { return nil }
    let sign: Double = stored < 0 ? -1 : 1
    func nearest(_ n: Double, _ value: (Double) -> Double) -> Double? {
      guard n >= 2, n <= 4096, n.squareRoot() != n.squareRoot().rounded() else { return nil }
      let root = value(n.squareRoot())
      return Float(root) == stored.magnitude ? sign * root : nil
    }
    let gelu = (2 / Double.pi).squareRoot()
    if Float(gelu) == stored.magnitude { return sign * gelu }
    return nearest((size * size).rounded()) { $0 } ?? nearest((1 / (size * size)).rounded()) { 1 / $0 }
  }
}

extension Value {
  /// The value as an operand of Mul or Div.
  var asFactor: Value {
    guard let factor = literal?.factor else { return self }
    return Value([factor], shape, type)
  }

  /// The value as a summand under a square root.
  var asEpsilon: Value {
    guard let literal else { return self }
    return Value([literal.epsilon], shape, type)
  }
}
