import FileFormats

/// What is put around a text, and what is done to lengths.
struct PostProcessor: Sendable {
  /// A part of a template: special tokens, or the text.
  enum Item: Sendable, Equatable {
    case special([Int])
    case text
  }

  /// Templates from the innermost on.
  var templates: [[Item]] = []

  /// Special tokens that a text gets.
  var addedCount: Int {
    templates.joined().reduce(0) { sum, item in
      if case .special(let ids) = item { sum + ids.count } else { sum }
    }
  }

  /// The special tokens among the numbers of a template.
  var specialIds: Set<Int> {
    var result: Set<Int> = []
    for case .special(let ids) in templates.joined() { result.formUnion(ids) }
    return result
  }

  /// The text's tokens with special tokens, nil numbers of which stand for nothing of the text.
  func apply<Element>(_ tokens: [Element], special: (Int) -> Element) -> [Element] {
    var tokens = tokens
    for template in templates {
      tokens = template.flatMap { item in
        switch item {
        case .special(let ids): return ids.map(special)
        case .text: return tokens
        }
      }
    }
    return tokens
  }

  init(templates: [[Item]] = []) { self.templates = templates }

  /// The post-processor that `tokenizer.json` describes.
  ///
  /// - Throws: ``FileError`` naming what is not supported.
  init(_ field: JSONField?) throws { templates = try field.map(Self.templates) ?? [] }

  private static func templates(_ field: JSONField) throws -> [[Item]] {
    let type = try field.member("type").string()
    switch type {
    // Byte level trims offsets; it adds nothing.
    case "ByteLevel": return []
    case "Sequence": return try field.member("processors").elements().flatMap(templates)
    case "BertProcessing", "RobertaProcessing":
      func id(_ key: String) throws -> Int {
        let parts = try field.member(key).elements()
        guard parts.count == 2 else { throw field.error("\"\(key)\" must be a token and its number") }
        return try parts[1].int()
      }
      return [[.special([try id("cls")]), .text, .special([try id("sep")])]]
    case "TemplateProcessing":
      var ids: [String: [Int]] = [:]
      for (key, special) in try field.member("special_tokens").members() {
        ids[key] = try special.member("ids").elements().map { try $0.int() }
      }
      return [
        try field.member("single").elements().map { item in
          if let special = try item.optional("SpecialToken") {
            let name = try special.member("id").string()
            guard let ids = ids[name] else { throw special.error("\(name) is not among special_tokens") }
            return .special(ids)
          }
          let sequence = try item.member("Sequence").member("id").string()
          guard sequence == "A" else { throw item.error("a single text has no sequence \(sequence)") }
          return .text
        }
      ]
    default: throw field.error("the post-processor \(type) is not supported")
    }
  }
}

/// The length to which a tokenizer cuts texts, special tokens included.
struct Truncation: Sendable {
  var length: Int
  /// Whether the beginning is dropped and not the end.
  var isLeft = false

  /// - Throws: ``FileError`` for strategies that need a second text.
  init(_ field: JSONField, addedCount: Int) throws {
    length = try field.member("max_length").int()
    let direction = try field.optional("direction")?.string() ?? "Right"
    guard ["Left", "Right"].contains(direction) else {
      throw field.error("the direction \(direction) is not supported")
    }
    isLeft = direction == "Left"
    let strategy = try field.optional("strategy")?.string() ?? "LongestFirst"
    guard ["LongestFirst", "OnlyFirst"].contains(strategy) else {
      throw field.error("the strategy \(strategy) is not supported for single texts")
    }
    let stride = try field.optional("stride")?.int() ?? 0
    guard length >= addedCount, stride >= 0, stride < max(1, length - addedCount) else {
      throw field.error("the length leaves no room for the special tokens and the stride")
    }
  }
}

/// The tokens with which a tokenizer fills short texts.
public struct Padding: Sendable, Equatable {
  /// nil: to the length of the text.
  var length: Int?
  var multiple: Int?
  var isLeft = false
  var id: Int
  var token: String

  init(_ field: JSONField) throws {
    let strategy = try field.member("strategy")
    if case .string(let name) = strategy.value {
      guard name == "BatchLongest" else { throw strategy.error("the strategy \(name) is not supported") }
    } else {
      length = try strategy.member("Fixed").int()
    }
    let direction = try field.optional("direction")?.string() ?? "Right"
    guard ["Left", "Right"].contains(direction) else {
      throw field.error("the direction \(direction) is not supported")
    }
    isLeft = direction == "Left"
    multiple = try field.optional("pad_to_multiple_of")?.int()
    id = try field.optional("pad_id")?.int() ?? 0
    token = try field.optional("pad_token")?.string() ?? "[PAD]"
    guard length ?? 0 <= 1 << 24, multiple ?? 0 >= 0, multiple ?? 0 <= 1 << 24 else {
      throw field.error("this length is not supported")
    }
  }

  /// Tokens that a text of `count` tokens lacks.
  func missing(_ count: Int) -> Int {
    var target = length ?? count
    if let multiple, multiple > 0, target % multiple > 0 { target += multiple - target % multiple }
    return max(0, target - count)
  }
}
