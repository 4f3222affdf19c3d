import FileFormats
import Rigor

/// The parser of VNN-LIB 1.0: the SMT-LIB subset of the competition's first years.
///
/// Inputs are `X_0, X_1, ...` and outputs `Y_0, Y_1, ...`, flattened in row-major order. Decimals may carry an
/// exponent, as the competition's files do.
struct QueryParser1: QueryGrammar {
  var scanner: QueryScanner
  /// Declared numbers of inputs and outputs.
  private var inputs: Set<Int> = []
  private var outputs: Set<Int> = []
  /// Outputs count from here until the number of inputs is known: it is once the first assertion starts.
  private var inputCount: Int?
  private var firstDeclaration: SourcePosition?

  init(scanner: QueryScanner) { self.scanner = scanner }

  var knowsDivision: Bool { true }

  mutating func query() throws -> Query {
    var assertions: [Formula] = []
    while !scanner.isAtEnd {
      let position = scanner.position
      try scanner.expect("(")
      let keyword = String(
        decoding: scanner.takeRun { QueryScanner.isNamePart($0) || $0 == UInt8(ascii: "-") }, as: UTF8.self)
      switch keyword {
      case "declare-const", "declare-fun":
        guard inputCount == nil else {
          throw scanner.error("a declaration after the first assertion", at: position)
        }
        try declaration(isFunction: keyword == "declare-fun", at: position)
      case "assert":
        if inputCount == nil { try closeDeclarations(at: position) }
        assertions.append(try formula())
        guard scanner.takeMark(")") else { throw scanner.unexpected(expected: "')' after the assertion") }
      case "set-logic", "set-info", "set-option", "check-sat", "get-model", "exit":
        while let c = scanner.peek(), c != UInt8(ascii: ")"), c != UInt8(ascii: "(") {
          if c == UInt8(ascii: "\"") {
            _ = try scanner.quoted()
          } else {
            _ = scanner.takeRun { !QueryScanner.isSpace($0) && $0 != UInt8(ascii: ")") }
          }
        }
        try scanner.expect(")")
      default:
        throw scanner.error(
          keyword.isEmpty
            ? "expected 'declare-const' or 'assert' after '('" : "unknown command '\(keyword)'", at: position)
      }
    }
    guard let inputCount, !assertions.isEmpty else { throw scanner.error("the file has no assertion") }
    let start = firstDeclaration ?? SourcePosition(line: 1, column: 1)
    let x = TensorDeclaration(
      name: "X", kind: .input, type: .real, shape: [inputCount], firstVariable: 0, position: start)
    let y = TensorDeclaration(
      name: "Y", kind: .output, type: .real, shape: [outputs.count], firstVariable: inputCount,
      position: start)
    let network = NetworkDeclaration(
      name: "", equivalence: nil, inputs: [x], hidden: [], outputs: [y], position: start)
    return Query(
      file: scanner.file, majorVersion: 1, minorVersion: 0, networks: [network], formula: .all(assertions))
  }

  private mutating func declaration(isFunction: Bool, at position: SourcePosition) throws {
    if firstDeclaration == nil { firstDeclaration = position }
    guard let (isInput, number, namePosition) = try variableName() else {
      throw scanner.unexpected(expected: "a variable named X_i or Y_i")
    }
    if isFunction {
      try scanner.expect("(")
      try scanner.expect(")")
    }
    _ = scanner.peek()
    let typePosition = scanner.position
    guard try scanner.name("the type Real") == "Real" else {
      throw scanner.error("only the type Real is known in VNN-LIB 1.0", at: typePosition)
    }
    try scanner.expect(")")
    let isNew = isInput ? inputs.insert(number).inserted : outputs.insert(number).inserted
    guard isNew else {
      throw scanner.error("\(isInput ? "X" : "Y")_\(number) is declared twice", at: namePosition)
    }
  }

  private mutating func closeDeclarations(at position: SourcePosition) throws {
    for (name, numbers) in [("X", inputs), ("Y", outputs)] {
      guard let last = numbers.max() else {
        throw scanner.error("no variable \(name)_0 is declared before the first assertion", at: position)
      }
      guard last == numbers.count - 1 else {
        let missing = (0...last).first { !numbers.contains($0) } ?? 0
        throw scanner.error("\(name)_\(missing) is not declared, but \(name)_\(last) is", at: position)
      }
    }
    inputCount = inputs.count
  }

  /// Reads `X_12` or `Y_3`, nil when something else comes next.
  private mutating func variableName() throws -> (isInput: Bool, number: Int, position: SourcePosition)? {
    guard let c = scanner.peek(), c == UInt8(ascii: "X") || c == UInt8(ascii: "Y") else { return nil }
    let position = scanner.position
    let name = scanner.takeRun(where: QueryScanner.isNamePart)
    var number = 0
    let digits = name.dropFirst(2)
    guard name.count > 2, name[1] == UInt8(ascii: "_"), digits.allSatisfy(QueryScanner.isDigit),
      digits.count <= 9
    else {
      throw scanner.error(
        "expected a variable named X_i or Y_i, found '\(String(decoding: name, as: UTF8.self))'", at: position
      )
    }
    for digit in digits { number = number * 10 + Int(digit) - 48 }
    return (c == UInt8(ascii: "X"), number, position)
  }

  // MARK: Formulas

  mutating func namedFormula(_ name: String, at position: SourcePosition, depth: Int) throws -> Formula {
    switch name {
    case "and": return .all(try formulas(depth: depth))
    case "or": return .any(try formulas(depth: depth))
    case "not":
      let parts = try formulas(depth: depth)
      guard parts.count == 1 else { throw scanner.error("'not' takes one formula", at: position) }
      return parts[0].negated
    default: throw scanner.error("expected 'and', 'or' or a relation, found '\(name)'", at: position)
    }
  }

  mutating func relation() throws -> Relation {
    if scanner.take("<=") { return .lessOrEqual }
    if scanner.takeMark("<") { return .less }
    if scanner.take(">=") { return .greaterOrEqual }
    if scanner.takeMark(">") { return .greater }
    if scanner.take("==") { return .equal }
    // '=' but not '=>'.
    if scanner.peek() == UInt8(ascii: "="), scanner.peekSecond() != UInt8(ascii: ">") {
      _ = scanner.takeMark("=")
      return .equal
    }
    throw scanner.unexpected(expected: "one of <, <=, >, >=, =, 'and', 'or', 'not'")
  }

  mutating func beginComparison() {}
  mutating func endComparison() {}

  mutating func operand() throws -> Polynomial {
    if let (isInput, number, position) = try variableName() {
      guard isInput ? inputs.contains(number) : outputs.contains(number) else {
        throw scanner.error(
          "the variable \(isInput ? "X" : "Y")_\(number) is not declared", at: position)
      }
      return Polynomial(variable: isInput ? number : (inputCount ?? 0) + number)
    }
    let position = scanner.position
    let text = scanner.takeRun {
      QueryScanner.isNamePart($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
        || $0 == UInt8(ascii: "+")
    }
    guard let first = text.first else { throw scanner.unexpected(expected: "a number or a variable") }
    guard !QueryScanner.isLetter(first), let value = QueryScanner.exactValue(text) else {
      throw scanner.error(
        "'\(String(decoding: text, as: UTF8.self))' is neither a number nor a declared variable", at: position
      )
    }
    return Polynomial(constant: value)
  }
}
