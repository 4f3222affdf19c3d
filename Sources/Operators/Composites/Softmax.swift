import Foundation
import IR
import Tensors

/// e^x_k / sum_i e^x_i along one axis.
public struct Softmax: RelaxedComposite {
  public let shape: Shape
  public let axis: Int
  public let expansion: Graph
  private let rows: AxisRows

  /// - Parameter axis: may count from the end. Throws `GraphError` if there is no such axis.
  public init(_ shape: Shape, axis: Int) throws {
    guard let axis = shape.axis(axis) else {
      throw GraphError(node: "Softmax", reason: "shape \(shape) has no axis \(axis)")
    }
    self.shape = shape
    self.axis = axis
    rows = AxisRows(shape, axis: axis)
    expansion = try SoftmaxExpansion.build(shape, axis: axis, logarithm: false)
  }

  public var name: String { "Softmax" }
  public var inputShapes: [Shape] { [shape] }
  public var outputShape: Shape { shape }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    // Double inside in either precision; Real has exactly two conformances, so the casts cannot fail.
    if let value = x[0] as? Tensor<Double> { return evaluate(value) as? Tensor<T> }
    return (x[0] as? Tensor<Float>).flatMap { evaluate($0.float64).float32 as? Tensor<T> }
  }

  private func evaluate(_ x: Tensor<Double>) -> Tensor<Double> {
    let size = shape.count
    return Tensor(writing: x.shape) { y in
      x.withPointer { x0 in
        for b in 0..<x.batch {
          for start in rows.starts { Self.row(x0 + b * size + start, y + b * size + start, rows) }
        }
      }
    }
  }

  private static func row(_ x: UnsafePointer<Double>, _ y: UnsafeMutablePointer<Double>, _ rows: AxisRows) {
    let n = rows.length
    let stride = rows.stride
    var top = -Double.infinity
    for i in 0..<n { top = max(top, x[i * stride]) }
    var sum = 0.0
    for i in 0..<n {
      let e = exp(x[i * stride] - top)
      y[i * stride] = e
      sum += e
    }
    for i in 0..<n { y[i * stride] /= sum }
  }

  /// y (c - <c, y>).
  public func adjoint(_ c: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let value = evaluate(x[0])
    let size = shape.count
    let (batch, dc, dx) = batchRatio(c.batch, value.batch)
    let result = Tensor<Double>(writing: [batch] + shape) { g in
      c.withPointer { c0 in
        value.withPointer { y0 in
          for b in 0..<batch {
            for start in rows.starts {
              let c1 = c0 + (b / dc) * size + start
              let y1 = y0 + (b / dx) * size + start
              let g1 = g + b * size + start
              var dot = 0.0
              for i in 0..<rows.length { dot += c1[i * rows.stride] * y1[i * rows.stride] }
              for i in 0..<rows.length {
                g1[i * rows.stride] = y1[i * rows.stride] * (c1[i * rows.stride] - dot)
              }
            }
          }
        }
      }
    }
    return [result]
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = Tensor<Double>.zeros(shape)
    var high = Tensor<Double>.zeros(shape)
    for start in rows.starts {
      let row = SoftmaxRow(lower[0], upper[0], rows, start)
      let (l, u) = row.probabilities()
      for i in 0..<rows.length {
        low[flat: start + i * rows.stride] = l[i]
        high[flat: start + i * rows.stride] = u[i]
      }
    }
    return (low, high)
  }

  public var offersLines: Bool { true }

  public var deployed: (any RelaxedComposite)? { self }

  /// For e^(x_k - m) / S with m the maximum and t_i = m - x_i: the difference rounds by u t_i, the exponential by 8 u
  /// (``DeployedKernel/exp``), so S >= 1 by at most u (sum_i t_i e^-t_i + (n + 8) S) <= u (1.4 n + 8) S, and the quotient
  /// with its own rounding by u (t_k + 1.4 n + 18) of itself, where y_k t_k <= 1 / e. Second-order terms are covered by
  /// the rest.
  public func deployedError(_ magnitude: Double, unit: Double, underflow: Double) -> Double {
    let n = Double(rows.length)
    guard (2 * n + 32) * unit < 0x1p-4 else { return .infinity }
    return unit * ((2 * n + 24) * magnitude + 1) + 4 * underflow
  }

  public func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation? {
    CompositeRelaxation(
      groups: rows.starts.map { start in
        SoftmaxRow(lower[0], upper[0], rows, start).softmaxLines(indices: rows.indices(start))
      })
  }
}

/// x_k - log sum_i e^x_i along one axis.
public struct LogSoftmax: RelaxedComposite {
  public let shape: Shape
  public let axis: Int
  public let expansion: Graph
  private let rows: AxisRows

  /// - Parameter axis: may count from the end. Throws `GraphError` if there is no such axis.
  public init(_ shape: Shape, axis: Int) throws {
    guard let axis = shape.axis(axis) else {
      throw GraphError(node: "LogSoftmax", reason: "shape \(shape) has no axis \(axis)")
    }
    self.shape = shape
    self.axis = axis
    rows = AxisRows(shape, axis: axis)
    expansion = try SoftmaxExpansion.build(shape, axis: axis, logarithm: true)
  }

  public var name: String { "LogSoftmax" }
  public var inputShapes: [Shape] { [shape] }
  public var outputShape: Shape { shape }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    // As for Softmax.
    if let value = x[0] as? Tensor<Double> { return evaluate(value) as? Tensor<T> }
    return (x[0] as? Tensor<Float>).flatMap { evaluate($0.float64).float32 as? Tensor<T> }
  }

  private func evaluate(_ x: Tensor<Double>) -> Tensor<Double> {
    let size = shape.count
    let (n, stride) = (rows.length, rows.stride)
    return Tensor(writing: x.shape) { y in
      x.withPointer { x0 in
        for b in 0..<x.batch {
          for start in rows.starts {
            let x1 = x0 + b * size + start
            let y1 = y + b * size + start
            var top = -Double.infinity
            for i in 0..<n { top = max(top, x1[i * stride]) }
            var sum = 0.0
            for i in 0..<n { sum += exp(x1[i * stride] - top) }
            let shift = log(sum)
            for i in 0..<n { y1[i * stride] = (x1[i * stride] - top) - shift }
          }
        }
      }
    }
  }

  /// c - softmax(x) sum(c).
  public func adjoint(_ c: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let value = evaluate(x[0])
    let size = shape.count
    let (batch, dc, dx) = batchRatio(c.batch, value.batch)
    let result = Tensor<Double>(writing: [batch] + shape) { g in
      c.withPointer { c0 in
        value.withPointer { y0 in
          for b in 0..<batch {
            for start in rows.starts {
              let c1 = c0 + (b / dc) * size + start
              let y1 = y0 + (b / dx) * size + start
              let g1 = g + b * size + start
              var sum = 0.0
              for i in 0..<rows.length { sum += c1[i * rows.stride] }
              for i in 0..<rows.length {
                g1[i * rows.stride] = c1[i * rows.stride] - exp(y1[i * rows.stride]) * sum
              }
            }
          }
        }
      }
    }
    return [result]
  }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = Tensor<Double>.zeros(shape)
    var high = Tensor<Double>.zeros(shape)
    for start in rows.starts {
      let row = SoftmaxRow(lower[0], upper[0], rows, start)
      let (l, u) = row.logarithms()
      for i in 0..<rows.length {
        low[flat: start + i * rows.stride] = l[i]
        high[flat: start + i * rows.stride] = u[i]
      }
    }
    return (low, high)
  }

  public var offersLines: Bool { true }

  public var deployed: (any RelaxedComposite)? { self }

  /// As for ``Softmax``: (x_k - m) - log S with S off by u (1.4 n + 8) of itself, the logarithm by 8 u of log S <= log n,
  /// the differences by u t_k and u |y_k|, where t_k <= |y_k|.
  public func deployedError(_ magnitude: Double, unit: Double, underflow: Double) -> Double {
    let n = Double(rows.length)
    guard (2 * n + 32) * unit < 0x1p-4 else { return .infinity }
    return unit * (4 * magnitude + 2 * n + 24 + 10 * log(n + 1)) + 4 * underflow
  }

  public func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation? {
    CompositeRelaxation(
      groups: rows.starts.map { start in
        SoftmaxRow(lower[0], upper[0], rows, start).logSoftmaxLines(indices: rows.indices(start))
      })
  }
}

/// Softmax in terms of the other kinds.
enum SoftmaxExpansion {
  /// Rows up to this length are expanded through the differences of all pairs.
  static let longestPairwise = 32

  /// Short rows: y_k = 1 / sum_i e^(x_i - x_k) (or -log of that sum), whose every bound is attained where one element
  /// moves against the others; the sum is never below 1. Long rows: e^(x - mean) over its sum.
  static func build(_ shape: Shape, axis: Int, logarithm: Bool) throws -> Graph {
    var b = GraphBuilder(origin: logarithm ? "LogSoftmax" : "Softmax")
    let x = b.input("x", shape, type: .float32)
    let n = shape[axis]
    let result: NodeID
    if n <= longestPairwise {
      // Element (..., k, i, ...) of the pairs is x_i - x_k.
      let pairs = Shape(Array(shape.dims[...axis]) + Array(shape.dims[axis...]))
      let strides = shape.strides
      var first = Array(strides[...axis]) + Array(strides[axis...])
      first[axis + 1] = 0
      var second = Array(strides[...axis]) + Array(strides[axis...])
      second[axis] = 0
      let minuend = IndexMap(shape, to: pairs, index: pairs.stridedIndices(steps: second))
      let subtrahend = IndexMap(shape, to: pairs, index: pairs.stridedIndices(steps: first))
      let expanded = try b.linear(subtrahend, x, name: "x_k")
      let difference = try b.affine([(x, minuend), (expanded, Diagonal.scale(-1, pairs))], name: "x_i - x_k")
      let powers = b.elementwise(Exp(), difference)
      let reduced = SumMap.reduce(pairs, axes: [axis + 1], mean: false)
      let sum = try b.linear(reduced, powers)
      let flat = try b.linear(Reshape(reduced.outputShape, to: shape), sum)
      if logarithm {
        result = try b.linear(Diagonal.scale(-1, shape), b.elementwise(Log(), flat))
      } else {
        result = b.elementwise(Reciprocal(), flat)
      }
    } else {
      let average = SumMap.reduce(shape, axes: [axis], mean: true)
      let mean = try b.linear(average, x)
      let spread = try b.linear(IndexMap.broadcast(average.outputShape, to: shape), mean)
      let centered = try b.affine([(x, Reshape.identity(shape)), (spread, Diagonal.scale(-1, shape))])
      let powers = b.elementwise(Exp(), centered)
      let sum = try b.linear(SumMap.reduce(shape, axes: [axis], mean: false), powers)
      if logarithm {
        let logs = b.elementwise(Log(), sum)
        let wide = try b.linear(IndexMap.broadcast(average.outputShape, to: shape), logs)
        result = try b.affine([(centered, Reshape.identity(shape)), (wide, Diagonal.scale(-1, shape))])
      } else {
        let inverse = b.elementwise(Reciprocal(), sum)
        guard let form = Multiply(shape, average.outputShape) else {
          throw GraphError(
            node: "Softmax", reason: "shapes \(shape) and \(average.outputShape) do not broadcast")
        }
        result = try b.product(form, powers, inverse)
      }
    }
    b.output(result)
    return b.build()
  }
}
