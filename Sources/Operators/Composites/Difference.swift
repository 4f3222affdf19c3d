import IR
import Tensors

/// f(z + d) - f(z): how far two runs of an elementwise function are apart whose arguments are z and z + d.
///
/// The node that relates two nearly equal networks (see ``Twin``): bounding each run and subtracting loses that they see the same
/// input, this relaxation keeps it. Inputs: z, d; both of the function's shape.
public struct Difference: RelaxedComposite {
  public let function: any ElementwiseFunction
  public let outputShape: Shape
  public let inputShapes: [Shape]
  public let expansion: Graph
  private let relaxation: DifferenceRelaxation

  /// nil if nothing is known of the function that would relate its two runs: it is neither piecewise linear nor has it bounds
  /// of its derivative.
  public init?(_ function: any ElementwiseFunction, shape: Shape) {
    guard let relaxation = DifferenceRelaxation(function) else { return nil }
    self.relaxation = relaxation
    self.function = function
    outputShape = shape
    inputShapes = [shape, shape]
    guard let graph = try? Self.expansion(function, shape) else { return nil }
    expansion = graph
  }

  private static func expansion(_ f: any ElementwiseFunction, _ shape: Shape) throws -> Graph {
    var builder = GraphBuilder(origin: "Difference", scope: "difference/")
    let z = builder.input("z", shape)
    let d = builder.input("d", shape)
    let copy = Reshape(shape, to: shape)
    let sum = try builder.affine([(z, copy), (d, copy)])
    let second = builder.elementwise(f, sum)
    let first = builder.elementwise(f, z)
    builder.output(try builder.affine([(second, copy), (first, Diagonal.negation(shape))]))
    return builder.build()
  }

  public var name: String { "Difference of \(function.name)" }
  public var offersLines: Bool { true }

  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var low = Tensor<Double>.zeros(outputShape)
    var high = low
    for j in 0..<outputShape.count {
      let range = relaxation.range(
        DifferenceBox(
          lower[0][flat: j], upper[0][flat: j], by: lower[1][flat: j], upper[1][flat: j]))
      low[flat: j] = range.lower
      high[flat: j] = range.upper
    }
    return (low, high)
  }

  public func relax(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> CompositeRelaxation? {
    let n = outputShape.count
    guard
      zip(lower, upper).allSatisfy({ l, u in
        zip(l.elements, u.elements).allSatisfy { $0.isFinite && $1.isFinite }
      })
    else { return nil }
    return CompositeRelaxation(
      groups: (0..<n).map { j in
        let lines = relaxation.lines(
          DifferenceBox(
            lower[0][flat: j], upper[0][flat: j], by: lower[1][flat: j], upper[1][flat: j]))
        return .init(
          outputs: [Int32(j)], inputs: [Int32(j), Int32(n + j)],
          below: .dense([lines.below.value, lines.below.difference], columns: 2),
          above: .dense([lines.above.value, lines.above.difference], columns: 2),
          belowIntercept: [lines.below.intercept], aboveIntercept: [lines.above.intercept])
      })
  }
}
