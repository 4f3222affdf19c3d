import IR
import Tensors

/// x / y with broadcasting, as one division where values are computed and as a product with the reciprocal where a
/// kind is needed.
public struct Quotient: Composite {
  public let inputShapes: [Shape]
  public let outputShape: Shape
  public let expansion: Graph
  private let left: [Int32]
  private let right: [Int32]

  /// - Throws: `GraphError` if the shapes do not broadcast.
  public init(_ a: Shape, _ b: Shape) throws {
    guard let form = Multiply(a, b) else {
      throw GraphError(node: "Div", reason: "shapes \(a) and \(b) do not broadcast")
    }
    inputShapes = [a, b]
    outputShape = form.outputShape
    left = a.broadcastIndices(to: outputShape)
    right = b.broadcastIndices(to: outputShape)
    var builder = GraphBuilder(origin: "Div", scope: "quotient/")
    let x = builder.input("x", a)
    let y = builder.input("y", b)
    let inverse = builder.elementwise(Reciprocal(), y)
    builder.output(try builder.product(form, x, inverse))
    expansion = builder.build()
  }

  public var name: String { "Div" }

  public func evaluate<T: Real>(_ x: [Tensor<T>]) -> Tensor<T>? {
    let (batch, da, db) = batchRatio(x[0].batch, x[1].batch)
    let n = outputShape.count
    let (sizeA, sizeB) = (inputShapes[0].count, inputShapes[1].count)
    return Tensor(writing: [batch] + outputShape) { z in
      x[0].withPointer { a in
        x[1].withPointer { b in
          for r in 0..<batch {
            let (rowA, rowB) = (a + r / da * sizeA, b + r / db * sizeB)
            for i in 0..<n { z[r * n + i] = rowA[Int(left[i])] / rowB[Int(right[i])] }
          }
        }
      }
    }
  }
}
