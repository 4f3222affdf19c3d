/// Numbers that a program wrote as literals and a file stores as float32.
///
/// The real-valued network divides attention scores by sqrt 8, not by the float32 nearest to it, and adds an epsilon
/// of 1e-5. Both readings are Float64 numbers that round to the stored float32, so a deployed run is the same. A
/// reading belongs to one use: every other use of the same constant takes the stored number.
enum Literals {
  /// The readings of a stored scalar.
  struct Readings: Sendable {
    var stored: Float
    /// As a number that is added under a square root.
    var epsilon: Double { Literals.decimal(stored) }
    /// As a factor or divisor.
    var factor: Double? { Literals.root(stored) }
  }

  /// The shortest decimal that rounds to a float32.
  static func decimal(_ stored: Float) -> Double { Double(stored.description) ?? Double(stored) }

  /// sqrt(n), 1 / sqrt(n) for integers up to 4096, or sqrt(2 / pi), where the float32 is the nearest to it; nil for
  /// all other numbers. By chance a float32 is one of these with a probability below one in a thousand.
  static func root(_ stored: Float) -> Double? {
    let size = Double(stored.magnitude)
    guard size > 1.0 / 64, size < 64 else { return nil }
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
