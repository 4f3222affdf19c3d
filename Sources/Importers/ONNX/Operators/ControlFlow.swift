import IR
import OnnxFormat
import Tensors

// Operators with subgraphs: decided and unrolled at import.
extension OnnxOperators {
  static let controlFlow: [String: LowerWithScope] = [
    "If": { node, session, scope in
      let condition = try session.lowering.scalar(try node.input(0), "the condition")
      // Both branches must be there, even if only one counts.
      let (yes, no) = (try node.graph("then_branch"), try node.graph("else_branch"))
      return try session.subgraph(condition != 0 ? yes : no, [], around: scope, node)
    },
    "Loop": { node, session, scope in try loop(node, session, scope) },
    "Scan": { node, session, scope in try scan(node, session, scope) },
    "SequenceMap": { node, session, scope in
      let body = try node.graph("body")
      let lists = try node.allInputs().map { input -> [Value] in
        if case .sequence(let values) = input.content { return values }
        return []
      }
      let count = lists[0].count
      var results = [[Value]](repeating: [], count: body.output.count)
      for i in 0..<count {
        let arguments = try node.allInputs().enumerated().map { index, input in
          if case .sequence = input.content { return lists[index][i] }
          return input
        }
        for (index, value) in try session.subgraph(body, arguments, around: scope, node).enumerated() {
          results[index].append(value)
        }
      }
      return results.map { Value(sequence: $0, type: $0.first?.type ?? .float32) }
    },
    "FlexAttention": { node, session, scope in try flexAttention(node, session, scope) },
  ]

  /// Iterations before a loop counts as endless.
  private static let iterationLimit = 1 << 13

  private static func loop(_ node: OnnxNode, _ session: OnnxSession, _ scope: OnnxScope) throws -> [Value] {
    let l = session.lowering
    let body = try node.graph("body")
    let trips = try node.optional(0).map { try l.int($0, "the trip count") } ?? Int.max
    var goesOn = try node.optional(1).map { try l.scalar($0, "the condition") != 0 } ?? true
    var carried = try (2..<max(2, node.inputs.count)).map { try node.input($0) }
    let scanned = body.output.count - 1 - carried.count
    guard body.input.count == carried.count + 2, scanned >= 0 else {
      throw node.malformed("the body does not fit \(carried.count) carried values", attribute: "body")
    }
    var collected = [[Value]](repeating: [], count: scanned)
    var iteration = 0
    while goesOn && iteration < trips {
      guard iteration < iterationLimit else {
        throw node.unsupported("it runs for more than \(iterationLimit) iterations")
      }
      let arguments = [Value(scalar: Double(iteration), .int64), Value(scalar: 1, .bool)] + carried
      let results = try session.subgraph(body, arguments, around: scope, node)
      goesOn = try l.scalar(results[0], "the condition") != 0
      carried = Array(results[1..<(1 + carried.count)])
      for (index, value) in results[(1 + carried.count)...].enumerated() { collected[index].append(value) }
      iteration += 1
    }
    let stacks = try collected.enumerated().map { index, values -> Value in
      if values.isEmpty { return try emptyStack(body.output[1 + carried.count + index], l) }
      return try l.stack(values, axis: 0)
    }
    return carried + stacks
  }

  /// The result of stacking no values: as far as the file gives the shape of one.
  private static func emptyStack(_ info: Onnx_ValueInfoProto, _ l: Lowering) throws -> Value {
    let tensor = info.type.tensorType
    let type = OnnxElementTypes.type(Int(tensor.elemType)) ?? .float32
    return try l.filled(0, Shape([0] + tensor.shape.dim.map { max(0, Int($0.dimValue)) }), type)
  }

  private static func scan(_ node: OnnxNode, _ session: OnnxSession, _ scope: OnnxScope) throws -> [Value] {
    let l = session.lowering
    let body = try node.graph("body")
    let count = try node.require("num_scan_inputs", try node.int("num_scan_inputs"))
    // Opset 8 had a batch axis and an optional input for sequence lengths in front.
    guard node.version >= 9 else { throw node.unsupported("Scan of opset 8 is not supported") }
    let inputs = try node.allInputs()
    guard count > 0, count <= inputs.count else {
      throw node.malformed("\(count) scan inputs of \(inputs.count)", attribute: "num_scan_inputs")
    }
    var states = Array(inputs[..<(inputs.count - count)])
    let scans = Array(inputs[(inputs.count - count)...])
    let outputs = body.output.count - states.count
    guard outputs >= 0 else { throw node.malformed("the body has too few outputs", attribute: "body") }
    func flags(_ name: String, _ count: Int) throws -> [Int] {
      let values = try node.ints(name) ?? [Int](repeating: 0, count: count)
      guard values.count == count else {
        throw node.malformed("does not fit \(count) values", attribute: name)
      }
      return values
    }
    let axes = try zip(try flags("scan_input_axes", count), scans).map {
      try l.axis($0, $1.rank, node, attribute: "scan_input_axes")
    }
    let directions = try flags("scan_input_directions", count)
    let outputAxes = try flags("scan_output_axes", outputs)
    let outputDirections = try flags("scan_output_directions", outputs)
    let steps = scans[0].shape[axes[0]]
    guard zip(scans, axes).allSatisfy({ $0.shape[$1] == steps }), steps <= iterationLimit else {
      throw node.malformed("the scanned inputs differ in length")
    }
    var collected = [[Value]](repeating: [], count: outputs)
    for step in 0..<steps {
      let parts = try (0..<count).map { i in
        try l.select(scans[i], axis: axes[i], directions[i] == 0 ? step : steps - 1 - step)
      }
      let results = try session.subgraph(body, states + parts, around: scope, node)
      states = Array(results[..<states.count])
      for (index, value) in results[states.count...].enumerated() { collected[index].append(value) }
    }
    let stacks = try collected.enumerated().map { index, values -> Value in
      guard let first = values.first else { return try emptyStack(body.output[states.count + index], l) }
      let axis = try l.axis(outputAxes[index], first.rank + 1, node, attribute: "scan_output_axes")
      return try l.stack(outputDirections[index] == 0 ? values : values.reversed(), axis: axis)
    }
    return states + stacks
  }

  // MARK: Sequences and optionals, which exist at import only

  static let sequences: [String: Lower] = [
    "SequenceConstruct": { node, l in
      let values = try node.allInputs()
      return [Value(sequence: values, type: values[0].type)]
    },
    "SequenceEmpty": { node, l in
      let type = try elementType(try node.int("dtype", default: 1), node, "dtype")
      return [Value(sequence: [], type: type)]
    },
    "SequenceInsert": { node, l in
      var values = try sequence(node)
      let place = try node.optional(2).map { try l.int($0, "the position") } ?? values.count
      let resolved = place < 0 ? place + values.count : place
      guard resolved >= 0, resolved <= values.count else {
        throw node.malformed("position \(place) is outside the sequence")
      }
      let value = try node.input(1)
      values.insert(value, at: resolved)
      return [Value(sequence: values, type: value.type)]
    },
    "SequenceErase": { node, l in
      var values = try sequence(node)
      let place = try node.optional(1).map { try l.int($0, "the position") } ?? values.count - 1
      values.remove(at: try position(place, values, node))
      return [Value(sequence: values, type: try node.input(0).type)]
    },
    "SequenceAt": { node, l in
      let values = try sequence(node)
      return [values[try position(try l.int(try node.input(1), "the position"), values, node)]]
    },
    "SequenceLength": { node, l in [Value(scalar: Double(try sequence(node).count), .int64)] },
    "ConcatFromSequence": { node, l in
      let values = try sequence(node)
      guard let first = values.first else { throw node.malformed("the sequence is empty") }
      let stacks = try node.bool("new_axis", default: false)
      let axis = try l.axis(
        try node.require("axis", try node.int("axis")), first.rank + (stacks ? 1 : 0), node)
      return [stacks ? try l.stack(values, axis: axis) : try l.concat(values, axis: axis)]
    },
    "SplitToSequence": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try node.int("axis", default: 0), x.rank, node)
      let keeps = try node.bool("keepdims", default: true)
      let extent = x.shape[axis]
      guard let given = node.optional(1) else {
        let parts = try (0..<extent).map { i in
          keeps ? try l.slice(x, axis: axis, i..<(i + 1)) : try l.select(x, axis: axis, i)
        }
        return [Value(sequence: parts, type: x.type)]
      }
      var sizes = try l.ints(given, "the sizes of the parts")
      if given.rank == 0 {
        guard sizes[0] > 0 else { throw node.malformed("\(sizes[0]) is no size") }
        sizes = stride(from: 0, to: extent, by: sizes[0]).map { min(sizes[0], extent - $0) }
      }
      guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, &+) == extent else {
        throw node.malformed("parts of \(sizes) do not make an axis of extent \(extent)")
      }
      var start = 0
      let parts = try sizes.map { size in
        defer { start += size }
        return try l.slice(x, axis: axis, start..<(start + size))
      }
      return [Value(sequence: parts, type: x.type)]
    },
    "Optional": { node, l in
      node.ignore("type")
      return [node.optional(0) ?? .nothing]
    },
    "OptionalGetElement": { node, l in
      let value = try node.input(0)
      if case .nothing = value.content { throw node.malformed("the optional is empty") }
      return [value]
    },
    "OptionalHasElement": { node, l in
      var has = node.optional(0) != nil
      if case .nothing? = node.optional(0)?.content { has = false }
      return [Value(scalar: has ? 1 : 0, .bool)]
    },
  ]

  private static func sequence(_ node: OnnxNode) throws -> [Value] {
    guard case .sequence(let values) = try node.input(0).content else {
      throw node.malformed("needs a sequence")
    }
    return values
  }

  private static func position(_ place: Int, _ values: [Value], _ node: OnnxNode) throws -> Int {
    let resolved = place < 0 ? place + values.count : place
    guard values.indices.contains(resolved) else {
      throw node.malformed("position \(place) is outside the sequence")
    }
    return resolved
  }
}
