import IR
import Tensors

/// Reverse-mode gradients on the backward walk: covectors are tensors `[R] + shape`, one row per scalar that is
/// differentiated, grouped by example (R is a multiple of the batch).
///
/// At kinks and ties one of the one-sided derivatives is taken; discrete functions pass gradients only to what they
/// copy.
public struct GradientRule<T: Real>: AdjointRule {
  public typealias Covector = Tensor<T>

  /// The forward values, all kept.
  let values: [AnyTensor?]
  let collectsWeights: Bool
  /// Covectors that arrived at graph inputs, by node.
  public private(set) var inputGradients: [NodeID: Tensor<T>] = [:]
  /// Gradients in the weights, summed over the batch.
  public private(set) var weightGradients: [ObjectIdentifier: WeightGradient] = [:]
  private let stops: [Bool]

  /// - Parameters:
  ///   - trace: a forward walk of the same graph that kept all values.
  ///   - stopping: nodes beyond which no gradient is needed, by node.
  public init(_ trace: Trace<AnyTensor>, collectsWeights: Bool = false, stopping: [Bool] = []) {
    values = trace.values
    self.collectsWeights = collectsWeights
    stops = stopping
  }

  private func value(_ id: NodeID) throws -> Tensor<T> {
    guard let value = values[id] else {
      throw GraphError(node: "node \(id)", reason: "its value was not kept")
    }
    return value.tensor(as: T.self)
  }

  public func isLeaf(_ node: Node) -> Bool { !stops.isEmpty && stops[node.id] }

  public mutating func leaf(_ node: Node, _ c: Tensor<T>) throws {
    switch node.operation {
    case .input:
      inputGradients[node.id] = inputGradients[node.id].map { $0 + c } ?? c
    case .constant(let weight) where collectsWeights:
      record(weight, summedRows(c))
    default: break
    }
  }

  private mutating func record(_ weight: Weight, _ gradient: Tensor<Double>) {
    let key = ObjectIdentifier(weight)
    let shaped = gradient.reshaped(weight.shape)
    if let known = weightGradients[key] {
      weightGradients[key] = WeightGradient(weight, known.gradient + shaped)
    } else {
      weightGradients[key] = WeightGradient(weight, shaped)
    }
  }

  private func summedRows(_ c: Tensor<T>) -> Tensor<Double> {
    let wide = AnyTensor(c).float64
    var sum = Tensor<Double>.zeros(wide.exampleShape)
    for r in 0..<wide.batch { sum += wide.example(r).reshaped(wide.exampleShape) }
    return sum
  }

  public mutating func affine(_ map: Affine, _ c: Tensor<T>, at node: Node) throws -> [Tensor<T>?] {
    if collectsWeights {
      let wide = AnyTensor(c).float64
      for (input, linear) in zip(node.inputs, map.maps) where linear is any WeightedMap {
        var x = AnyTensor(try value(input)).float64
        if x.batch != wide.batch { x = repeatedRows(x, wide.batch) }
        for gradient in linear.weightGradients(input: x, covector: wide) {
          record(gradient.weight, gradient.gradient)
        }
      }
      if let bias = map.bias { record(bias, summedRows(c)) }
    }
    return map.maps.map { $0.adjoint(c) }
  }

  private func repeatedRows(_ x: Tensor<Double>, _ rows: Int) -> Tensor<Double> {
    let (_, divisor, _) = batchRatio(x.batch, rows)
    return Tensor.concatenatingBatches((0..<rows).map { x.example($0 / divisor) })
  }

  public mutating func elementwise(_ f: any ElementwiseFunction, _ c: Tensor<T>, at node: Node) throws
    -> Tensor<T>?
  {
    let slope = f.derivatives(any: try value(node.inputs[0]))
    return Self.multiply(c, slope)
  }

  static func multiply(_ c: Tensor<T>, _ slope: Tensor<T>) -> Tensor<T> {
    let (batch, dc, ds) = batchRatio(c.batch, slope.batch)
    let n = slope.batch == 0 ? 0 : slope.count / slope.batch
    return Tensor(writing: [batch] + c.exampleShape) { z in
      c.withPointer { x in
        slope.withPointer { y in
          for r in 0..<batch { T.multiply(n, x + (r / dc) * n, y + (r / ds) * n, into: z + r * n) }
        }
      }
    }
  }

  public mutating func product(_ form: any BilinearForm, _ c: Tensor<T>, at node: Node) throws -> [Tensor<T>?]
  {
    [
      form.adjointLeft(c, right: try value(node.inputs[1])),
      form.adjointRight(c, left: try value(node.inputs[0])),
    ]
  }

  public mutating func selection(_ s: Selection, _ c: Tensor<T>, at node: Node) throws -> [Tensor<T>?] {
    let inputs = try node.inputs.map { try value($0) }
    let winners = s.winners(inputs)
    let outputs = s.outputShape.count
    let batch = outputs == 0 ? 1 : max(1, winners.count / outputs)
    let ratio = max(1, c.batch / batch)
    let offsets = s.offsets
    var results = s.inputShapes.map { Tensor<T>.zeros([c.batch] + $0) }
    for r in 0..<c.batch {
      for o in 0..<outputs {
        let winner = Int(winners[(r / ratio) * outputs + o])
        // Offsets start at 0 and increase, so some input contains the winner.
        let input = offsets.lastIndex { $0 <= winner } ?? 0
        let place = r * s.inputShapes[input].count + winner - offsets[input]
        results[input][flat: place] += c[flat: r * outputs + o]
      }
    }
    return results
  }

  public mutating func discrete(_ f: any DiscreteFunction, _ c: Tensor<T>, at node: Node) throws -> [Tensor<
    T
  >?] {
    let inputs = try node.inputs.map { AnyTensor(try value($0)).float64 }
    let batch = inputs.map(\.batch).max() ?? 1
    let ratio = max(1, c.batch / batch)
    let outputs = f.outputShape.count
    var results: [Tensor<T>?] = f.inputShapes.map { _ in nil }
    for b in 0..<batch {
      let example = inputs.map { $0.example($0.batch == 1 ? 0 : b).reshaped($0.exampleShape) }
      for (input, table) in f.copies(lower: example, upper: example).enumerated() {
        guard let table else { continue }
        var gradient = results[input] ?? Tensor<T>.zeros([c.batch] + f.inputShapes[input])
        let size = f.inputShapes[input].count
        for r in (b * ratio)..<((b + 1) * ratio) {
          for o in 0..<outputs where table[o] >= 0 {
            gradient[flat: r * size + Int(table[o])] += c[flat: r * outputs + o]
          }
        }
        results[input] = gradient
      }
    }
    return results
  }

  public mutating func composite(_ composite: any Composite, _ c: Tensor<T>, at node: Node) throws -> [Tensor<
    T
  >?] {
    let inputs = try node.inputs.map { AnyTensor(try value($0)) }
    if !collectsWeights, let whole = composite.adjoint(AnyTensor(c).float64, inputs: inputs.map(\.float64)) {
      return whole.map { AnyTensor.double($0).tensor(as: T.self) }
    }
    let graph = composite.expansion
    var domain = ConcreteDomain(T.self == Double.self ? .float64 : .deployed)
    let trace = try graph.interpret(inputs, in: &domain, keepingAll: true)
    var inner = GradientRule<T>(trace, collectsWeights: collectsWeights)
    try graph.pullBack([(graph.outputs[0].node, c)], rule: &inner)
    for gradient in inner.weightGradients.values { record(gradient.weight, gradient.gradient) }
    return graph.inputs.map { inner.inputGradients[$0] }
  }

  public mutating func merge(_ a: Tensor<T>, _ b: Tensor<T>, at node: Node) -> Tensor<T> { a + b }
}

extension ElementwiseFunction {
  /// Derivatives in the engine's precision.
  func derivatives<T: Real>(any x: Tensor<T>) -> Tensor<T> { x.map { T(self.derivative(Double($0))) } }
}

extension Graph {
  /// Gradients of `seed` paired with the graph's output in all inputs (nil where none arrives).
  ///
  /// - Parameters:
  ///   - inputs: `[B] + shape` for every input.
  ///   - output: which output.
  ///   - seed: `[R] + output shape`, R a multiple of B; row r belongs to example r / (R / B).
  public func gradients<T: Real>(
    inputs: [Tensor<T>], output: Int = 0, seed: Tensor<T>, precision: ConcreteDomain.Precision
  ) throws -> (value: Tensor<T>, gradients: [Tensor<T>?]) {
    var domain = ConcreteDomain(precision)
    let trace = try interpret(inputs.map { AnyTensor($0) }, in: &domain, keepingAll: true)
    var rule = GradientRule<T>(trace)
    try pullBack([(outputs[output].node, seed)], rule: &rule)
    return (trace.outputs[output].tensor(as: T.self), self.inputs.map { rule.inputGradients[$0] })
  }

  /// Runs the network on one example per batch entry.
  public func run(_ inputs: [Tensor<Double>], _ precision: ConcreteDomain.Precision = .float64) throws
    -> [AnyTensor]
  {
    var domain = ConcreteDomain(precision)
    let values = zip(inputs, inputNodes).map { tensor, node -> AnyTensor in
      precision == .deployed && node.elementType.runsInFloat ? .float(tensor.float32) : .double(tensor)
    }
    return try interpret(values, in: &domain).outputs
  }
}
