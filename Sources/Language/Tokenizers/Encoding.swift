/// A text as a model reads it.
public struct Encoding: Sendable, Equatable {
  public var tokens: [String]
  public var ids: [Int]
  /// For every token the number of the word it belongs to, ascending from 0. A special token is a word of its own.
  public var words: [Int]
  /// The text of each word as a person would write it.
  public var wordTexts: [String]
  /// The part of the text that each token came from, in Unicode scalars from 0; empty for tokens that no text gave, and for all
  /// of a sequence of numbers. A blank that a token includes is counted.
  public var offsets: [Range<Int>]
  /// What of the text the model cannot read: words that became the unknown token, characters that were dropped.
  public var unknown: [String] = []
  /// Tokens that were cut off because the tokenizer sets a length.
  public var truncated = 0
  /// For models that read a tensor instead of token numbers: its elements, row-major.
  public var values: [Double]?

  public init(tokens: [String], ids: [Int], words: [Int], wordTexts: [String]) {
    self.tokens = tokens
    self.ids = ids
    self.words = words
    self.wordTexts = wordTexts
    offsets = [Range<Int>](repeating: 0..<0, count: ids.count)
  }

  /// What a person should know about the text before trusting a result, one remark an element.
  public var remarks: [String] {
    var result: [String] = []
    if !unknown.isEmpty {
      let shown = unknown.prefix(5).map { "\"\($0.count > 40 ? $0.prefix(40) + "..." : $0)\"" }
      result.append(
        "the vocabulary lacks \(shown.joined(separator: ", "))"
          + (unknown.count > 5 ? " and \(unknown.count - 5) more" : "")
          + "; the model reads the unknown token, or nothing, there")
    }
    if truncated > 0 {
      result.append("the tokenizer's length cuts off \(truncated) token\(truncated == 1 ? "" : "s")")
    }
    return result
  }
}
