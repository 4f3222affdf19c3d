/// A JSON value (RFC 8259) whose numbers keep the text they were written with.
///
/// Exact tools must read `0.1` as one tenth and not as the nearest double; whoever is content with a double asks for
/// ``doubleValue``.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// The text of a number exactly as it stands in the file.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
  /// An array of numbers as results are written, in the memory of the numbers. Never read from a file.
  case results([Double])

  public var boolValue: Bool? {
    if case .bool(let value) = self { return value }
    return nil
  }

  public var stringValue: String? {
    if case .string(let value) = self { return value }
    return nil
  }

  /// The text of a number.
  public var numberText: String? {
    if case .number(let text) = self { return text }
    return nil
  }

  /// The double nearest to a number; nil when it is no number or overflows.
  public var doubleValue: Double? {
    guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
    return value
  }

  /// An integer written without fraction and exponent.
  public var intValue: Int? {
    if case .number(let text) = self { return Int(text) }
    return nil
  }

  public var arrayValue: [JSONValue]? {
    switch self {
    case .array(let value): value
    case .results(let values): values.map { JSONValue(result: $0) }
    default: nil
    }
  }

  public var objectValue: JSONObject? {
    if case .object(let value) = self { return value }
    return nil
  }

  /// The member of an object; nil when there is none or the value is no object.
  public subscript(key: String) -> JSONValue? {
    objectValue?[key]
  }

  /// The element of an array; nil when there is none or the value is no array.
  public subscript(index: Int) -> JSONValue? {
    switch self {
    case .array(let value): value.indices.contains(index) ? value[index] : nil
    case .results(let values): values.indices.contains(index) ? JSONValue(result: values[index]) : nil
    default: nil
    }
  }

  /// All elements of an array of numbers as doubles; nil when the value is anything else.
  public var doubles: [Double]? {
    guard let elements = arrayValue else { return nil }
    var result: [Double] = []
    result.reserveCapacity(elements.count)
    for element in elements {
      guard let value = element.doubleValue else { return nil }
      result.append(value)
    }
    return result
  }

  /// All elements of an array of integers; nil when the value is anything else.
  public var ints: [Int]? {
    guard case .array(let elements) = self else { return nil }
    var result: [Int] = []
    result.reserveCapacity(elements.count)
    for element in elements {
      guard let value = element.intValue else { return nil }
      result.append(value)
    }
    return result
  }

  /// A number; infinities and NaN, which JSON has no words for, become `null`.
  public init(_ value: Double) {
    self = value.isFinite ? .number("\(value)") : .null
  }

  /// A number, written with the shortest text that reads back as the same float.
  public init(_ value: Float) {
    self = value.isFinite ? .number("\(value)") : .null
  }

  /// A number as results are written: the shortest text that reads back as the same double; infinities and NaN, which JSON
  /// has no words for, become the strings `"inf"`, `"-inf"` and `"nan"`.
  public init(result value: Double) {
    if value.isFinite {
      self = .number("\(value)")
    } else {
      self = .string(value.isNaN ? "nan" : value < 0 ? "-inf" : "inf")
    }
  }

  /// Numbers as results are written.
  public init(results values: [Double]) { self = .results(values) }

  public init(_ value: Int) { self = .number("\(value)") }
  public init(_ values: [Double]) { self = .array(values.map { JSONValue($0) }) }
  public init(_ values: [Float]) { self = .array(values.map { JSONValue($0) }) }
  public init(_ values: [Int]) { self = .array(values.map { JSONValue($0) }) }
  public init(_ values: [String]) { self = .array(values.map { .string($0) }) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByFloatLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self.init(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self.init(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { JSONObject.Entry(key: $0.0, value: $0.1) }))
  }
}

/// The members of a JSON object, in the order of the file.
public struct JSONObject: Sendable, Equatable {
  /// One member.
  public struct Entry: Sendable, Equatable {
    public var key: String
    public var value: JSONValue

    public init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  public private(set) var entries: [Entry]
  /// Positions by key; built for objects that are too large to scan.
  private var index: [Key: Int] = [:]
  private static let scanLimit = 8

  /// A key as its bytes: Swift's `String` equates canonically equivalent texts, JSON (RFC 8259, section 8.3) does not.
  private struct Key: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: Key, b: Key) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  public init(_ entries: [Entry] = []) {
    self.entries = []
    self.entries.reserveCapacity(entries.count)
    for entry in entries { self[entry.key] = entry.value }
  }

  public var keys: [String] { entries.map(\.key) }
  public var count: Int { entries.count }

  func position(of key: String) -> Int? {
    if entries.count <= Self.scanLimit {
      return entries.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
    }
    return index[Key(key)]
  }

  /// Appends a member; false when the key is already there.
  mutating func append(_ key: String, _ value: JSONValue) -> Bool {
    if position(of: key) != nil { return false }
    entries.append(Entry(key: key, value: value))
    if entries.count > Self.scanLimit {
      if index.isEmpty {
        for (i, entry) in entries.enumerated() { index[Key(entry.key)] = i }
      } else {
        index[Key(key)] = entries.count - 1
      }
    }
    return true
  }

  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { entries[$0].value } }
    set {
      if let newValue {
        if let i = position(of: key) { entries[i].value = newValue } else { _ = append(key, newValue) }
      } else if let i = position(of: key) {
        entries.remove(at: i)
        index = [:]
        if entries.count > Self.scanLimit {
          for (i, entry) in entries.enumerated() { index[Key(entry.key)] = i }
        }
      }
    }
  }

  public static func == (a: JSONObject, b: JSONObject) -> Bool { a.entries == b.entries }
}
