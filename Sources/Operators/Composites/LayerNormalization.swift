import CKernels
import IR
import Tensors

/// (x - mean) / sqrt(var + epsilon) * gain + shift over the last axis, with the population variance (Ba et al., "Layer
/// Normalization", 2016).
public struct LayerNormalization: Composite {
  public let shape: Shape
  /// One element per feature of the last axis.
  public let gain: Weight
  public let shift: Weight
  public let epsilon: Double

  public let expansion: Graph

  /// - Throws: `GraphError` unless gain and shift have as many elements as the last axis of `shape`.
  public init(shape: Shape, gain: Weight, shift: Weight, epsilon: Double) throws {
    guard gain.values.count == shape.dims.last, shift.values.count == gain.values.count else {
      throw GraphError(node: "LayerNormalization", reason: "gain and shift do not fit \(shape)")
    }
    self.shape = shape
    self.gain = gain
    self.shift = shift
    self.epsilon = epsilon
    expansion = try Self.expanded(shape: shape, gain: gain, shift: shift, epsilon: epsilon)
  }

  public var name: String { "LayerNormalization" }
  public var inputShapes: [Shape] { [shape] }
  public var outputShape: Shape { shape }
  /// Features of a row.
  public var width: Int { gain.values.count }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    guard let x = x[0] as? Tensor<Double> else { return nil }
    let n = width
    let y = Tensor<Double>(writing: x.shape) { y in
      x.withPointer { x0 in
        gain.values.withPointer { w in
          shift.values.withPointer { b in
            ck_norm(Int64(x.count / n), Int64(n), x0, epsilon, w, b, y)
          }
        }
      }
    }
    // T is Double here.
    return y as? Tensor<T>
  }

  /// With u = (x - mean) / s and g = y * gain: (g - mean(g) - u mean(u g)) / s.
  public func adjoint(_ y: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let n = width
    let rows = y.count / n
    let own = x[0].count / n
    let perExample = shape.count / n
    let ratio = batchRatio(y.batch, x[0].batch).right
    precondition(own == x[0].batch * perExample)
    let result = Tensor<Double>(writing: y.shape) { out in
      y.withPointer { y0 in
        x[0].withPointer { x0 in
          gain.values.withPointer { w in
            for r in 0..<rows {
              let example = r / perExample / ratio
              let row = x0 + (example * perExample + r % perExample) * n
              let c = y0 + r * n
              var mean = 0.0
              for i in 0..<n { mean += row[i] }
              mean /= Double(n)
              var variance = 0.0
              for i in 0..<n { variance += (row[i] - mean) * (row[i] - mean) }
              let s = 1 / (variance / Double(n) + epsilon).squareRoot()
              var flow = 0.0
              var tilt = 0.0
              for i in 0..<n {
                let g = c[i] * w[i]
                flow += g
                tilt += g * (row[i] - mean) * s
              }
              flow /= Double(n)
              tilt /= Double(n)
              for i in 0..<n {
                out[r * n + i] = (c[i] * w[i] - flow - (row[i] - mean) * s * tilt) * s
              }
            }
          }
        }
      }
    }
    return [result]
  }

}
