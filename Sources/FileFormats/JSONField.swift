/// A JSON value together with the place it stands at, so that a missing or ill-typed member is reported as
/// `regions.jsonl: line 3: region.lower[2]: expected a number`.
public struct JSONField: Sendable {
  public let value: JSONValue
  /// The file, for errors.
  public let file: String
  /// The path from the root of the document, e.g. `region.lower[2]`; empty at the root.
  public let path: String
  /// The line of a `.jsonl` file that the document stands on, or nil.
  public let line: Int?

  /// The root of a document.
  public init(root value: JSONValue, file: String, line: Int? = nil) {
    self.init(value, file: file, path: "", line: line)
  }

  private init(_ value: JSONValue, file: String, path: String, line: Int?) {
    self.value = value
    self.file = file
    self.path = path
    self.line = line
  }

  /// The error to throw about this value.
  public func error(_ reason: String) -> FileError {
    var place: [String] = []
    if let line { place.append("line \(line)") }
    if !path.isEmpty { place.append(path) }
    return FileError(file: file, place: place.isEmpty ? nil : place.joined(separator: ": "), reason: reason)
  }

  private func child(_ value: JSONValue, _ key: String) -> JSONField {
    JSONField(value, file: file, path: path.isEmpty ? key : path + "." + key, line: line)
  }

  /// The members of an object.
  public func object() throws -> JSONObject {
    guard case .object(let members) = value else { throw error("expected an object") }
    return members
  }

  /// A member that must be there.
  public func member(_ key: String) throws -> JSONField {
    guard let found = try object()[key] else { throw error("\"\(key)\" is missing") }
    return child(found, key)
  }

  /// A member that may be absent or `null`.
  public func optional(_ key: String) throws -> JSONField? {
    guard let found = try object()[key], found != .null else { return nil }
    return child(found, key)
  }

  /// Every member of an object with its key.
  public func members() throws -> [(key: String, field: JSONField)] {
    try object().entries.map { ($0.key, child($0.value, $0.key)) }
  }

  /// The elements of an array.
  public func elements() throws -> [JSONField] { Array(try lazyElements()) }

  /// The elements of an array, each made when it is asked for: with its place it takes far more memory than its value, so
  /// that long lists are walked in this way.
  public func lazyElements() throws -> Elements {
    guard case .array(let elements) = value else { throw error("expected an array") }
    return Elements(values: elements, parent: self)
  }

  /// The elements of an array with their places.
  public struct Elements: RandomAccessCollection, Sendable {
    fileprivate let values: [JSONValue]
    fileprivate let parent: JSONField

    public var startIndex: Int { 0 }
    public var endIndex: Int { values.count }

    public subscript(index: Int) -> JSONField {
      JSONField(values[index], file: parent.file, path: parent.path + "[\(index)]", line: parent.line)
    }
  }

  public func string() throws -> String {
    guard case .string(let text) = value else { throw error("expected a string") }
    return text
  }

  public func bool() throws -> Bool {
    guard case .bool(let flag) = value else { throw error("expected true or false") }
    return flag
  }

  public func int() throws -> Int {
    guard let number = value.intValue else { throw error("expected an integer") }
    return number
  }

  public func double() throws -> Double {
    guard let number = value.doubleValue else { throw error("expected a number") }
    return number
  }

  /// The text of a number that is written as a number or as a string (`"1/3"`).
  public func numberText() throws -> String {
    switch value {
    case .number(let text), .string(let text): return text
    default: throw error("expected a number")
    }
  }
}
