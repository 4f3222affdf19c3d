/// A fully connected ReLU network in the `.nnet` text format of the ACAS Xu networks.
///
/// The format (K. Julian, Stanford Intelligent Systems Laboratory): comment lines starting with `//`; a line with the number of layers,
/// inputs, outputs and the widest layer; the layer sizes; an unused flag; input minima, maxima, means and
/// ranges (the last two with one more entry, for the outputs); then per layer the weight rows and one bias a line.
/// Weights are decimal text; they are rounded to the nearest float32.
public struct NNetFile: Sendable, Equatable {
  /// One fully connected layer.
  public struct Layer: Sendable, Equatable {
    public var inputs: Int
    public var outputs: Int
    /// Row-major, `[outputs, inputs]`.
    public var weights: [Float]
    /// `[outputs]`.
    public var biases: [Float]
  }

  /// The layers in order; a ReLU stands between any two.
  public var layers: [Layer]
  /// The range that inputs are clamped to before they are normalised.
  public var inputMinima: [Double]
  public var inputMaxima: [Double]
  /// Inputs are normalised as `(x - mean) / range`.
  public var inputMeans: [Double]
  public var inputRanges: [Double]
  /// Outputs are brought back as `y * outputRange + outputMean`.
  public var outputMean: Double
  public var outputRange: Double

  /// Inputs, then the outputs of each layer.
  public var layerSizes: [Int] { layers.prefix(1).map(\.inputs) + layers.map(\.outputs) }

  /// The most layers and the widest layer that the reader accepts.
  public static let sizeLimit = ReaderLimits.networkSize

  /// Reads a file, plain or gzip-compressed.
  ///
  /// - Throws: ``FileError`` with the line, when the file is not `.nnet`, is truncated, has rows of the wrong length or
  ///   numbers that are not finite in float32.
  public init(contentsOf path: String, limit: Int = Gzip.defaultLimit) throws {
    try self.init(Gzip.contents(ofFile: path, limit: limit), file: path)
  }

  /// Reads the text from memory.
  public init(_ bytes: [UInt8], file: String) throws {
    var reader = LineReader(bytes: bytes, file: file)
    let header = try reader.integers(count: nil, "the header")
    guard header.count >= 3 else {
      throw reader.error("the header needs the number of layers, inputs and outputs")
    }
    let layerCount = header[0]
    guard layerCount >= 1, layerCount <= Self.sizeLimit else {
      throw reader.error("\(layerCount) layers are not supported")
    }
    let sizes = try reader.integers(count: layerCount + 1, "the layer sizes")
    guard sizes.allSatisfy({ $0 >= 1 && $0 <= Self.sizeLimit }) else {
      throw reader.error("layer sizes must lie in 1...\(Self.sizeLimit)")
    }
    guard sizes[0] == header[1], sizes[layerCount] == header[2] else {
      throw reader.error("the layer sizes contradict the number of inputs or outputs in the header")
    }
    // A number takes at least two bytes, so a larger announcement cannot be true.
    var announced = 0
    for l in 0..<layerCount { announced += sizes[l + 1] * (sizes[l] + 1) }
    guard announced <= bytes.count else {
      throw reader.error("announces \(announced) weights, more than a file of \(bytes.count) bytes can hold")
    }
    _ = try reader.line("the flag")
    let inputs = sizes[0]
    inputMinima = try reader.doubles(count: inputs, "the input minima")
    inputMaxima = try reader.doubles(count: inputs, "the input maxima")
    let means = try reader.doubles(count: inputs + 1, "the means")
    let ranges = try reader.doubles(count: inputs + 1, "the ranges")
    guard ranges.allSatisfy({ $0 != 0 }) else { throw reader.error("a range of 0 cannot be divided by") }
    inputMeans = Array(means.prefix(inputs))
    inputRanges = Array(ranges.prefix(inputs))
    outputMean = means[inputs]
    outputRange = ranges[inputs]
    layers = []
    for l in 0..<layerCount {
      var layer = Layer(inputs: sizes[l], outputs: sizes[l + 1], weights: [], biases: [])
      layer.weights.reserveCapacity(sizes[l] * sizes[l + 1])
      for row in 0..<layer.outputs {
        layer.weights += try reader.floats(count: layer.inputs, "row \(row) of layer \(l)")
      }
      for row in 0..<layer.outputs {
        layer.biases += try reader.floats(count: 1, "bias \(row) of layer \(l)")
      }
      layers.append(layer)
    }
    if reader.hasMore() { throw reader.error("text after the last bias") }
  }
}

/// Splits text into lines of comma-separated numbers and knows the line it is at.
private struct LineReader {
  let bytes: [UInt8]
  let file: String
  var position = 0
  var lineNumber = 0

  func error(_ reason: String) -> FileError {
    FileError(file: file, place: "line \(lineNumber)", reason: reason)
  }

  /// The next line that is neither empty nor a comment.
  mutating func next() -> Range<Int>? {
    while position < bytes.count {
      let end = bytes[position...].firstIndex(of: 10) ?? bytes.count
      var range = position..<end
      position = end + 1
      lineNumber += 1
      while let first = range.first, bytes[first] <= 32 { range = (range.lowerBound + 1)..<range.upperBound }
      while let last = range.last, bytes[last] <= 32 { range = range.lowerBound..<last }
      if range.isEmpty { continue }
      if range.count >= 2, bytes[range.lowerBound] == 47, bytes[range.lowerBound + 1] == 47 { continue }
      return range
    }
    return nil
  }

  mutating func hasMore() -> Bool { next() != nil }

  mutating func line(_ what: String) throws -> Range<Int> {
    guard let range = next() else { throw FileError(file: file, reason: "ends before \(what)") }
    return range
  }

  /// The fields of the next line; a comma after the last one is allowed.
  private mutating func fields(_ what: String) throws -> [Substring] {
    let range = try line(what)
    guard let text = String(validating: bytes[range], as: UTF8.self) else { throw error("is not text") }
    var fields = text.split(separator: ",", omittingEmptySubsequences: false)
    if let last = fields.last, last.allSatisfy({ $0 == " " || $0 == "\t" }) { fields.removeLast() }
    return fields.map { field in
      var field = field
      while field.first == " " || field.first == "\t" { field.removeFirst() }
      while field.last == " " || field.last == "\t" { field.removeLast() }
      return field
    }
  }

  private mutating func values<T>(count: Int?, _ what: String, _ parse: (Substring) -> T?) throws -> [T] {
    let fields = try fields(what)
    if let count, fields.count != count {
      throw error("\(what): expected \(count) numbers, found \(fields.count)")
    }
    return try fields.map { field in
      guard let value = parse(field) else {
        throw error("\(what): \"\(field.prefix(40))\" is not a usable number")
      }
      return value
    }
  }

  mutating func integers(count: Int?, _ what: String) throws -> [Int] {
    try values(count: count, what) { Int($0) }
  }

  mutating func doubles(count: Int, _ what: String) throws -> [Double] {
    try values(count: count, what) { field in
      guard Self.isDecimal(field), let value = Double(field), value.isFinite else { return nil }
      return value
    }
  }

  mutating func floats(count: Int, _ what: String) throws -> [Float] {
    try values(count: count, what) { field in
      guard Self.isDecimal(field), let value = Float(field), value.isFinite else { return nil }
      return value
    }
  }

  /// Keeps out the hexadecimal and named numbers that the standard library would read.
  private static func isDecimal(_ field: Substring) -> Bool {
    field.utf8.allSatisfy { c in
      (c >= 48 && c <= 57) || c == 43 || c == 45 || c == 46 || c == 69 || c == 101
    }
  }
}
