/// An array in NumPy's `.npy` format (versions 1 to 3, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html),
/// plain or gzip-compressed.
///
/// Real, integer and boolean element types of either byte order are read; every value is held exactly in a Double.
public struct NpyFile: Sendable, Equatable {
  public var shape: [Int]
  /// NumPy's name of the element type without the byte order: `f4`, `i8`, `b1`.
  public var elementType: String
  /// Row-major.
  public var values: [Double]

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// Whether the bytes start like a `.npy` file.
  public static func isNpy(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

  /// Reads a file.
  ///
  /// - Throws: ``FileError`` for a file that is no `.npy`, is truncated, holds objects, text or complex numbers, or
  ///   integers that no Double equals.
  public init(contentsOf path: String, limit: Int = Gzip.defaultLimit) throws {
    try self.init(Gzip.contents(ofFile: path, limit: limit), file: path)
  }

  /// Reads an array from memory.
  public init(_ bytes: [UInt8], file: String) throws {
    func failure(_ reason: String) -> FileError { FileError(file: file, reason: reason) }
    guard Self.isNpy(bytes), bytes.count >= 10 else { throw failure("is no .npy file") }
    let version = bytes[6]
    guard (1...3).contains(version) else { throw failure("has the unknown .npy version \(version)") }
    let lengthBytes = version == 1 ? 2 : 4
    guard bytes.count >= 8 + lengthBytes else { throw failure("the .npy header is truncated") }
    var length = 0
    for i in (0..<lengthBytes).reversed() { length = length << 8 | Int(bytes[8 + i]) }
    let start = 8 + lengthBytes + length
    guard bytes.count >= start, let text = String(bytes: bytes[(8 + lengthBytes)..<start], encoding: .utf8)
    else { throw failure("the .npy header is truncated") }
    let header = try Header(text, file: file)
    var count = 1
    for extent in header.shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw failure("the shape \(header.shape) is absurd") }
      count = product
    }
    let (needed, overflow) = count.multipliedReportingOverflow(by: header.width)
    guard !overflow, bytes.count - start == needed else {
      throw failure("the shape \(header.shape) does not fit the \(bytes.count - start) bytes of data")
    }
    var values = [Double](repeating: 0, count: count)
    for i in 0..<count {
      let place = start + i * header.width
      var bits: UInt64 = 0
      for b in 0..<header.width {
        let byte = bytes[place + (header.isBigEndian ? b : header.width - 1 - b)]
        bits = bits << 8 | UInt64(byte)
      }
      guard let value = header.value(bits) else {
        throw failure("element \(i) is an integer that no double equals")
      }
      values[i] = value
    }
    shape = header.shape
    elementType = header.type
    self.values = header.isFortranOrder ? Self.transposed(values, header.shape) : values
  }

  /// Column-major to row-major.
  private static func transposed(_ values: [Double], _ shape: [Int]) -> [Double] {
    var result = values
    var coordinate = [Int](repeating: 0, count: shape.count)
    for value in values {
      var position = 0
      for (axis, extent) in shape.enumerated() { position = position * extent + coordinate[axis] }
      result[position] = value
      for axis in shape.indices {
        coordinate[axis] += 1
        if coordinate[axis] < shape[axis] { break }
        coordinate[axis] = 0
      }
    }
    return result
  }
}

import Foundation

/// The Python dictionary in front of the data.
private struct Header {
  var type = ""
  var width = 0
  var isBigEndian = false
  var isFortranOrder = false
  var shape: [Int] = []

  init(_ text: String, file: String) throws {
    func failure(_ reason: String) -> FileError {
      FileError(file: file, place: ".npy header", reason: reason)
    }
    guard let description = Self.entry("descr", in: text) else { throw failure("'descr' is missing") }
    let descriptor = description.trimmingCharacters(in: CharacterSet(charactersIn: "'\" "))
    guard let order = descriptor.first, "<>|=".contains(order) else {
      throw failure("the element type \(description) is not supported")
    }
    isBigEndian = order == ">"
    type = String(descriptor.dropFirst())
    let widths = [
      "f2": 2, "f4": 4, "f8": 8, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "u2": 2, "u4": 4, "u8": 8,
      "b1": 1,
    ]
    guard let width = widths[type] else { throw failure("the element type \(description) is not supported") }
    self.width = width
    switch Self.entry("fortran_order", in: text)?.trimmingCharacters(in: .whitespaces) {
    case "True"?: isFortranOrder = true
    case "False"?: isFortranOrder = false
    default: throw failure("'fortran_order' is missing")
    }
    guard let open = text.range(of: "'shape':"), let start = text[open.upperBound...].firstIndex(of: "("),
      let end = text[start...].firstIndex(of: ")")
    else { throw failure("'shape' is missing") }
    for part in text[text.index(after: start)..<end].split(separator: ",") {
      let digits = part.trimmingCharacters(in: .whitespaces)
      if digits.isEmpty { continue }
      guard let extent = Int(digits), extent >= 0 else {
        throw failure("the shape has the extent '\(digits)'")
      }
      shape.append(extent)
    }
  }

  private static func entry(_ key: String, in text: String) -> String? {
    guard let found = text.range(of: "'\(key)':") else { return nil }
    let rest = text[found.upperBound...]
    guard let end = rest.firstIndex(where: { $0 == "," || $0 == "}" }) else { return nil }
    return String(rest[..<end])
  }

  /// The value of an element's bits; nil for an integer beyond what Double holds.
  func value(_ bits: UInt64) -> Double? {
    switch type {
    case "f2": return Double(Float16(bitPattern: UInt16(truncatingIfNeeded: bits)))
    case "f4": return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
    case "f8": return Double(bitPattern: bits)
    case "b1": return bits == 0 ? 0 : 1
    case "i1": return Double(Int8(truncatingIfNeeded: bits))
    case "i2": return Double(Int16(truncatingIfNeeded: bits))
    case "i4": return Double(Int32(truncatingIfNeeded: bits))
    case "i8": return Double(exactly: Int64(bitPattern: bits))
    default: return Double(exactly: bits)
    }
  }
}
