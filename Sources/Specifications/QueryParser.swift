import FileFormats
import Rigor

extension Query {
  /// The largest query file that is read: 1 GiB after inflation.
  public static let fileLimit = 1 << 30

  /// Reads a VNN-LIB 1.0 or 2.x query, plain or gzip-compressed.
  ///
  /// A file that starts with `(vnnlib-version` is read by the VNN-LIB 2.0 standard, any other one as version
  /// 1.0. Accepts and refuses what the official parser (`vnnlib` 1.0.2) does, but: integer literals may stand
  /// for numbers of a floating-point type, `real` may be spelled `Real`, inputs and outputs may carry ONNX
  /// names, and negative or fractional sizes and indices are refused.
  ///
  /// - Parameter path: The file; its name plays no part.
  /// - Throws: `FileError` with line and column for syntax, scope, index and type errors.
  public init(contentsOf path: String) throws {
    let bytes = try Gzip.contents(ofFile: path, limit: Query.fileLimit)
    self = try Query(bytes: bytes, file: path)
  }

  /// Reads a query from text.
  public init(text: String, file: String = "query") throws {
    self = try Query(bytes: Array(text.utf8), file: file)
  }

  /// Reads a query from the bytes of a file.
  public init(bytes: [UInt8], file: String) throws {
    self = try bytes.withUnsafeBufferPointer { buffer in
      var scanner = QueryScanner(file: file, bytes: buffer)
      if scanner.isNext("(vnnlib-version") {
        var parser = QueryParser2(scanner: scanner)
        return try parser.query()
      }
      var parser = QueryParser1(scanner: scanner)
      return try parser.query()
    }
  }
}

/// What the parsers of both versions share.
protocol QueryGrammar {
  var scanner: QueryScanner { get set }
  /// Reads a number or a variable.
  mutating func operand() throws -> Polynomial
  /// Reads a form that starts with a letter inside its parenthesis, which has been read.
  mutating func namedFormula(_ name: String, at position: SourcePosition, depth: Int) throws -> Formula
  /// Called before and after each comparison.
  mutating func beginComparison()
  mutating func endComparison() throws
  /// Whether a quotient `(/ a b)` is part of the language.
  var knowsDivision: Bool { get }
  /// The names of the relations.
  mutating func relation() throws -> Relation
}

/// Deeper nesting than this is refused: no real query comes near it, and the parser is recursive.
let deepestNesting = 1000

/// More terms than this in one expression are refused: a product of long sums grows exponentially.
private let mostTerms = 200_000

extension QueryGrammar {
  /// Reads a boolean formula.
  mutating func formula(depth: Int = 0) throws -> Formula {
    guard depth < deepestNesting else {
      throw scanner.error("the formula is nested more than \(deepestNesting) levels deep")
    }
    try scanner.expect("(")
    guard let c = scanner.peek() else { throw scanner.unexpected(expected: "a relation") }
    if QueryScanner.isLetter(c) {
      let position = scanner.position
      let name = try scanner.name("'and', 'or' or a relation")
      return try namedFormula(name, at: position, depth: depth)
    }
    let position = scanner.position
    let relation = try relation()
    beginComparison()
    let left = try arithmetic(depth: depth + 1)
    let right = try arithmetic(depth: depth + 1)
    guard scanner.takeMark(")") else {
      throw scanner.unexpected(expected: "')' after the two sides of a comparison")
    }
    try endComparison()
    return .comparison(Comparison(expression: left - right, relation: relation, position: position))
  }

  /// Reads formulas up to the closing parenthesis; at least one.
  mutating func formulas(depth: Int) throws -> [Formula] {
    var parts: [Formula] = []
    repeat { parts.append(try formula(depth: depth + 1)) } while !scanner.takeMark(")")
    return parts
  }

  /// Reads an arithmetic expression.
  mutating func arithmetic(depth: Int) throws -> Polynomial {
    guard scanner.peek() == UInt8(ascii: "(") else { return try operand() }
    guard depth < deepestNesting else {
      throw scanner.error("the expression is nested more than \(deepestNesting) levels deep")
    }
    let opening = scanner.position
    try scanner.expect("(")
    let mark = scanner.peek()
    // A minus sign right before a digit belongs to a number.
    let isNumber = scanner.peekSecond().map { QueryScanner.isDigit($0) } ?? false
    if mark == UInt8(ascii: "-"), !isNumber {
      try scanner.expect("-")
      let head = try arithmetic(depth: depth + 1)
      if scanner.takeMark(")") { return -head }
      var sum = head
      repeat { sum -= try arithmetic(depth: depth + 1) } while !scanner.takeMark(")")
      return sum
    }
    if scanner.takeMark("+") {
      var sum = try arithmetic(depth: depth + 1)
      while !scanner.takeMark(")") { sum += try arithmetic(depth: depth + 1) }
      return sum
    }
    if scanner.takeMark("*") {
      var product = try arithmetic(depth: depth + 1)
      while !scanner.takeMark(")") {
        let factor = try arithmetic(depth: depth + 1)
        guard product.isConstant || factor.isConstant || product.termCount * factor.termCount < mostTerms
        else { throw scanner.error("the product has too many terms", at: opening) }
        product = product * factor
      }
      return product
    }
    if knowsDivision, scanner.takeMark("/") {
      var quotient = try arithmetic(depth: depth + 1)
      repeat {
        let position = scanner.position
        let divisor = try arithmetic(depth: depth + 1)
        guard divisor.isConstant, !divisor.constant.isZero else {
          throw scanner.error("the divisor must be a number other than 0", at: position)
        }
        quotient = quotient.scaled(by: divisor.constant.reciprocal)
      } while !scanner.takeMark(")")
      return quotient
    }
    throw scanner.unexpected(expected: "'+', '-' or '*'")
  }
}
