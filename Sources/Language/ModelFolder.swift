import FileFormats
import Foundation

/// A transformer on disk: configuration, weights and tokenizer of a HuggingFace folder.
public struct ModelFolder: Sendable {
  /// The path as the user gave it.
  public let path: String
  public let configuration: ModelConfiguration
  public let weights: SafetensorsFolder
  /// nil if the folder holds no tokenizer; token numbers must then be given.
  public let tokenizer: Tokenizer?

  /// Opens a folder and checks that every weight is finite.
  ///
  /// - Throws: ``FileError`` for what is missing or wrong.
  public init(path: String) throws {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
    configuration = try ModelConfiguration(path: path + "/config.json")
    weights = try SafetensorsFolder(folder: path)
    for file in weights.files { try file.checkFinite() }
    tokenizer = try Tokenizer.load(folder: path)
  }

  /// The last component of the path.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// The tokens of a text, checked against the model's sizes.
  ///
  /// - Throws: ``FileError`` if there is no tokenizer or the text is empty or too long.
  public func encode(_ text: String) throws -> Encoding {
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
