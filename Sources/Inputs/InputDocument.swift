import FileFormats
import Tensors

/// Values for the inputs of a network, as a file gives them.
///
/// - `[..]`, nested lists or `{"shape":[..],"values":[..]}` for a network with one input;
/// - `{"inputs":{"NAME":{"shape":[..],"values":[..]}, ..}}` for several;
/// - a NumPy array (`.npy`) for one.
///
/// All of them may be gzip-compressed.
public struct InputDocument: Sendable {
  /// The file, as the user named it.
  public var file: String
  public var values: NamedOrSingle<DecimalTensor>

  public init(file: String, values: NamedOrSingle<DecimalTensor>) {
    self.file = file
    self.values = values
  }

  /// The largest contents of an input, box or rows file, after inflation: 64 MiB.
  public static let sizeLimit = ReaderLimits.inputBytes

  /// The root of a JSON file of that size.
  static func root(_ path: String) throws -> JSONField {
    JSONField(root: try .parse(contentsOf: path, limit: sizeLimit), file: path)
  }

  /// - Throws: `FileError`.
  public init(contentsOf path: String) throws {
    let (bytes, stored) = try Gzip.sizedContents(ofFile: path, limit: Self.sizeLimit)
    file = path
    if NpyFile.isNpy(bytes) {
      let array = try NpyFile(bytes, file: path)
      values = .single(DecimalTensor(shape: Shape(array.shape), exactly: array.values))
      return
    }
    values = try NamedOrSingle(JSONField(root: .parse(bytes, file: path, stored: stored), file: path)) {
      field in
      if case .object = field.value { return try DecimalTensor(field, key: "values") }
      return try DecimalTensor(field)
    }
  }
}

/// A box of inputs, as a file gives it: `{"shape":[..],"lower":[..],"upper":[..]}`, or the same by name under
/// `"inputs"`. `"values"` in place of the two fixes an input.
public struct BoxDocument: Sendable {
  public struct Box: Sendable {
    public var lower: DecimalTensor
    public var upper: DecimalTensor
  }

  public var file: String
  public var boxes: NamedOrSingle<Box>

  /// - Throws: `FileError`, also for a lower bound above the upper one.
  public init(contentsOf path: String) throws {
    file = path
    boxes = try NamedOrSingle(InputDocument.root(path)) { field in
      if try field.optional("values") != nil {
        let fixed = try DecimalTensor(field, key: "values")
        return Box(lower: fixed, upper: fixed)
      }
      let box = Box(
        lower: try DecimalTensor(field, key: "lower"), upper: try DecimalTensor(field, key: "upper"))
      guard box.lower.count == box.upper.count else {
        throw field.error("\(box.lower.count) lower and \(box.upper.count) upper bounds")
      }
      for i in 0..<box.lower.count where box.lower.nearest[i] > box.upper.nearest[i] {
        throw field.error(
          "element \(i): the lower bound \(box.lower.nearest[i]) is above the upper bound \(box.upper.nearest[i])"
        )
      }
      return box
    }
  }
}

/// Something for a network's only input, or one thing for each input by name.
public enum NamedOrSingle<Value: Sendable>: Sendable {
  case single(Value)
  case named([(name: String, value: Value)])

  /// Reads a document that holds one value or, under `"inputs"`, several.
  init(_ root: JSONField, _ read: (JSONField) throws -> Value) throws {
    if case .object = root.value, let inputs = try root.optional("inputs") {
      self = .named(try inputs.members().map { (name: $0.key, value: try read($0.field)) })
    } else {
      self = .single(try read(root))
    }
  }

  /// The values in the order of `names`; nil where the document has none.
  ///
  /// - Throws: `FileError` for a name the network does not have, or a single value for several inputs.
  func ordered(by names: [String], file: String) throws -> [Value?] {
    switch self {
    case .single(let value):
      guard names.count == 1 else {
        throw FileError(
          file: file,
          reason:
            "holds one value, the network has \(names.count) inputs (\(names.joined(separator: ", "))); "
            + "name them under \"inputs\"")
      }
      return [value]
    case .named(let entries):
      for entry in entries where !names.contains(entry.name) {
        throw FileError(
          file: file, place: "inputs.\(entry.name)",
          reason: "the network has no such input; its inputs are \(names.joined(separator: ", "))")
      }
      return names.map { name in entries.first { $0.name == name }?.value }
    }
  }
}

/// Linear functions of the first output, as a file gives them: `{"rows":[[..],..]}`.
public struct RowsDocument: Sendable {
  public var file: String
  /// `[rows, elements of the output]`.
  public var rows: DecimalTensor

  /// - Throws: `FileError`, also when there is no row or rows differ in length.
  public init(contentsOf path: String) throws {
    file = path
    let field = try InputDocument.root(path).member("rows")
    rows = try DecimalTensor(field)
    guard let shape = rows.shape, shape.rank == 2, rows.count > 0 else {
      throw field.error("expected a list of lists of numbers")
    }
  }

  /// - Throws: `FileError` if a row does not have one number for every element of the output.
  public func tensor(columns: Int) throws -> Tensor<Double> {
    guard let shape = rows.shape, shape[1] == columns else {
      throw FileError(
        file: file, place: "rows",
        reason: "rows have \(rows.shape?[1] ?? 0) numbers, the first output has \(columns) elements")
    }
    return Tensor(shape, rows.nearest)
  }
}
