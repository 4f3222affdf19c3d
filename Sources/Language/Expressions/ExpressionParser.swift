/// Reads a regular expression in Oniguruma's syntax into instructions.
///
/// Supported: literals, `.`, classes with ranges, nesting, negation and `&&`, `\s \S \d \D \w \W \h \p{..} \P{..}`, alternatives,
/// groups, `(?i:..)` on ASCII, `? * + {n,m}` greedy, lazy and possessive, look-ahead, look-behind of one scalar, `^ $ \A \z \b \B`.
/// Everything else is refused by name.
struct ExpressionParser {
  /// What the expression needs and this reader lacks.
  struct Unsupported: Error {
    var reason: String
  }

  indirect enum Node {
    case set(ScalarSet)
    case sequence([Node])
    case choice([Node])
    case repetition(Node, least: Int, most: Int, RegularExpression.Greed)
    case look(Node, isNegative: Bool, isBehind: Bool)
    case atomic(Node)
    case assertion(RegularExpression.Assertion)
  }

  private let scalars: [UInt32]
  private var place = 0
  private var ignoresCase = false
  private var depth = 0

  /// The instructions of an expression, the last of which is `done`.
  ///
  /// - Throws: ``Unsupported``.
  static func program(_ source: String) throws -> [RegularExpression.Instruction] {
    var parser = ExpressionParser(scalars: source.unicodeScalars.map(\.value))
    let node = try parser.alternatives()
    if parser.place < parser.scalars.count { throw Unsupported(reason: "a parenthesis is not opened") }
    var compiler = ExpressionCompiler()
    try compiler.append(node)
    return compiler.program + [.done]
  }

  private init(scalars: [UInt32]) { self.scalars = scalars }

  private var current: UInt32? { place < scalars.count ? scalars[place] : nil }

  private func isNext(_ text: String) -> Bool {
    scalars[place...].starts(with: text.unicodeScalars.lazy.map(\.value))
  }

  private mutating func take(_ text: String) -> Bool {
    guard isNext(text) else { return false }
    place += text.unicodeScalars.count
    return true
  }

  private mutating func alternatives() throws -> Node {
    depth += 1
    defer { depth -= 1 }
    if depth > 50 { throw Unsupported(reason: "it is nested too deeply") }
    var choices = [try sequence()]
    while take("|") { choices.append(try sequence()) }
    return choices.count == 1 ? choices[0] : .choice(choices)
  }

  private mutating func sequence() throws -> Node {
    var nodes: [Node] = []
    /// The last literal under `(?i)`.
    var last: UInt32?
    while let scalar = current, scalar != UInt32(ascii: "|"), scalar != UInt32(ascii: ")") {
      let isLetter = ignoresCase && ScalarSet.isLetter(scalar)
      if isLetter, let last {
        let pair = String(decoding: [UInt8(last | 32), UInt8(scalar | 32)], as: UTF8.self)
        // Ligatures fold to these pairs.
        if ["ss", "ff", "fi", "fl", "st"].contains(pair) {
          throw Unsupported(reason: "\(pair) without regard to case")
        }
      }
      last = isLetter ? scalar : nil
      nodes.append(try quantified(try atom()))
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func quantified(_ atom: Node) throws -> Node {
    var node = atom
    while let scalar = current {
      var least = 0
      var most = Int.max
      var isInterval = false
      switch scalar {
      case UInt32(ascii: "?"): most = 1
      case UInt32(ascii: "*"): break
      case UInt32(ascii: "+"): least = 1
      case UInt32(ascii: "{"):
        guard let bounds = try interval() else { return node }
        (least, most) = bounds
        isInterval = true
      default: return node
      }
      if !isInterval { place += 1 }
      var greed = RegularExpression.Greed.greedy
      if isNext("?") {
        if isInterval, least == most { throw Unsupported(reason: "a lazy {n}") }
        place += 1
        greed = .lazy
      } else if !isInterval, take("+") {
        // After an interval the sign repeats once more.
        greed = .possessive
      }
      node = .repetition(node, least: least, most: most, greed)
    }
    return node
  }

  /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; nil if the brace is a literal.
  private mutating func interval() throws -> (Int, Int)? {
    guard let close = scalars[place...].firstIndex(of: UInt32(ascii: "}")) else { return nil }
    let inside = scalars[(place + 1)..<close]
    let parts = inside.split(separator: UInt32(ascii: ","), omittingEmptySubsequences: false)
    func number(_ part: ArraySlice<UInt32>) -> Int? {
      guard part.allSatisfy({ $0 >= 48 && $0 <= 57 }), part.count <= 4 else { return nil }
      return part.reduce(0) { $0 * 10 + Int($1) - 48 }
    }
    guard parts.count <= 2, !inside.isEmpty, inside.count > parts.count - 1, let least = number(parts[0]),
      let most = parts.count == 1 ? least : parts[1].isEmpty ? Int.max : number(parts[1])
    else { throw Unsupported(reason: "a brace that is no repetition") }
    guard least <= most, least <= 1000 else { throw Unsupported(reason: "a repetition of such bounds") }
    place = close + 1
    return (least, most)
  }

  private mutating func atom() throws -> Node {
    let scalar = scalars[place]
    place += 1
    switch scalar {
    case UInt32(ascii: "("): return try group()
    case UInt32(ascii: "["): return .set(try bracket())
    case UInt32(ascii: "."): return .set(ScalarSet([.range(10, 10)], negated: true))
    case UInt32(ascii: "^"): return .assertion(.lineStart)
    case UInt32(ascii: "$"): return .assertion(.lineEnd)
    case UInt32(ascii: "\\"): return try escape()
    case UInt32(ascii: "?"), UInt32(ascii: "*"), UInt32(ascii: "+"):
      throw Unsupported(reason: "a repetition of nothing")
    default: return .set(try literal(scalar))
    }
  }

  private func literal(_ scalar: UInt32) throws -> ScalarSet {
    if !ignoresCase { return ScalarSet([.range(scalar, scalar)]) }
    return ScalarSet(try ScalarSet.folded([.range(scalar, scalar)]))
  }

  private mutating func group() throws -> Node {
    let outer = ignoresCase
    defer { ignoresCase = outer }
    var wrap: (Node) -> Node = { $0 }
    if take("?") {
      if take("=") {
        wrap = { .look($0, isNegative: false, isBehind: false) }
      } else if take("!") {
        wrap = { .look($0, isNegative: true, isBehind: false) }
      } else if take("<=") {
        wrap = { .look($0, isNegative: false, isBehind: true) }
      } else if take("<!") {
        wrap = { .look($0, isNegative: true, isBehind: true) }
      } else if take(">") {
        wrap = { .atomic($0) }
      } else if take("i:") {
        ignoresCase = true
      } else if take("-i:") {
        ignoresCase = false
      } else if !take(":") {
        throw Unsupported(reason: "a group of this kind")
      }
    }
    let node = try alternatives()
    guard take(")") else { throw Unsupported(reason: "a parenthesis is not closed") }
    return wrap(node)
  }

  private mutating func escape() throws -> Node {
    if take("A") { return .assertion(.textStart) }
    if take("z") { return .assertion(.textEnd) }
    if take("b") { return .assertion(.wordBoundary) }
    if take("B") { return .assertion(.noWordBoundary) }
    switch try escaped() {
    case .range(let low, let high) where low == high: return .set(try literal(low))
    case let part: return .set(ScalarSet([part]))
    }
  }

  /// What stands after a backslash, in a class or outside.
  private mutating func escaped() throws -> ScalarSet.Part {
    guard let scalar = current else { throw Unsupported(reason: "a backslash at the end") }
    place += 1
    func negated(_ part: ScalarSet.Part) -> ScalarSet.Part { .set(ScalarSet([part], negated: true)) }
    let decimal = ScalarSet.Part.categories(1 << UInt32(GeneralCategory.Nd.rawValue))
    guard scalar < 128 else { return .range(scalar, scalar) }
    switch Character(Unicode.Scalar(UInt8(scalar))) {
    case "s": return .space
    case "S": return negated(.space)
    case "d": return decimal
    case "D": return negated(decimal)
    case "w": return .word
    case "W": return negated(.word)
    case "h": return .set(ScalarSet([.range(48, 57), .range(65, 70), .range(97, 102)]))
    case "p": return try property()
    case "P": return negated(try property())
    case "n": return .range(10, 10)
    case "r": return .range(13, 13)
    case "t": return .range(9, 9)
    case "f": return .range(12, 12)
    case "v": return .range(11, 11)
    case "u": return try hexadecimal(digits: 4)
    case "x":
      if take("{") {
        guard let close = scalars[place...].firstIndex(of: UInt32(ascii: "}")) else {
          throw Unsupported(reason: "a brace is not closed")
        }
        let part = try hexadecimal(digits: close - place)
        place += 1
        return part
      }
      let part = try hexadecimal(digits: 2)
      if case .range(let value, _) = part, value > 127 { throw Unsupported(reason: "\\x of a byte") }
      return part
    case let character where character.isLetter || character.isNumber:
      throw Unsupported(reason: "\\\(character)")
    default: return .range(scalar, scalar)
    }
  }

  private mutating func hexadecimal(digits: Int) throws -> ScalarSet.Part {
    guard (1...8).contains(digits), place + digits <= scalars.count else {
      throw Unsupported(reason: "a hexadecimal number of this length")
    }
    var text = String.UnicodeScalarView()
    for scalar in scalars[place..<(place + digits)] { text.append(Unicode.Scalar(scalar) ?? " ") }
    guard let value = UInt32(String(text), radix: 16), Unicode.Scalar(value) != nil else {
      throw Unsupported(reason: "a hexadecimal number")
    }
    place += digits
    return .range(value, value)
  }

  private mutating func property() throws -> ScalarSet.Part {
    guard take("{"), let close = scalars[place...].firstIndex(of: UInt32(ascii: "}")) else {
      throw Unsupported(reason: "\\p without a brace")
    }
    let isNegated = take("^")
    var name = String.UnicodeScalarView()
    for scalar in scalars[place..<close] { name.append(Unicode.Scalar(scalar) ?? " ") }
    guard let part = ScalarSet.property(String(name)) else {
      throw Unsupported(reason: "the property \(String(name))")
    }
    place = close + 1
    return isNegated ? .set(ScalarSet([part], negated: true)) : part
  }

  /// A class, whose bracket has been read.
  private mutating func bracket() throws -> ScalarSet {
    depth += 1
    defer { depth -= 1 }
    if depth > 50 { throw Unsupported(reason: "it is nested too deeply") }
    let isNegated = take("^")
    if isNext("]") { throw Unsupported(reason: "an empty class") }
    var groups: [[ScalarSet.Part]] = [[]]
    while !take("]") {
      guard let scalar = current else { throw Unsupported(reason: "a bracket is not closed") }
      if take("&&") {
        groups.append([])
        continue
      }
      if isNext("[:") { throw Unsupported(reason: "classes like [:alpha:]") }
      place += 1
      var part: ScalarSet.Part
      switch scalar {
      case UInt32(ascii: "["): part = .set(try bracket())
      case UInt32(ascii: "\\"):
        if isNext("b") { throw Unsupported(reason: "\\b in a class") }
        part = try escaped()
      default: part = .range(scalar, scalar)
      }
      if case .range(let low, _) = part, isNext("-"), place + 1 < scalars.count,
        scalars[place + 1] != UInt32(ascii: "]")
      {
        place += 1
        guard let end = current, end != UInt32(ascii: "[") else {
          throw Unsupported(reason: "a range to a class")
        }
        place += 1
        let last = end == UInt32(ascii: "\\") ? try escaped() : .range(end, end)
        guard case .range(let high, _) = last, high >= low else {
          throw Unsupported(reason: "a range that descends")
        }
        part = .range(low, high)
      }
      groups[groups.count - 1].append(part)
    }
    if ignoresCase { groups = try groups.map(ScalarSet.folded) }
    if groups.count == 1 { return ScalarSet(groups[0], negated: isNegated) }
    return ScalarSet(groups[0], negated: isNegated, others: groups.dropFirst().map { ScalarSet($0) })
  }
}

extension UInt32 {
  /// The code of an ASCII character.
  init(ascii scalar: Unicode.Scalar) { self = scalar.value }
}
