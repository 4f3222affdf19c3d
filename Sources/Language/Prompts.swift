import FileFormats

/// One prompt of a group: what the model reads, its corrupted counterpart, and what counts as right and wrong.
public struct Prompt: Sendable {
  /// The line of the file, from 1; 0 for a text that comes from no file.
  public var line: Int
  public var ids: [Int]
  /// The corrupted counterpart, nil if the prompt has none.
  public var corrupted: [Int]?
  /// Right answers, among which the metric's weight of 1 is shared.
  public var right: [Int]
  /// Wrong answers, among which the weight of -1 is shared.
  public var wrong: [Int]
  /// The class of a classifier's prompt.
  public var label: Int?
  /// Named positions (`IO`, `END`), from 0.
  public var positions: [String: Int]
  /// For models that read tensors: the elements of the prompt and of its counterpart.
  public var values: [Double]?
  public var corruptedValues: [Double]?
}

/// Prompts of equal length, read from a JSONL file.
public struct PromptGroup: Sendable {
  public let file: String
  public let prompts: [Prompt]
  /// Words of the first prompt, for pictures.
  public let tokens: [String]
  /// What a person should know about the texts, such as words that the vocabulary lacks; each names the line.
  public let remarks: [String]

  /// Positions of every prompt.
  public var length: Int { prompts[0].ids.count }

  /// Positions that all prompts name alike.
  public var commonPositions: [String: Int] {
    var common = prompts[0].positions
    for prompt in prompts.dropFirst() { common = common.filter { prompt.positions[$0.key] == $0.value } }
    return common
  }

  /// Reads a file of prompts, one JSON object a line.
  ///
  /// Token numbers are taken from `clean_ids` (or `ids`), else from the text in `clean` (or `text`); the corrupted
  /// counterpart from `corrupted_ids`, else from `corrupted` or `corrupted_abc`.
  ///
  /// - Parameters:
  ///   - corruptedField: take the corrupted counterpart from the text in this member instead, e.g. `corrupted_swap`.
  ///   - length: keep only prompts of this many tokens.
  ///   - limit: read only so many prompts.
  /// - Throws: ``FileError`` naming the line that is malformed, of another length, or outside the vocabulary.
  public init(
    path: String, model: ModelFolder, corruptedField: String? = nil, length: Int? = nil, limit: Int? = nil
  ) throws {
    file = path
    var prompts: [Prompt] = []
    var remarks: [String] = []
    for (line, value) in try JSONValue.parseLines(contentsOf: path) {
      if let limit, prompts.count >= limit { break }
      var own: [String] = []
      let prompt = try Self.prompt(
        JSONField(root: value, file: path, line: line), line, model: model, corruptedField: corruptedField,
        remarks: &own)
      if let length, prompt.ids.count != length { continue }
      let place = "line \(line)"
      if let first = prompts.first {
        guard prompt.ids.count == first.ids.count else {
          throw FileError(
            file: path, place: place,
            reason: "the prompt has \(prompt.ids.count) tokens, line \(first.line) has \(first.ids.count); "
              + "prompts of a group must have equal lengths")
        }
        guard (prompt.corrupted == nil) == (first.corrupted == nil) else {
          throw FileError(
            file: path, place: place, reason: "some prompts have a corrupted counterpart and some have none")
        }
      }
      if let corrupted = prompt.corrupted, corrupted.count != prompt.ids.count {
        throw FileError(
          file: path, place: place,
          reason: "the corrupted prompt has \(corrupted.count) tokens, the clean one \(prompt.ids.count)")
      }
      prompts.append(prompt)
      remarks += own.map { "\(path): \(place): \($0)" }
    }
    guard let first = prompts.first else {
      throw FileError(
        file: path, reason: length.map { "there is no prompt of \($0) tokens" } ?? "there is no prompt")
    }
    self.prompts = prompts
    self.remarks = remarks
    let encoding = try model.describe(first.ids)
    tokens = encoding.tokens.map { model.tokenizer?.display($0) ?? $0 }
  }

  /// One text, with neither a counterpart nor an answer.
  ///
  /// - Parameter name: what stands for a file in messages.
  public init(_ encoding: Encoding, name: String, model: ModelFolder) {
    file = name
    prompts = [
      Prompt(
        line: 0, ids: encoding.ids, corrupted: nil, right: [], wrong: [], label: nil, positions: [:],
        values: encoding.values)
    ]
    tokens = encoding.tokens.map { model.tokenizer?.display($0) ?? $0 }
    remarks = []
  }

  private static func prompt(
    _ field: JSONField, _ line: Int, model: ModelFolder, corruptedField: String?, remarks: inout [String]
  ) throws -> Prompt {
    let place = FileError(file: field.file, place: "line \(line)", reason: "")
    func numbers(_ field: JSONField) throws -> [Int] {
      let ids = try field.elements().map { try $0.int() }
      try model.check(ids, place)
      return ids
    }
    func encoded(_ field: JSONField) throws -> [Int] {
      guard let tokenizer = model.tokenizer else {
        throw field.error("the model has no tokenizer; give token numbers in \"clean_ids\"")
      }
      let encoding = try located(place) { try tokenizer.encode(try field.string()) }
      try model.check(encoding.ids, place)
      remarks += encoding.remarks
      return encoding.ids
    }
    var values: [Double]?
    var corruptedValues: [Double]?
    func tensor(_ field: JSONField) throws -> Encoding {
      guard let numbers = field.value.flattened else { throw field.error("expected numbers") }
      return try model.encode(values: numbers, place)
    }
    let ids: [Int]
    if model.inputShape != nil {
      let encoding = try tensor(try field.member("input"))
      ids = encoding.ids
      values = encoding.values
    } else if let given = try field.optional("clean_ids") ?? field.optional("ids") {
      ids = try numbers(given)
    } else if let text = try field.optional("clean") ?? field.optional("text") {
      ids = try encoded(text)
    } else {
      throw field.error("there is neither \"clean\" nor \"clean_ids\"")
    }
    var corrupted: [Int]?
    if model.inputShape != nil {
      if let other = try field.optional(corruptedField ?? "corrupted_input") {
        let encoding = try tensor(other)
        corrupted = encoding.ids
        corruptedValues = encoding.values
      }
    } else if let corruptedField, corruptedField != "corrupted" || field.value["corrupted_ids"] == nil {
      let text = try field.member(corruptedField)
      if case .array = text.value { corrupted = try numbers(text) } else { corrupted = try encoded(text) }
    } else if let given = try field.optional("corrupted_ids") {
      corrupted = try numbers(given)
    } else if let text = try field.optional("corrupted") ?? field.optional("corrupted_abc") {
      corrupted = try encoded(text)
    }
    func tokens(_ field: JSONField) throws -> [Int] {
      let parts: [JSONField]
      if case .array = field.value { parts = try field.elements() } else { parts = [field] }
      return try parts.map { part in
        if let id = part.value.intValue {
          guard id >= 0, id < model.configuration.vocabularySize else {
            throw part.error("token \(id) is outside the vocabulary of \(model.configuration.vocabularySize)")
          }
          return id
        }
        guard let tokenizer = model.tokenizer else {
          throw part.error("the model has no tokenizer; give a number")
        }
        let text = try part.string()
        guard let id = try? tokenizer.id(ofToken: text), id < model.configuration.vocabularySize else {
          throw part.error("the token \"\(text)\" is not in the vocabulary")
        }
        return id
      }
    }
    let right = try (field.optional("correct_tokens") ?? field.optional("answer")).map(tokens) ?? []
    let wrong =
      try
      (field.optional("wrong_tokens") ?? field.optional("wrong_answers") ?? field.optional("wrong_answer"))
      .map(tokens) ?? []
    var positions: [String: Int] = [:]
    for (name, position) in try field.optional("positions")?.members() ?? [] {
      let value = try position.int()
      guard value >= 0, value < ids.count else {
        throw position.error("position \(value) is outside the prompt")
      }
      positions[name] = value
    }
    let label = try field.optional("label").flatMap { $0.value.intValue }
    return Prompt(
      line: line, ids: ids, corrupted: corrupted, right: right, wrong: wrong, label: label,
      positions: positions, values: values, corruptedValues: corruptedValues)
  }

  /// The numbers of a file that holds a tensor: nested arrays, or an object with `values`.
  ///
  /// - Throws: ``FileError`` for anything else.
  public static func tensor(contentsOf path: String) throws -> [Double] {
    let root = try JSONValue.parse(contentsOf: path)
    guard let numbers = (root["values"] ?? root).flattened else {
      throw FileError(file: path, reason: "expected numbers in nested arrays, or an object with \"values\"")
    }
    return numbers
  }

  /// Runs `body` and puts the place of the prompt on the errors it throws.
  private static func located<R>(_ place: FileError, _ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as FileError {
      let what = error.place.map { $0 + " " } ?? ""
      throw FileError(file: place.file, place: place.place, reason: what + error.reason)
    }
  }
}

extension JSONValue {
  /// The numbers of nested arrays in their order; nil if there is anything else.
  var flattened: [Double]? {
    if let doubles { return doubles }
    guard case .array(let elements) = self else { return nil }
    var result: [Double] = []
    for element in elements {
      guard let own = element.flattened else { return nil }
      result += own
    }
    return result
  }
}
