import IR
import Tensors

/// Runs the network on tensors.
public struct ConcreteDomain: Domain {
  public enum Precision: Sendable, Hashable {
    /// Every value in the precision the file declares: float32 in Float, and so on.
    case deployed
    /// Everything in Float64 on the stored weights.
    case float64
  }

  public let precision: Precision

  public init(_ precision: Precision) { self.precision = precision }

  private func runsInFloat(_ node: Node) -> Bool { precision == .deployed && node.elementType.runsInFloat }

  /// What remains to be done to a computed value: half precision is rounded to, and integers must be exact. (That they
  /// wrap around is a node of the graph, ``IntegerWrap``.)
  private func finished(_ value: AnyTensor, _ node: Node) throws -> AnyTensor {
    switch (node.elementType, value) {
    case (.float16, .float(let x)): return .float(x.map { Float(Float16($0)) })
    case (.bfloat16, .float(let x)): return .float(x.map(bfloat16Rounded))
    case (let type, .double(let x)) where type.integerRange != nil:
      // Not a number is not below 2^53 either.
      guard x.elements.allSatisfy({ $0.magnitude <= 0x1p53 }) else {
        throw GraphError(node: node.name, reason: "an integer beyond 2^53 cannot be computed exactly")
      }
      return value
    default: return value
    }
  }

  public func constant(_ weight: Weight, at node: Node) -> AnyTensor {
    runsInFloat(node)
      ? .float(weight.float32.reshaped([1] + weight.shape))
      : .double(weight.values.reshaped([1] + weight.shape))
  }

  public func affine(_ map: Affine, _ x: [AnyTensor], at node: Node) throws -> AnyTensor {
    try finished(
      runsInFloat(node)
        ? .float(Self.affine(map, x.map(\.float32))) : .double(Self.affine(map, x.map(\.float64))), node)
  }

  private static func affine<T: Real>(_ affine: Affine, _ x: [Tensor<T>]) -> Tensor<T> {
    var sum = affine.maps[0].apply(x[0])
    for (map, value) in zip(affine.maps, x).dropFirst() { sum = .addingBatches(sum, map.apply(value)) }
    if let bias = affine.bias { sum.addToEveryExample(bias.tensor(as: T.self)) }
    return sum
  }

  public func elementwise(_ f: any ElementwiseFunction, _ x: AnyTensor, at node: Node) throws -> AnyTensor {
    try finished(runsInFloat(node) ? .float(f.apply(x.float32)) : .double(f.apply(x.float64)), node)
  }

  public func product(_ form: any BilinearForm, _ a: AnyTensor, _ b: AnyTensor, at node: Node) throws
    -> AnyTensor
  {
    try finished(
      runsInFloat(node)
        ? .float(form.apply(a.float32, b.float32)) : .double(form.apply(a.float64, b.float64)), node)
  }

  public func selection(_ s: Selection, _ x: [AnyTensor], at node: Node) throws -> AnyTensor {
    runsInFloat(node) ? .float(s.apply(x.map(\.float32))) : .double(s.apply(x.map(\.float64)))
  }

  public func discrete(_ f: any DiscreteFunction, _ x: [AnyTensor], at node: Node) throws -> AnyTensor {
    let arguments = x.map(\.float64)
    let batch = arguments.map(\.batch).max() ?? 1
    var results: [Tensor<Double>] = []
    results.reserveCapacity(batch)
    for r in 0..<batch {
      let example = arguments.map { argument -> Tensor<Double> in
        argument.example(argument.batch == 1 ? 0 : r).reshaped(argument.exampleShape)
      }
      do {
        results.append(try f.evaluate(example).reshaped([1] + f.outputShape))
      } catch let error as GraphError {
        throw GraphError(node: node.name, reason: error.reason)
      }
    }
    let joined = batch == 1 ? results[0] : Tensor.concatenatingBatches(results)
    return try finished(runsInFloat(node) ? .float(joined.float32) : .double(joined), node)
  }

  public mutating func composite(_ c: any Composite, _ x: [AnyTensor], at node: Node) throws -> AnyTensor {
    if runsInFloat(node) {
      if let value = c.evaluate(x.map(\.float32)) { return try finished(.float(value), node) }
    } else if let value = c.evaluate(x.map(\.float64)) {
      return try finished(.double(value), node)
    }
    return try c.expansion.interpret(x, in: &self).outputs[0]
  }
}

/// Rounds to the nearest bfloat16, ties to even.
func bfloat16Rounded(_ x: Float) -> Float {
  guard x.isFinite else { return x }
  let bits = x.bitPattern
  let rounded = bits &+ 0x7fff &+ ((bits >> 16) & 1)
  return Float(bitPattern: rounded & 0xffff_0000)
}

extension Selection {
  /// The extremum for every output; a NaN among the candidates gives NaN, as in ONNX.
  public func apply<T: Real>(_ x: [Tensor<T>]) -> Tensor<T> {
    let (joined, batch, total) = concatenated(x)
    let outputs = outputShape.count
    let isStrided = candidatesAreStrided
    return Tensor(writing: [batch] + outputShape) { y in
      joined.withUnsafeBufferPointer { values in
        if isStrided, let start = values.baseAddress {
          for r in 0..<batch { applyStrided(start + r * total, into: y + r * outputs) }
          return
        }
        for r in 0..<batch {
          for o in 0..<outputs {
            var best = values[r * total + Int(candidates[o * width])]
            for c in 1..<max(width, 1) {
              let index = candidates[o * width + c]
              if index < 0 { break }
              let value = values[r * total + Int(index)]
              if value.isNaN || (extremum == .maximum ? value > best : value < best) { best = value }
            }
            y[r * outputs + o] = best
          }
        }
      }
    }
  }

  /// Whether neighbouring outputs have neighbouring candidates throughout, as when the rows of a matrix are pooled.
  private var candidatesAreStrided: Bool {
    let outputs = outputShape.count
    guard width > 1, outputs > 3, candidates.count == outputs * width else { return false }
    return candidates.withUnsafeBufferPointer { list in
      for o in 0..<outputs {
        for c in 0..<width where list[c] < 0 || list[o * width + c] != list[c] + Int32(o) { return false }
      }
      return true
    }
  }

  /// One example of strided candidates: whole rows are compared at a time.
  private func applyStrided<T: Real>(_ x: UnsafePointer<T>, into y: UnsafeMutablePointer<T>) {
    let outputs = outputShape.count
    y.update(from: x + Int(candidates[0]), count: outputs)
    for c in 1..<width {
      let row = x + Int(candidates[c])
      if extremum == .maximum {
        for o in 0..<outputs { y[o] = row[o] > y[o] || row[o] != row[o] ? row[o] : y[o] }
      } else {
        for o in 0..<outputs { y[o] = row[o] < y[o] || row[o] != row[o] ? row[o] : y[o] }
      }
    }
  }

  /// The flattened inputs side by side, by example.
  func concatenated<T: Real>(_ x: [Tensor<T>]) -> (values: [T], batch: Int, total: Int) {
    let batch = x.map(\.batch).max() ?? 1
    let total = inputShapes.reduce(0) { $0 + $1.count }
    if x.count == 1 { return (x[0].elements, batch, total) }
    var values: [T] = []
    values.reserveCapacity(batch * total)
    for r in 0..<batch {
      for tensor in x {
        let size = tensor.count / max(tensor.batch, 1)
        let start = tensor.batch == 1 ? 0 : r * size
        values.append(contentsOf: tensor.elements[start..<(start + size)])
      }
    }
    return (values, batch, total)
  }

  /// For every example and output the chosen candidate (first of equals) in the concatenation.
  func winners<T: Real>(_ x: [Tensor<T>]) -> [Int32] {
    let (values, batch, total) = concatenated(x)
    let outputs = outputShape.count
    var result = [Int32](repeating: 0, count: batch * outputs)
    for r in 0..<batch {
      for o in 0..<outputs {
        var winner = candidates[o * width]
        for c in 1..<max(width, 1) {
          let index = candidates[o * width + c]
          if index < 0 { break }
          let value = values[r * total + Int(index)]
          let best = values[r * total + Int(winner)]
          if extremum == .maximum ? value > best : value < best { winner = index }
        }
        result[r * outputs + o] = winner
      }
    }
    return result
  }
}
