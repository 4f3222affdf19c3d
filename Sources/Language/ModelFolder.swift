import FileFormats
import Foundation

/// A transformer on disk: configuration, weights and tokenizer of a HuggingFace folder.
public struct ModelFolder: Sendable {
  /// The path as the user gave it.
  public let path: String
  public let configuration: ModelConfiguration
  public let weights: SafetensorsFolder
  /// The shape of the tensor that a network from an ONNX file reads instead of token numbers; nil for token numbers.
  public let inputShape: [Int]?
  /// nil if the folder holds no tokenizer; token numbers must then be given.
  public let tokenizer: Tokenizer?

  /// Opens a folder and checks that every weight is finite.
  ///
  /// - Throws: ``FileError`` for what is missing or wrong.
  public init(path: String) throws {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
    configuration = try ModelConfiguration(folder: path)
    weights = try SafetensorsFolder(folder: path)
    for file in weights.files { try file.checkFinite() }
    tokenizer = try Tokenizer.load(folder: path)
    inputShape = nil
  }

  /// What stands for a folder where the model is an ONNX file: its sizes, and a tokenizer if one lies beside the file.
  ///
  /// - Throws: ``FileError`` for a tokenizer that is malformed.
  public init(network path: String, configuration: ModelConfiguration, inputShape: [Int]?) throws {
    self.path = path
    self.configuration = configuration
    weights = SafetensorsFolder(empty: path)
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    tokenizer = inputShape == nil ? try Tokenizer.load(folder: parent.isEmpty ? "/" : parent) : nil
    self.inputShape = inputShape
  }

  /// A tensor as a network reads it; its positions stand for words.
  ///
  /// - Throws: ``FileError`` if the model reads token numbers, or a tensor of another size.
  public func encode(values: [Double], _ place: FileError) throws -> Encoding {
    guard let inputShape else {
      throw FileError(
        file: place.file, place: place.place, reason: "the model reads token numbers, not tensors")
    }
    let count = inputShape.reduce(1, *)
    guard values.count == count else {
      throw FileError(
        file: place.file, place: place.place,
        reason: "\(values.count) numbers, the model reads \(count) (shape \(inputShape))")
    }
    guard values.allSatisfy(\.isFinite) else {
      throw FileError(file: place.file, place: place.place, reason: "a number is not finite")
    }
    var encoding = try describe(Array(0..<configuration.positions))
    encoding.values = values
    return encoding
  }

  /// Whether a path is a folder that ``init(path:)`` takes.
  public static func exists(at path: String) -> Bool {
    access(path + "/config.json", F_OK) == 0
      || access(path + "/model.json", F_OK) == 0 && access(path + "/model.safetensors", F_OK) == 0
  }

  /// The last component of the path.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// The tokens of a text, checked against the model's sizes.
  ///
  /// - Throws: ``FileError`` if there is no tokenizer or the text is empty or too long.
  public func encode(_ text: String) throws -> Encoding {
    if let inputShape {
      throw FileError(file: path, reason: "the model reads a tensor of shape \(inputShape), not a text")
    }
    guard let tokenizer else {
      throw FileError(file: path, reason: "there is no tokenizer in the folder; give token numbers instead")
    }
    let encoding = try tokenizer.encode(text)
    try check(encoding.ids, FileError(file: path, place: "the text", reason: ""))
    return encoding
  }

  /// The words of a sequence of token numbers; without a tokenizer every number is a word.
  ///
  /// - Throws: ``FileError`` as ``encode(_:)``.
  public func describe(_ ids: [Int]) throws -> Encoding {
    try check(ids, FileError(file: path, place: "the token numbers", reason: ""))
    if let tokenizer { return try tokenizer.describe(ids) }
    let names = ids.map(String.init)
    return Encoding(tokens: names, ids: ids, words: Array(ids.indices), wordTexts: names)
  }

  /// Checks that the model can read a sequence.
  func check(_ ids: [Int], _ place: FileError) throws {
    func wrong(_ reason: String) -> FileError {
      FileError(file: place.file, place: place.place, reason: reason)
    }
    guard !ids.isEmpty else { throw wrong("there is no token") }
    guard ids.count <= configuration.longestSequence else {
      throw wrong("\(ids.count) tokens, the model reads at most \(configuration.longestSequence)")
    }
    if let bad = ids.first(where: { $0 < 0 || $0 >= configuration.vocabularySize }) {
      throw wrong("token \(bad) is outside the vocabulary of \(configuration.vocabularySize)")
    }
  }
}
