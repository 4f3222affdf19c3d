import FileFormats
import Rigor

/// The parser of VNN-LIB 2.x (standard of 2025-12-15).
struct QueryParser2: QueryGrammar {
  var scanner: QueryScanner
  private var networks: [NetworkDeclaration] = []
  private var tensors: [TensorDeclaration] = []
  private var tensorIndex: [String: Int] = [:]
  private var nextVariable = 0
  private var types = ComparisonTypes()

  init(scanner: QueryScanner) { self.scanner = scanner }

  var knowsDivision: Bool { false }

  mutating func query() throws -> Query {
    let minor = try version()
    guard scanner.isNext("(declare-network") else {
      throw scanner.unexpected(expected: "'(declare-network'")
    }
    while scanner.take("(declare-network") { try network() }
    guard scanner.isNext("(assert") else { throw scanner.unexpected(expected: "'(assert'") }
    var assertions: [Formula] = []
    while scanner.take("(assert") {
      assertions.append(try formula())
      guard scanner.takeMark(")") else { throw scanner.unexpected(expected: "')' after the assertion") }
    }
    guard scanner.isAtEnd else { throw scanner.unexpected(expected: "'(assert' or the end of the file") }
    return Query(
      file: scanner.file, majorVersion: 2, minorVersion: minor, networks: networks,
      formula: .all(assertions))
  }

  private mutating func version() throws -> Int {
    guard scanner.take("(vnnlib-version"), scanner.isNext("<") else {
      throw scanner.unexpected(expected: "a version such as <2.0>")
    }
    let position = scanner.position
    _ = scanner.takeMark("<")
    // The version is one token: no white space inside.
    let text = String(
      decoding: scanner.takeRun { QueryScanner.isDigit($0) || $0 == UInt8(ascii: ".") }, as: UTF8.self)
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]), scanner.takeMark(">") else {
      throw scanner.error("expected a version such as <2.0>", at: position)
    }
    guard major == 2 else {
      throw scanner.error("version \(text) of VNN-LIB is not known, only 1.0 and 2.x are", at: position)
    }
    try scanner.expect(")")
    return minor
  }

  // MARK: Declarations

  private mutating func network() throws {
    _ = scanner.peek()
    let position = scanner.position
    let name = try scanner.name("the network's name")
    try refuseKeyword(name, at: position)
    guard !networks.contains(where: { $0.name == name }) else {
      throw scanner.error("the network \(name) is declared twice", at: position)
    }
    var declaration = NetworkDeclaration(
      name: name, equivalence: nil, inputs: [], hidden: [], outputs: [], position: position)
    try equivalence(of: &declaration)
    guard scanner.isNext("(declare-input") else {
      throw scanner.unexpected(expected: "'(declare-input'")
    }
    while scanner.take("(declare-input") { declaration.inputs.append(try tensor(.input)) }
    while scanner.take("(declare-hidden") { declaration.hidden.append(try tensor(.hidden)) }
    guard scanner.isNext("(declare-output") else {
      throw scanner.unexpected(expected: "'(declare-output'")
    }
    while scanner.take("(declare-output") { declaration.outputs.append(try tensor(.output)) }
    guard scanner.takeMark(")") else {
      throw scanner.unexpected(expected: "'(declare-output' or ')' at the end of the network")
    }
    let named = (declaration.inputs + declaration.outputs).filter { $0.onnxName != nil }.count
    guard named == 0 || declaration.isNamed else {
      throw scanner.error(
        "either all inputs and outputs of the network \(name) have an ONNX name or none has", at: position)
    }
    try checkEquivalence(of: declaration)
    networks.append(declaration)
  }

  private mutating func equivalence(of declaration: inout NetworkDeclaration) throws {
    while scanner.isNext("(isomorphic-to") || scanner.isNext("(equal-to") {
      let position = scanner.position
      guard declaration.equivalence == nil else {
        throw scanner.error("a network has at most one equivalence", at: position)
      }
      let isEqual = scanner.take("(equal-to")
      if !isEqual { _ = scanner.take("(isomorphic-to") }
      let other = try scanner.name("the name of an earlier network")
      try scanner.expect(")")
      guard other != declaration.name else {
        throw scanner.error("the network \(other) cannot be equivalent to itself", at: position)
      }
      guard let target = networks.first(where: { $0.name == other }) else {
        throw scanner.error("the network \(other) is not declared before this line", at: position)
      }
      guard target.equivalence == nil else {
        throw scanner.error(
          "equivalences cannot be chained: \(other) is itself equivalent to a network", at: position)
      }
      declaration.equivalence = isEqual ? .equalTo(other) : .isomorphicTo(other)
    }
  }

  /// Equivalent networks must have inputs and outputs of the same kinds, types and shapes.
  private func checkEquivalence(of declaration: NetworkDeclaration) throws {
    let other: String
    switch declaration.equivalence {
    case nil: return
    case .equalTo(let name), .isomorphicTo(let name): other = name
    }
    guard let target = networks.first(where: { $0.name == other }) else { return }
    for (mine, theirs, what) in [
      (declaration.inputs, target.inputs, "inputs"), (declaration.outputs, target.outputs, "outputs"),
    ] {
      guard mine.count == theirs.count else {
        throw scanner.error(
          "\(declaration.name) has \(mine.count) \(what) where \(other) has \(theirs.count)",
          at: declaration.position)
      }
      for (a, b) in zip(mine, theirs) {
        guard a.shape == b.shape else {
          throw scanner.error(
            "\(a.name) has the shape \(a.shape) where \(b.name) has \(b.shape)", at: a.position)
        }
        guard a.type == b.type else {
          throw scanner.error(
            "\(a.name) has the type \(a.type) where \(b.name) has \(b.type)", at: a.position)
        }
      }
    }
  }

  private mutating func tensor(_ kind: TensorDeclaration.Kind) throws -> TensorDeclaration {
    _ = scanner.peek()
    let position = scanner.position
    let name = try scanner.name("the name of the \(kind.rawValue)")
    try refuseKeyword(name, at: position)
    guard tensorIndex[name] == nil else {
      throw scanner.error("the name \(name) is already declared", at: position)
    }
    let typePosition = scanner.position
    let typeName = try scanner.name("an element type")
    try refuseKeyword(typeName, at: typePosition)
    let shape = try shape()
    var onnxName: String?
    if scanner.peek() == UInt8(ascii: "\"") {
      onnxName = try scanner.quoted()
    } else if kind == .hidden {
      throw scanner.unexpected(expected: "the ONNX name of the hidden value in double quotes")
    }
    guard scanner.takeMark(")") else {
      throw scanner.unexpected(expected: "')' at the end of the declaration of \(name)")
    }
    let tensor = TensorDeclaration(
      name: name, kind: kind, type: DeclaredType(name: typeName), shape: shape, onnxName: onnxName,
      firstVariable: nextVariable, position: position)
    // The tensor's own count is checked: this sum cannot overflow.
    let next = nextVariable + tensor.count
    guard next <= ReaderLimits.queryElements else {
      throw scanner.error(
        "the tensors have more than \(ReaderLimits.queryElements) elements together", at: position)
    }
    nextVariable = next
    tensorIndex[name] = tensors.count
    tensors.append(tensor)
    return tensor
  }

  private mutating func shape() throws -> [Int] {
    try scanner.expect("[")
    var sizes: [Int] = []
    if scanner.takeMark("]") { return sizes }
    var count = 1
    repeat {
      _ = scanner.peek()
      let position = scanner.position
      let size = try scanner.integer("a size")
      guard size > 0 else { throw scanner.error("a size must be positive", at: position) }
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow, product <= ReaderLimits.queryElements else {
        throw scanner.error("the tensor has more than \(ReaderLimits.queryElements) elements", at: position)
      }
      count = product
      sizes.append(size)
    } while scanner.takeMark(",")
    try scanner.expect("]")
    return sizes
  }

  private func refuseKeyword(_ name: String, at position: SourcePosition) throws {
    guard name != "and", name != "or" else { throw scanner.error("'\(name)' cannot be a name", at: position) }
  }

  // MARK: Formulas

  mutating func namedFormula(_ name: String, at position: SourcePosition, depth: Int) throws -> Formula {
    switch name {
    case "and": return .all(try formulas(depth: depth))
    case "or": return .any(try formulas(depth: depth))
    default: throw scanner.error("expected 'and', 'or' or a relation, found '\(name)'", at: position)
    }
  }

  mutating func relation() throws -> Relation {
    if scanner.take("<=") { return .lessOrEqual }
    if scanner.takeMark("<") { return .less }
    if scanner.take(">=") { return .greaterOrEqual }
    if scanner.takeMark(">") { return .greater }
    if scanner.take("==") { return .equal }
    if scanner.take("!=") { return .notEqual }
    throw scanner.unexpected(expected: "one of <, <=, >, >=, ==, !=, 'and', 'or'")
  }

  mutating func beginComparison() { types = ComparisonTypes() }

  mutating func endComparison() throws {
    if let (position, reason) = types.conflict { throw scanner.error(reason, at: position) }
  }

  mutating func operand() throws -> Polynomial {
    guard let c = scanner.peek() else { throw scanner.unexpected(expected: "a number or a variable") }
    if QueryScanner.isLetter(c) { return try variable() }
    let position = scanner.position
    let isNegative = c == UInt8(ascii: "-")
    guard QueryScanner.isDigit(c) || (isNegative && scanner.peekSecond().map(QueryScanner.isDigit) == true)
    else { throw scanner.unexpected(expected: "a number or a variable") }
    // '-'? digit+ ('.' digit+)?
    var hasPoint = false
    var last: UInt8 = 0
    let text = scanner.takeRun { c in
      defer { last = c }
      if QueryScanner.isDigit(c) { return true }
      if c == UInt8(ascii: "-") { return last == 0 }
      if c == UInt8(ascii: "."), !hasPoint {
        hasPoint = true
        return true
      }
      return false
    }
    guard text.last.map(QueryScanner.isDigit) == true, let value = QueryScanner.exactValue(text) else {
      throw scanner.error("a decimal point needs digits on both sides", at: position)
    }
    types.add(literal: hasPoint ? .decimal : isNegative ? .negativeInteger : .integer, at: position)
    return Polynomial(constant: value)
  }

  private mutating func variable() throws -> Polynomial {
    let position = scanner.position
    let name = try scanner.name("a variable")
    guard let index = tensorIndex[name] else {
      throw scanner.error("the variable \(name) is not declared", at: position)
    }
    let tensor = tensors[index]
    var indices: [Int] = []
    var flat = 0
    if scanner.takeMark("[") {
      guard !tensor.shape.isEmpty else {
        throw scanner.error("\(name) is a scalar and takes no index", at: position)
      }
      repeat {
        _ = scanner.peek()
        let indexPosition = scanner.position
        let index = try scanner.integer("an index")
        if indices.count < tensor.shape.count {
          let size = tensor.shape[indices.count]
          guard index < size else {
            throw scanner.error(
              "index \(index) is out of range: dimension \(indices.count) of \(name) has the size \(size)",
              at: indexPosition)
          }
          flat = flat * size + index
        }
        indices.append(index)
      } while scanner.takeMark(",")
      try scanner.expect("]")
    }
    guard indices.count == tensor.shape.count else {
      throw scanner.error(
        "\(name) has \(tensor.shape.count) dimensions, but \(indices.count) indices are given", at: position)
    }
    types.add(variable: name, of: tensor.type, at: position)
    return Polynomial(variable: tensor.firstVariable + flat)
  }
}

/// The types of the variables and numbers in one comparison.
///
/// All variables must have the type of the first one. Numbers must fit it; an integer literal may stand for a
/// number of a floating-point type (the official parser wants `2.0` there).
private struct ComparisonTypes {
  enum Literal { case integer, negativeInteger, decimal }

  private var type: DeclaredType?
  private var name = ""
  private var literals: [(Literal, SourcePosition)] = []
  private(set) var conflict: (SourcePosition, String)?

  mutating func add(variable: String, of added: DeclaredType, at position: SourcePosition) {
    guard conflict == nil else { return }
    guard let type else {
      self.type = added
      name = variable
      for (literal, position) in literals { check(literal, at: position) }
      return
    }
    if case .unknown = type { return }
    if type != added {
      conflict = (position, "\(variable) has the type \(added) where \(name) has \(type)")
    }
  }

  mutating func add(literal: Literal, at position: SourcePosition) {
    if type == nil { literals.append((literal, position)) } else { check(literal, at: position) }
  }

  private mutating func check(_ literal: Literal, at position: SourcePosition) {
    guard conflict == nil, let type else { return }
    switch (type, literal) {
    case (.real, _), (.float, _), (.unknown, _), (.integer, .integer), (.integer(_, true), .negativeInteger):
      return
    case (.integer, .decimal):
      conflict = (position, "a decimal number cannot be compared with \(name) of type \(type)")
    case (.integer, .negativeInteger):
      conflict = (position, "a negative number cannot be compared with \(name) of type \(type)")
    case (.bool, _), (.complex, _):
      conflict = (position, "a number cannot be compared with \(name) of type \(type)")
    }
  }
}
