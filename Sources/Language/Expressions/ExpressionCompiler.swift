/// Turns a parsed expression into instructions.
struct ExpressionCompiler {
  private(set) var program: [RegularExpression.Instruction] = []

  /// Instructions that an expression may have; repetitions with bounds are written out.
  private static let limit = 10_000

  mutating func append(_ node: ExpressionParser.Node) throws {
    if program.count > Self.limit { throw ExpressionParser.Unsupported(reason: "it is too long") }
    switch node {
    case .set(let set): program.append(.scalar(set))
    case .sequence(let nodes): for node in nodes { try append(node) }
    case .choice(let nodes): try appendChoice(nodes[...])
    case .assertion(let assertion): program.append(.assertion(assertion))
    case .atomic(let node):
      try appendBlock(node) { .atomic(end: $0) }
    case .look(let node, let isNegative, let isBehind):
      if isBehind, Self.width(node) != 1 {
        throw ExpressionParser.Unsupported(reason: "look-behind of other than one character")
      }
      try appendBlock(node) { .look(isNegative: isNegative, isBehind: isBehind, end: $0) }
    case .repetition(.set(let set), let least, let most, let greed):
      program.append(.run(set, least: least, most: most, greed))
    case .repetition(let node, let least, let most, let greed):
      if Self.canBeEmpty(node) {
        throw ExpressionParser.Unsupported(reason: "a repetition of what can be empty")
      }
      if greed == .possessive {
        try appendBlock(.repetition(node, least: least, most: most, .greedy)) { .atomic(end: $0) }
        return
      }
      for _ in 0..<least { try append(node) }
      if most == Int.max {
        let start = program.count
        program.append(.done)
        try append(node)
        program.append(.jump(start))
        setBranch(start, greed)
      } else {
        var starts: [Int] = []
        for _ in least..<most {
          starts.append(program.count)
          program.append(.done)
          try append(node)
        }
        for start in starts { setBranch(start, greed) }
      }
    }
  }

  /// Puts a branch at `start` between what follows it and the end of the program so far.
  private mutating func setBranch(_ start: Int, _ greed: RegularExpression.Greed) {
    let end = program.count
    program[start] = greed == .lazy ? .branch(end, start + 1) : .branch(start + 1, end)
  }

  private mutating func appendChoice(_ nodes: ArraySlice<ExpressionParser.Node>) throws {
    var jumps: [Int] = []
    for (place, node) in nodes.enumerated() {
      if place == nodes.count - 1 {
        try append(node)
        break
      }
      let start = program.count
      program.append(.done)
      try append(node)
      jumps.append(program.count)
      program.append(.jump(0))
      setBranch(start, .greedy)
    }
    for jump in jumps { program[jump] = .jump(program.count) }
  }

  /// Instructions that run on their own, after the one that runs them.
  private mutating func appendBlock(
    _ node: ExpressionParser.Node, _ head: (Int) -> RegularExpression.Instruction
  ) throws {
    let start = program.count
    program.append(.done)
    try append(node)
    program.append(.done)
    program[start] = head(program.count)
  }

  private static func canBeEmpty(_ node: ExpressionParser.Node) -> Bool {
    switch node {
    case .set: return false
    case .sequence(let nodes): return nodes.allSatisfy(canBeEmpty)
    case .choice(let nodes): return nodes.contains(where: canBeEmpty)
    case .repetition(let node, let least, _, _): return least == 0 || canBeEmpty(node)
    case .look, .assertion: return true
    case .atomic(let node): return canBeEmpty(node)
    }
  }

  /// The number of scalars that every match has, nil if it varies.
  private static func width(_ node: ExpressionParser.Node) -> Int? {
    switch node {
    case .set: return 1
    case .sequence(let nodes):
      var sum = 0
      for node in nodes {
        guard let own = width(node) else { return nil }
        sum += own
      }
      return sum
    case .choice(let nodes):
      let widths = Set(nodes.map(width))
      return widths.count == 1 ? widths.first ?? nil : nil
    case .repetition(let node, let least, let most, _):
      return least == most ? width(node).map { $0 * least } : nil
    case .look, .assertion: return 0
    case .atomic(let node): return width(node)
    }
  }
}
