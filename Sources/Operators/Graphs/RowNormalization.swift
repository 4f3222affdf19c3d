import IR
import Tensors

/// Every row divided by its Euclidean norm, or by eps where the norm is smaller.
public struct RowNormalization: Composite {
  public let shape: Shape
  public let eps: Double
  public let expansion: Graph

  /// - Parameters:
  ///   - shape: `[rows, width]`.
  ///   - eps: the smallest divisor, positive.
  public init(_ shape: Shape, eps: Double) throws {
    precondition(shape.rank == 2 && eps > 0)
    self.shape = shape
    self.eps = eps
    expansion = try Self.expand(shape, eps)
  }

  public var name: String { "RowNormalization" }
  public var inputShapes: [Shape] { [shape] }
  public var outputShape: Shape { shape }

  private static func expand(_ shape: Shape, _ eps: Double) throws -> Graph {
    let rows: Shape = [shape[0], 1]
    var b = GraphBuilder(origin: "RowNormalization", scope: "normalise/")
    let x = b.input("x", shape)
    guard let scale = Multiply(shape, rows) else {
      throw GraphError(node: "normalise", reason: "shape \(shape) is not a matrix")
    }
    let squares = b.elementwise(Square(), x, name: "squares")
    let sum = try b.linear(SumMap.reduce(shape, axes: [1], mean: false), squares, name: "squared_norm")
    // max(sum, eps^2) as a ReLU, then 1/sqrt.
    let floor = Weight(Tensor(repeating: eps * eps, rows))
    let shifted = try b.linear(
      Reshape.identity(rows), sum, bias: Weight(Tensor(repeating: -eps * eps, rows)), name: "above_eps")
    let positive = b.elementwise(Relu(), shifted)
    let bounded = try b.linear(Reshape.identity(rows), positive, bias: floor, name: "bounded_norm")
    let inverse = b.elementwise(NegativePower(.half), bounded, name: "inverse_norm")
    let scaled = try b.product(scale, x, inverse, name: "scaled")
    // Entries of a vector of norm at most 1 lie in [-1, 1]. Saying so changes no value (but for rounding beyond 1)
    // and keeps bounds finite where the norm may vanish.
    b.output(b.elementwise(Clip(-1, 1), scaled, name: "unit_rows"))
    return b.build()
  }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    if let x = x[0] as? Tensor<Double> { return normalise(x) as? Tensor<T> }
    if let x = x[0] as? Tensor<Float> { return normalise(x) as? Tensor<T> }
    return nil
  }

  private func normalise<T: GraphReal>(_ x: Tensor<T>) -> Tensor<T> {
    Tensor(writing: [x.batch] + shape) { y in
      x.withPointer {
        T.normaliseRows(rows: x.batch * shape[0], width: shape[1], eps: T(eps), $0, into: y)
      }
    }
  }

  public func adjoint(_ y: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let width = shape[1]
    let rows = shape[0]
    let (batch, dy, dx) = batchRatio(y.batch, x[0].batch)
    let result = Tensor<Double>(writing: [batch] + shape) { g in
      y.withPointer { y0 in
        x[0].withPointer { x0 in
          for r in 0..<batch {
            for i in 0..<rows {
              let v = x0 + ((r / dx) * rows + i) * width
              let c = y0 + ((r / dy) * rows + i) * width
              let out = g + (r * rows + i) * width
              var square = 0.0
              var dot = 0.0
              for j in 0..<width {
                square += v[j] * v[j]
                dot += v[j] * c[j]
              }
              let norm = square.squareRoot()
              // d(x/|x|) = (c - u (u.c)) / |x|; below eps the divisor is constant.
              let scale = 1 / max(norm, eps)
              let radial = norm > eps ? dot / square : 0
              for j in 0..<width { out[j] = (c[j] - v[j] * radial) * scale }
            }
          }
        }
      }
    }
    return [result]
  }
}
