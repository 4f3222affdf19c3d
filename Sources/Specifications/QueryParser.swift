import FileFormats
import Rigor

extension Query {
  /// The largest query file that is read, after inflation.
  public static let fileLimit = ReaderLimits.queryBytes

  /// Reads a VNN-LIB 1.0 or 2.x query, plain or gzip-compressed.
  ///
  /// A file that starts with `(vnnlib-version` is read by the VNN-LIB 2.0 standard, any other one as version
  /// 1.0. Accepts and refuses what the official parser (`vnnlib` 1.0.2) does, but: integer literals may stand
  /// for numbers of a floating-point type, `real` may be spelled `Real`, inputs and outputs may carry ONNX
  /// names, and negative or fractional sizes and indices are refused.
  ///
  /// - Parameters:
  ///   - path: The file; its name plays no part.
  ///   - deadline: When reading has to end: expressions can be made to take any time.
  /// - Throws: `FileError` with line and column for syntax, scope, index and type errors; ``QueryTimeout`` at the deadline.
  public init(contentsOf path: String, deadline: ContinuousClock.Instant? = nil) throws {
    let bytes = try Gzip.contents(ofFile: path, limit: Query.fileLimit)
    self = try Query(bytes: bytes, file: path, deadline: deadline)
  }

  /// Reads a query from text.
  public init(text: String, file: String = "query") throws {
    self = try Query(bytes: Array(text.utf8), file: file)
  }

  /// Reads a query from the bytes of a file.
  public init(bytes: [UInt8], file: String, deadline: ContinuousClock.Instant? = nil) throws {
    self = try bytes.withUnsafeBufferPointer { buffer in
      var scanner = QueryScanner(file: file, bytes: buffer, deadline: deadline)
      if scanner.isNext("(vnnlib-version") {
        var parser = QueryParser2(scanner: scanner)
        return try parser.query()
      }
      var parser = QueryParser1(scanner: scanner)
      return try parser.query()
    }
  }
}

/// Reading a query did not end in time.
public struct QueryTimeout: Error, Sendable, CustomStringConvertible {
  public var file: String

  public var description: String { "\(file): the time limit ended while the query was read" }
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
let deepestNesting = ReaderLimits.queryDepth

extension QueryGrammar {
  /// Reads a boolean formula.
  mutating func formula(depth: Int = 0) throws -> Formula {
    guard depth < deepestNesting else {
      throw scanner.error("the formula is nested more than \(deepestNesting) levels deep")
    }
    try scanner.checkTime()
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
    try scanner.checkTime()
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
      return try sum(head, negated: true, depth: depth, at: opening)
    }
    if scanner.takeMark("+") {
      let head = try arithmetic(depth: depth + 1)
      if scanner.takeMark(")") { return head }
      return try sum(head, negated: false, depth: depth, at: opening)
    }
    if scanner.takeMark("*") {
      var product = try arithmetic(depth: depth + 1)
      while !scanner.takeMark(")") {
        let factor = try arithmetic(depth: depth + 1)
        guard product.isConstant || factor.isConstant || Self.isReasonable(product, factor)
        else { throw scanner.error("the product has too many terms", at: opening) }
        product = product * factor
        try checkSize(product, at: opening)
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
        try checkSize(quotient, at: opening)
      } while !scanner.takeMark(")")
      return quotient
    }
    throw scanner.unexpected(expected: "'+', '-' or '*'")
  }

  /// Reads further terms of a sum up to the closing parenthesis; at least one.
  private mutating func sum(_ head: Polynomial, negated: Bool, depth: Int, at opening: SourcePosition) throws
    -> Polynomial
  {
    var sum = head
    var count = 0
    repeat {
      let term = try arithmetic(depth: depth + 1)
      if negated { sum -= term } else { sum += term }
      count += 1
      // Looking at all numbers each time would be quadratic.
      if count >= 32, count & (count - 1) == 0 { try checkSize(sum, at: opening) }
    } while !scanner.takeMark(")")
    try checkSize(sum, at: opening)
    return sum
  }

  /// Whether a product of sums stays small: its terms, and the variables in them.
  private static func isReasonable(_ a: Polynomial, _ b: Polynomial) -> Bool {
    let (terms, overflow) = a.termCount.multipliedReportingOverflow(by: b.termCount)
    let degree = a.degree + b.degree
    return !overflow && terms < ReaderLimits.queryTerms && degree <= ReaderLimits.queryDegree
  }

  /// Throws if an expression has grown beyond what a query can mean.
  private func checkSize(_ expression: Polynomial, at opening: SourcePosition) throws {
    guard expression.bitCount <= ReaderLimits.queryNumberBits else {
      throw scanner.error(
        "the expression needs numbers of more than \(ReaderLimits.queryNumberBits) bits", at: opening)
    }
  }
}
