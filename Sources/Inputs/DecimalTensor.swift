import FileFormats
import Rigor
import Tensors

/// A number as it was written: the double nearest to it and the doubles around it.
///
/// Decimals such as 0.1 are no doubles. What is claimed about a written number must hold for the number itself.
public struct DecimalNumber: Sendable, Equatable {
  public var nearest: Double
  /// The greatest double that is not above the number.
  public var lower: Double
  /// The least double that is not below the number.
  public var upper: Double

  public init(exactly value: Double) { self.init(nearest: value, lower: value, upper: value) }

  private init(nearest: Double, lower: Double, upper: Double) {
    self.nearest = nearest
    self.lower = lower
    self.upper = upper
  }

  /// Reads an integer, a decimal or a quotient (`0.02`, `1e-3`, `2/255`); nil for anything else and for numbers
  /// beyond the range of Double.
  public init?(_ text: String) {
    if let small = Self.smallInteger(text) {
      self.init(exactly: small)
      return
    }
    if let tiny = Self.tiny(text) {
      self = tiny
      return
    }
    guard let exact = Rational(text) else { return nil }
    let nearest =
      text.utf8.contains(UInt8(ascii: "/")) ? exact.nearestDouble : Double(text) ?? exact.nearestDouble
    guard nearest.isFinite else { return nil }
    let held = Rational(nearest)
    let lower = held <= exact ? nearest : nearest.nextDown
    let upper = held >= exact ? nearest : nearest.nextUp
    guard lower.isFinite && upper.isFinite else { return nil }
    self.init(nearest: nearest, lower: lower, upper: upper)
  }

  /// A decimal that rounds to 0: exact arithmetic on `1e-20000` would be slow and says no more.
  private static func tiny(_ text: String) -> DecimalNumber? {
    guard Double(text) == 0, !text.utf8.contains(UInt8(ascii: "x")) else { return nil }
    let mantissa = text.utf8.prefix { $0 != UInt8(ascii: "e") && $0 != UInt8(ascii: "E") }
    let isZero = !mantissa.contains { $0 >= UInt8(ascii: "1") && $0 <= UInt8(ascii: "9") }
    let step = Double.leastNonzeroMagnitude
    if isZero { return DecimalNumber(exactly: 0) }
    return text.utf8.first == UInt8(ascii: "-")
      ? DecimalNumber(nearest: 0, lower: -step, upper: 0) : DecimalNumber(nearest: 0, lower: 0, upper: step)
  }

  /// The value of a text of up to 15 digits, nothing else: exact without further ado.
  private static func smallInteger(_ text: String) -> Double? {
    var value = 0
    var digits = 0
    for byte in text.utf8 {
      guard byte >= 48, byte <= 57, digits < 15 else { return nil }
      value = value * 10 + Int(byte - 48)
      digits += 1
    }
    return digits > 0 ? Double(value) : nil
  }
}

/// Numbers as they were written, and their shape if it was given.
public struct DecimalTensor: Sendable, Equatable {
  /// nil if the numbers came as a flat list.
  public var shape: Shape?
  /// The doubles nearest to the numbers, row-major.
  public var nearest: [Double]
  /// The greatest doubles that are not above the numbers.
  public var lower: [Double]
  /// The least doubles that are not below the numbers.
  public var upper: [Double]

  public init(shape: Shape?, exactly values: [Double]) {
    self.shape = shape
    nearest = values
    lower = values
    upper = values
  }

  public static func zeros(_ shape: Shape) -> DecimalTensor {
    DecimalTensor(shape: shape, exactly: [Double](repeating: 0, count: shape.count))
  }

  public var count: Int { nearest.count }

  /// Whether every number is a double.
  public var isExact: Bool { lower == upper }

  /// Reads a number or (nested) lists of numbers. Nested lists give the shape.
  ///
  /// - Throws: `FileError` where something is no number, or lists beside each other differ in length.
  public init(_ field: JSONField) throws {
    self.init(shape: nil, exactly: [])
    if case .array = field.value {
      var dims: [Int] = []
      try append(field, depth: 0, &dims)
      shape = dims.count > 1 ? Shape(dims) : nil
    } else {
      append(try Self.number(field))
      shape = []
    }
  }

  private mutating func append(_ number: DecimalNumber) {
    nearest.append(number.nearest)
    lower.append(number.lower)
    upper.append(number.upper)
  }

  private mutating func append(_ field: JSONField, depth: Int, _ dims: inout [Int]) throws {
    let elements = try field.lazyElements()
    if dims.count == depth {
      dims.append(elements.count)
    } else if dims[depth] != elements.count {
      throw field.error("has \(elements.count) elements, the lists before it \(dims[depth])")
    }
    for (place, element) in elements.enumerated() {
      if case .array = element.value {
        // A deeper level exists from the first list on; numbers stand on the deepest level only.
        guard place == 0 || dims.count > depth + 1 else {
          throw element.error("expected a number, as before it")
        }
        try append(element, depth: depth + 1, &dims)
      } else {
        guard dims.count == depth + 1 else { throw element.error("expected a list, as before it") }
        append(try Self.number(element))
      }
    }
  }

  private static func number(_ field: JSONField) throws -> DecimalNumber {
    switch field.value {
    case .bool(let flag): return DecimalNumber(exactly: flag ? 1 : 0)
    case .number(let text):
      guard let number = DecimalNumber(text) else {
        throw field.error("the number \(text.prefix(40)) is beyond the range of Double")
      }
      return number
    default: throw field.error("expected a number")
    }
  }

  /// Reads `{"shape":[..],KEY:[..]}`, the shape being optional.
  public init(_ field: JSONField, key: String) throws {
    try self.init(try field.member(key))
    guard let given = try field.optional("shape") else { return }
    let dims = try given.elements().map { extent -> Int in
      let value = try extent.int()
      guard value >= 0 else { throw extent.error("an extent cannot be negative") }
      return value
    }
    let shape = Shape(dims)
    guard shape.checkedCount(limit: Int.max) == count else {
      throw given.error("the shape \(shape) does not fit \(count) numbers")
    }
    self.shape = shape
  }
}
