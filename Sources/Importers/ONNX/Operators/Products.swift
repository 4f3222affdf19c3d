import Foundation
import IR
import Operators
import Tensors

// Matrix products, sums of products, running sums.
extension OnnxOperators {
  static let products: [String: Lower] = [
    "MatMul": { node, l in [try l.matmul(try node.input(0), try node.input(1))] },
    "Gemm": { node, l in [try gemm(node, l)] },
    "Einsum": { node, l in
      let equation = try node.require("equation", try node.string("equation"))
      return [try einsum(equation, try node.allInputs(), node, l)]
    },
    "CumSum": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try l.int(try node.input(1), "the axis"), x.rank, node, attribute: "axis")
      let exclusive = try node.bool("exclusive", default: false)
      let reverse = try node.bool("reverse", default: false)
      return [try cumulativeSum(x, axis, exclusive: exclusive, reverse: reverse, l)]
    },
    "CumProd": { node, l in
      let x = try node.input(0)
      let axis = try l.axis(try l.int(try node.input(1), "the axis"), x.rank, node, attribute: "axis")
      let exclusive = try node.bool("exclusive", default: false)
      let reverse = try node.bool("reverse", default: false)
      return [try cumulativeProduct(x, axis, exclusive: exclusive, reverse: reverse, l)]
    },
  ]

  private static func gemm(_ node: OnnxNode, _ l: Lowering) throws -> Value {
    let (a, b) = (try node.input(0), try node.input(1))
    guard a.rank == 2, b.rank == 2 else {
      throw node.malformed("needs matrices, not \(a.shape) and \(b.shape)")
    }
    let alpha = try node.float("alpha", default: 1)
    let beta = try node.float("beta", default: 1)
    let left = try node.bool("transA", default: false) ? try l.transposeMatrix(a) : a
    let transposed = try node.bool("transB", default: false)
    var product: Value
    if let weight = b.weight, !left.isConstant, weight.values.count > 0 {
      guard left.shape[1] == weight.shape[transposed ? 1 : 0] else {
        throw node.malformed("a matrix product of \(left.shape) and \(b.shape)")
      }
      let map = Dense(weight, inputShape: left.shape, transposed: transposed)
      if alpha == 1, let c = node.optional(2), c.isConstant {
        // One node: the usual fully connected layer.
        let scaled = beta == 1 ? c : try l.scale(c, beta)
        let full = try l.broadcast(scaled, to: map.outputShape)
        if let exact = full.weight { return try l.linear(map, left, bias: exact) }
      }
      product = try l.linear(map, left)
    } else {
      product = try l.matmul(left, transposed ? try l.transposeMatrix(b) : b)
    }
    product = try l.scale(product, alpha)
    guard let c = node.optional(2), beta != 0 else { return product }
    let shape = product.shape
    guard Shape.broadcast(c.shape, shape) == shape else {
      throw node.malformed("C of shape \(c.shape) does not broadcast to \(shape)")
    }
    return try l.add(product, try l.scale(c, beta))
  }

  /// A map along one axis that is the same sparse matrix everywhere else.
  static func alongAxis(
    _ x: Value, _ axis: Int, _ rows: [[SparseEntry]], denominator: Int = 1, roundings: Int = 0, _ l: Lowering
  )
    throws -> Value
  {
    var dims = x.shape.dims
    dims[axis] = rows.count
    let target = Shape(dims)
    try l.checkSize(target)
    let entries = rows.reduce(0) { $0 + $1.count }
    if entries > x.shape[axis] * rows.count / 4, denominator == 1 {
      // A full matrix: one product for all lines.
      try l.checkSize([x.shape[axis], rows.count])
      var matrix = [Double](repeating: 0, count: x.shape[axis] * rows.count)
      for (column, row) in rows.enumerated() {
        for entry in row { matrix[entry.index * rows.count + column] += entry.coefficient }
      }
      let last = try l.moveAxis(x, axis, to: x.rank - 1)
      let dense = Dense(Weight(Tensor([x.shape[axis], rows.count], matrix)), inputShape: last.shape)
      let map: any LinearMap = roundings == 0 ? dense : RoundedCoefficients(dense, roundings: roundings)
      return try l.moveAxis(try l.linear(map, last), x.rank - 1, to: axis)
    }
    try l.checkSize([max(1, entries), max(1, x.shape.count / max(1, x.shape[axis]))], limit: 1 << 23)
    let inner = x.shape.strides[axis]
    let extent = x.shape[axis]
    let all = (0..<target.count).map { o -> [SparseEntry] in
      let block = o / (inner * rows.count)
      let row = o / inner % rows.count
      return rows[row].map { SparseEntry((block * extent + $0.index) * inner + o % inner, $0.coefficient) }
    }
    return try l.linear(
      SparseMap(x.shape, to: target, rows: all, denominator: denominator, roundings: roundings), x)
  }

  private static func cumulativeSum(
    _ x: Value, _ axis: Int, exclusive: Bool, reverse: Bool, _ l: Lowering
  ) throws -> Value {
    let n = x.shape[axis]
    let rows = (0..<n).map { i -> [SparseEntry] in
      let range =
        reverse ? (exclusive ? (i + 1)..<max(n, i + 1) : i..<n) : (exclusive ? 0..<i : 0..<(i + 1))
      return range.map { SparseEntry($0, 1) }
    }
    return try alongAxis(x, axis, rows, l)
  }

  private static func cumulativeProduct(
    _ x: Value, _ axis: Int, exclusive: Bool, reverse: Bool, _ l: Lowering
  ) throws -> Value {
    let n = x.shape[axis]
    if n == 0 { return x }
    var parts: [Value] = []
    var running: Value?
    for step in 0..<n {
      let part = try l.slice(x, axis: axis, (reverse ? n - 1 - step : step)..<(reverse ? n - step : step + 1))
      if exclusive { parts.append(try running ?? l.filled(1, part.shape, x.type)) }
      running = try running.map { try l.mul($0, part) } ?? part
      // The line above has set it.
      if !exclusive, let running { parts.append(running) }
    }
    return try l.concat(reverse ? parts.reversed() : parts, axis: axis)
  }

  // MARK: Einsum

  /// Sums of products over named axes: operand by operand, each step a batched matrix product.
  static func einsum(_ equation: String, _ operands: [Value], _ node: OnnxNode, _ l: Lowering) throws -> Value
  {
    let compact = equation.filter { !$0.isWhitespace }
    let sides = compact.components(separatedBy: "->")
    let terms = sides[0].components(separatedBy: ",")
    guard sides.count <= 2, terms.count == operands.count else {
      throw node.malformed("'\(equation)' does not name \(operands.count) operands", attribute: "equation")
    }
    // Axes under an ellipsis get names that letters cannot have.
    var named: [[String]] = []
    var ellipsis = 0
    for (term, operand) in zip(terms, operands) {
      let letters = term.replacingOccurrences(of: "...", with: "")
      if letters.contains(".") { throw node.malformed("'\(equation)' is malformed", attribute: "equation") }
      let hidden = term.contains("...") ? operand.rank - letters.count : 0
      guard hidden >= 0, hidden + letters.count == operand.rank else {
        throw node.malformed("'\(term)' does not fit shape \(operand.shape)", attribute: "equation")
      }
      ellipsis = max(ellipsis, hidden)
    }
    for (term, operand) in zip(terms, operands) { named.append(names(term, operand.rank, ellipsis)) }
    let output: [String]
    if sides.count == 2 {
      let letters = sides[1].replacingOccurrences(of: "...", with: "").count
      output = names(sides[1], sides[1].contains("...") ? ellipsis + letters : letters, ellipsis)
    } else {
      var counts: [String: Int] = [:]
      for name in named.joined() { counts[name, default: 0] += 1 }
      output =
        (0..<ellipsis).map { "#\($0)" }
        + counts.filter { $0.value == 1 && !$0.key.hasPrefix("#") }.keys.sorted()
    }
    guard Set(output).count == output.count, output.allSatisfy({ Set(named.joined()).contains($0) }) else {
      throw node.malformed("'\(equation)' has an impossible output", attribute: "equation")
    }
    var result = try diagonal(operands[0], named[0], l)
    for index in 1..<max(1, operands.count) {
      let next = try diagonal(operands[index], named[index], l)
      let later = Set(named[(index + 1)...].joined()).union(output)
      result = try contract(result, next, keeping: later, l)
    }
    // Sum what is left over and put the axes in order.
    let summed = Set(result.names.indices.filter { !output.contains(result.names[$0]) })
    var value = try l.reduceSum(result.value, summed)
    let kept = result.names.indices.filter { !summed.contains($0) }
    value = try l.reshape(value, Shape(kept.map { value.shape[$0] }))
    let order = kept.map { result.names[$0] }
    return try l.transpose(
      value,
      try output.map { name in
        guard let place = order.firstIndex(of: name) else {
          throw node.malformed("'\(equation)' has an impossible output", attribute: "equation")
        }
        return place
      })
  }

  private static func names(_ term: String, _ rank: Int, _ ellipsis: Int) -> [String] {
    guard let dots = term.range(of: "...") else { return term.map { String($0) } }
    let head = term[..<dots.lowerBound].map { String($0) }
    let tail = term[dots.upperBound...].map { String($0) }
    let hidden = max(0, rank - head.count - tail.count)
    return head + (0..<hidden).map { "#\(ellipsis - hidden + $0)" } + tail
  }

  /// Repeated names within one operand take its diagonal.
  private static func diagonal(_ x: Value, _ names: [String], _ l: Lowering) throws -> (
    value: Value, names: [String]
  ) {
    var unique: [String] = []
    for name in names where !unique.contains(name) { unique.append(name) }
    if unique.count == names.count { return (x, names) }
    let strides = x.shape.strides
    var dims: [Int] = []
    var steps: [Int] = []
    for name in unique {
      let axes = names.indices.filter { names[$0] == name }
      let extent = x.shape[axes[0]]
      guard axes.allSatisfy({ x.shape[$0] == extent }) else {
        throw GraphError(node: "", reason: "the diagonal of \(x.shape) is asked for")
      }
      dims.append(extent)
      steps.append(axes.reduce(0) { $0 + strides[$1] })
    }
    return (try l.moved(x, to: Shape(dims), Shape(dims).stridedIndices(steps: steps)), unique)
  }

  /// The product of two operands summed over the names that nobody needs later.
  private static func contract(
    _ a: (value: Value, names: [String]), _ b: (value: Value, names: [String]), keeping: Set<String>,
    _ l: Lowering
  ) throws -> (value: Value, names: [String]) {
    func extent(_ name: String) -> Int {
      let left = a.names.firstIndex(of: name).map { a.value.shape[$0] } ?? 1
      let right = b.names.firstIndex(of: name).map { b.value.shape[$0] } ?? 1
      return max(left, right)
    }
    /// Sums axes that only this operand has and nobody needs.
    func reduced(_ x: (value: Value, names: [String]), other: [String]) throws -> (Value, [String]) {
      let gone = Set(
        x.names.indices.filter { !keeping.contains(x.names[$0]) && !other.contains(x.names[$0]) })
      if gone.isEmpty { return x }
      let kept = x.names.indices.filter { !gone.contains($0) }
      let sum = try l.reduceSum(x.value, gone)
      return (try l.reshape(sum, Shape(kept.map { sum.shape[$0] })), kept.map { x.names[$0] })
    }
    let (left, leftNames) = try reduced(a, other: b.names)
    let (right, rightNames) = try reduced(b, other: a.names)
    let shared = leftNames.filter { rightNames.contains($0) }
    let batch = shared.filter { keeping.contains($0) }
    let inner = shared.filter { !keeping.contains($0) }
    let leftOnly = leftNames.filter { !shared.contains($0) }
    let rightOnly = rightNames.filter { !shared.contains($0) }
    /// Brings an operand into the order given by groups of names, each group one axis.
    func arranged(_ x: Value, _ names: [String], _ groups: [[String]]) throws -> Value {
      let order = groups.joined().compactMap { names.firstIndex(of: $0) }
      var moved = try l.transpose(x, order)
      let full = Shape(groups.joined().map { extent($0) })
      moved = try l.broadcast(moved, to: full)
      return try l.reshape(moved, Shape(groups.map { $0.reduce(1) { $0 * extent($1) } }))
    }
    let m = try arranged(left, leftNames, [batch, leftOnly, inner])
    let n = try arranged(right, rightNames, [batch, inner, rightOnly])
    let product = try l.matmul(m, n)
    let names = batch + leftOnly + rightOnly
    return (try l.reshape(product, Shape(names.map { extent($0) })), names)
  }
}
