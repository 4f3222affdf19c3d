import CKernels
import IR
import Tensors

/// Scaled dot-product attention of several heads (Vaswani et al., "Attention Is All You Need", 2017).
///
/// Inputs: queries, keys and values, each `[positions, heads * headWidth]`, head h in columns
/// `h * headWidth ..< (h + 1) * headWidth`. Output: the heads' results z, laid out alike, before any projection.
public struct Attention: Composite {
  public let positions: Int
  public let heads: Int
  public let headWidth: Int
  /// Scores are multiplied by this, usually 1 / sqrt(headWidth).
  public let scale: Double
  /// Whether a position sees only itself and earlier ones.
  public let isCausal: Bool
  /// Positions that no query sees (padding); empty if there are none.
  public let hidden: [Bool]

  public let expansion: Graph

  /// - Throws: `GraphError` if a size is not positive or the hidden positions do not fit.
  public init(
    positions: Int, heads: Int, headWidth: Int, scale: Double, isCausal: Bool, hidden: [Bool] = []
  ) throws {
    guard positions > 0, heads > 0, headWidth > 0 else {
      throw GraphError(node: "Attention", reason: "a size is not positive")
    }
    guard hidden.isEmpty || (!isCausal && hidden.count == positions && hidden.contains(false)) else {
      throw GraphError(node: "Attention", reason: "the hidden positions do not fit")
    }
    self.positions = positions
    self.heads = heads
    self.headWidth = headWidth
    self.scale = scale
    self.isCausal = isCausal
    self.hidden = hidden.contains(true) ? hidden : []
    let padded = self.hidden
    expansion = try Self.expanded(
      positions: positions, heads: heads, headWidth: headWidth, scale: scale,
      isMasked: { isCausal ? $1 > $0 : !padded.isEmpty && padded[$1] })
  }

  public var name: String { "Attention" }
  /// `heads * headWidth`.
  public var width: Int { heads * headWidth }
  public var outputShape: Shape { [positions, width] }
  public var inputShapes: [Shape] { [outputShape, outputShape, outputShape] }

  /// How far a query of position 0 sees, in the kernels' convention.
  var reach: Int { isCausal ? 0 : positions }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    guard let x = x as? [Tensor<Double>] else { return nil }
    // T is Double here.
    return values(x).z as? Tensor<T>
  }

  /// z and, if asked for, the patterns `[B, heads, positions, positions]`.
  public func values(_ x: [Tensor<Double>], patterns wanted: Bool = false) -> (
    z: Tensor<Double>, patterns: Tensor<Double>?
  ) {
    let batch = x.map(\.batch).max() ?? 1
    let n = positions
    let size = n * width
    func offset(_ tensor: Tensor<Double>, _ r: Int) -> Int { tensor.batch == 1 ? 0 : r * size }
    var patterns = wanted ? Tensor<Double>.zeros([batch, heads, n, n]) : nil
    let mask = hidden.map { UInt8($0 ? 1 : 0) }
    let z = Tensor<Double>(writing: [batch, n, width]) { z in
      withScratch((headWidth + 2) * n, of: Double.self) { scratch in
        x[0].withPointer { q in
          x[1].withPointer { k in
            x[2].withPointer { v in
              mask.withUnsafeBufferPointer { mask in
                for r in 0..<batch {
                  for h in 0..<heads {
                    let column = h * headWidth
                    let out = z + r * size + column
                    let run = { (pattern: UnsafeMutablePointer<Double>?) in
                      ck_attention(
                        Int64(n), Int64(n), Int64(headWidth), q + offset(x[0], r) + column, Int64(width),
                        k + offset(x[1], r) + column, Int64(width), v + offset(x[2], r) + column,
                        Int64(width),
                        scale, Int64(reach), 0, mask.isEmpty ? nil : mask.baseAddress, scratch, out,
                        Int64(width), pattern)
                    }
                    if patterns == nil {
                      run(nil)
                    } else {
                      patterns?.withMutablePointer { run($0 + (r * heads + h) * n * n) }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    return (z, patterns)
  }

  /// z for given patterns `[B, heads, positions, positions]` and values `[B, positions, width]`.
  public func apply(patterns: Tensor<Double>, to v: Tensor<Double>) -> Tensor<Double> {
    let n = positions
    let size = n * width
    return Tensor(writing: v.shape) { z in
      patterns.withPointer { a in
        v.withPointer { v0 in
          for r in 0..<v.batch {
            for h in 0..<heads {
              let at = r * size + h * headWidth
              ck_attend(
                Int64(n), Int64(n), Int64(headWidth), a + (r * heads + h) * n * n, Int64(n), v0 + at,
                Int64(width),
                Int64(reach), z + at, Int64(width))
            }
          }
        }
      }
    }
  }

  /// Gradients: with A the pattern and y the covector, dV = A'y, dA = yV', dS = A (dA - sum A dA), dQ = dS K, dK = dS'Q.
  public func adjoint(_ y: Tensor<Double>, inputs x: [Tensor<Double>]) -> [Tensor<Double>]? {
    let rows = y.batch
    let n = positions
    let d = headWidth
    let size = n * width
    guard let patterns = values(x, patterns: true).patterns else { return nil }
    let (_, _, ratio) = batchRatio(rows, patterns.batch)
    func offset(_ tensor: Tensor<Double>, _ r: Int) -> Int { tensor.batch == 1 ? 0 : r / ratio * size }
    var result = x.map { _ in Tensor<Double>.zeros([rows, n, width]) }
    var slope = [Double](repeating: 0, count: n)
    for r in 0..<rows {
      for h in 0..<heads {
        let column = h * d
        let (oq, ok, ov) = (offset(x[0], r) + column, offset(x[1], r) + column, offset(x[2], r) + column)
        let out = r * size + column
        let base = (r / ratio * heads + h) * n * n
        for i in 0..<n {
          let seen = isCausal ? i + 1 : n
          var mean = 0.0
          for j in 0..<seen {
            let a = patterns.elements[base + i * n + j]
            var sum = 0.0
            for c in 0..<d {
              let flow = y.elements[out + i * width + c]
              sum += flow * x[2].elements[ov + j * width + c]
              result[2].elements[out + j * width + c] += a * flow
            }
            slope[j] = sum
            mean += a * sum
          }
          for j in 0..<seen {
            let s = patterns.elements[base + i * n + j] * (slope[j] - mean) * scale
            if s == 0 { continue }
            for c in 0..<d {
              result[0].elements[out + i * width + c] += s * x[1].elements[ok + j * width + c]
              result[1].elements[out + j * width + c] += s * x[0].elements[oq + i * width + c]
            }
          }
        }
      }
    }
    return result
  }

}
