import Domains

/// Numbers that a program wrote as literals and a file stores as float32.
///
/// The real-valued network divides attention scores by sqrt 8, not by the float32 nearest to it, and adds an epsilon
/// of 1e-5. A deployed run has the stored float32: where the network jumps or cancels, the two differ.
struct Literals: Sendable {
  /// Whether numbers are taken as they are stored.
  let areStored: Bool

  init(_ arithmetic: Arithmetic = .real) { areStored = arithmetic != .real }

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
