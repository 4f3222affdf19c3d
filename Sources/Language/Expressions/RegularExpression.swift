import FileFormats

/// The regular expressions of `tokenizer.json` (Oniguruma's syntax), as far as ``ExpressionParser`` reads them. Matching goes
/// back on failure, as the reference library's does: the first alternative that matches counts, not the longest.
struct RegularExpression: Sendable {
  enum Instruction: Sendable {
    case scalar(ScalarSet)
    /// Between `least` and `most` scalars of a set.
    case run(ScalarSet, least: Int, most: Int, Greed)
    /// Try the first; if what follows fails, the second.
    case branch(Int, Int)
    case jump(Int)
    /// The instructions up to `end` match here, or do not; nothing is consumed.
    case look(isNegative: Bool, isBehind: Bool, end: Int)
    /// The instructions up to `end`, once they matched, are never tried otherwise.
    case atomic(end: Int)
    case assertion(Assertion)
    case done
  }

  enum Greed: Sendable { case greedy, lazy, possessive }

  enum Assertion: Sendable { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

  let source: String
  private let program: [Instruction]

  /// - Throws: ``FileError`` (of `field`) naming what is not supported.
  init(_ source: String, _ field: JSONField) throws {
    self.source = source
    do {
      program = try ExpressionParser.program(source)
    } catch let error as ExpressionParser.Unsupported {
      throw field.error("the regular expression \(source) is not supported: \(error.reason)")
    }
  }

  /// An expression of this program.
  ///
  /// - Throws: ``ExpressionParser/Unsupported``.
  init(known source: String) throws {
    self.source = source
    program = try ExpressionParser.program(source)
  }

  /// The matches from the left, none overlapping. Empty matches are left out: nothing that splits or replaces uses them.
  ///
  /// - Throws: ``FileError`` if matching takes more than 200 steps a scalar.
  func matches(in text: TracedText) throws -> [Range<Int>] {
    var result: [Range<Int>] = []
    try text.withUnsafeBufferPointer { text in
      var matcher = Matcher(program: program, text: text, steps: 1_000_000 + 200 * text.count)
      var place = 0
      while place < text.count {
        if let end = matcher.match(0, place), end > place {
          result.append(place..<end)
          place = end
        } else {
          place += 1
        }
      }
      if matcher.steps < 0 {
        throw FileError(
          file: "the text", reason: "the regular expression \(source) takes too many steps on it")
      }
    }
    return result
  }
}

/// Matches one program at places of one text.
private struct Matcher {
  let program: [RegularExpression.Instruction]
  let text: UnsafeBufferPointer<TracedScalar>
  /// Steps that are left; below 0 nothing matches any more.
  var steps: Int
  /// Where to go on after a failure. For a run: the complement of its instruction, the next end to try and the last one.
  private var choices: [(instruction: Int, place: Int, last: Int)] = []

  init(program: [RegularExpression.Instruction], text: UnsafeBufferPointer<TracedScalar>, steps: Int) {
    self.program = program
    self.text = text
    self.steps = steps
  }

  /// Where the match ends that starts with an instruction at a place, nil if there is none.
  mutating func match(_ instruction: Int, _ start: Int) -> Int? {
    let base = choices.count
    defer { choices.removeLast(choices.count - base) }
    var pc = instruction
    var place = start
    while steps >= 0 {
      steps -= 1
      if case .done = program[pc] { return place }
      if let next = step(pc, place) {
        (pc, place) = next
      } else if let next = retreat(base) {
        (pc, place) = next
      } else {
        return nil
      }
    }
    return nil
  }

  /// The next instruction and place, nil if the instruction fails.
  private mutating func step(_ pc: Int, _ place: Int) -> (Int, Int)? {
    switch program[pc] {
    case .done: return nil
    case .scalar(let set):
      return place < text.count && set.contains(text[place].value) ? (pc + 1, place + 1) : nil
    case .run(let set, let least, let most, let greed):
      let limit = most >= text.count - place ? text.count : place + most
      let enough = greed == .lazy ? min(limit, place + least) : limit
      var end = place
      while end < enough, set.contains(text[end].value) { end += 1 }
      steps -= (end - place) / 8
      if end - place < least { return nil }
      if greed == .greedy, end - place > least { choices.append((~pc, end - 1, place + least)) }
      if greed == .lazy, end < limit { choices.append((~pc, end + 1, limit)) }
      return (pc + 1, end)
    case .branch(let first, let second):
      choices.append((second, place, 0))
      return (first, place)
    case .jump(let target): return (target, place)
    case .look(let isNegative, let isBehind, let end):
      let found = isBehind ? place > 0 && match(pc + 1, place - 1) == place : match(pc + 1, place) != nil
      return found != isNegative ? (end, place) : nil
    case .atomic(let end): return match(pc + 1, place).map { (end, $0) }
    case .assertion(let assertion): return holds(assertion, place) ? (pc + 1, place) : nil
    }
  }

  /// The instruction and place of the choice made last that has another way to go.
  private mutating func retreat(_ base: Int) -> (Int, Int)? {
    while choices.count > base {
      let choice = choices.removeLast()
      if choice.instruction >= 0 { return (choice.instruction, choice.place) }
      let pc = ~choice.instruction
      guard case .run(let set, _, _, let greed) = program[pc] else { continue }
      if greed == .greedy {
        // One scalar is given back.
        if choice.place > choice.last { choices.append((~pc, choice.place - 1, choice.last)) }
        return (pc + 1, choice.place)
      }
      // One more is taken, if it belongs to the set.
      guard set.contains(text[choice.place - 1].value) else { continue }
      if choice.place < choice.last { choices.append((~pc, choice.place + 1, choice.last)) }
      return (pc + 1, choice.place)
    }
    return nil
  }

  private func holds(_ assertion: RegularExpression.Assertion, _ place: Int) -> Bool {
    func isWord(_ place: Int) -> Bool {
      place >= 0 && place < text.count && UnicodeTables.expressionWord.contains(text[place].value)
    }
    switch assertion {
    case .textStart: return place == 0
    case .textEnd: return place == text.count
    case .lineStart: return place == 0 || place < text.count && text[place - 1].value == 10
    case .lineEnd: return place == text.count || text[place].value == 10
    case .wordBoundary: return isWord(place - 1) != isWord(place)
    case .noWordBoundary: return isWord(place - 1) == isWord(place)
    }
  }
}
