import CKernels
import IR
import Tensors

/// The relaxed network that a backward walk has chosen, run forward at one point per row: each activation is replaced by
/// the line that its coefficient picked (below for positive ones, above for negative ones).
///
/// At the box's minimising corner the argument z of a neuron gives the derivatives of the row's bound: A z in the slope
/// of the line below (A > 0), -s z in the multiplier of a constraint s z >= 0. After Xu et al., "Fast and Complete"
/// (2021), without automatic differentiation.
struct RelaxedForward: Domain {
  let context: SplitContext
  let groups: RowGroups
  let lines: [ActivationLines?]
  let rowSlopes: [[Double]?]
  /// Coefficients on the activations' values, from the backward walk.
  let coefficients: [NodeID: Tensor<Double>]
  /// By activation: the arguments, `rows * count`.
  private(set) var arguments: [Tensor<Double>?]

  init(
    context: SplitContext, groups: RowGroups, lines: [ActivationLines?], rowSlopes: [[Double]?],
    coefficients: [NodeID: Tensor<Double>]
  ) {
    self.context = context
    self.groups = groups
    self.lines = lines
    self.rowSlopes = rowSlopes
    self.coefficients = coefficients
    arguments = Array(repeating: nil, count: context.activations.count)
  }

  func constant(_ weight: Weight, at node: Node) -> Tensor<Double> {
    weight.values.reshaped([1] + weight.shape).repeatedBatch(groups.rows)
  }

  func affine(_ map: Affine, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    var sum = map.maps[0].apply(x[0])
    for (linear, value) in zip(map.maps, x).dropFirst() { sum += linear.apply(value) }
    if let bias = map.bias { sum.addToEveryExample(bias.values) }
    return sum
  }

  mutating func elementwise(_ f: any ElementwiseFunction, _ x: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>
  {
    guard let index = context.activationIndex[node.id] else { return f.apply(x) }
    guard let lines = lines[index], let a = coefficients[node.id] else {
      // No row depends on it: any value will do.
      return x
    }
    arguments[index] = x
    let n = node.shape.count
    return Tensor(writing: x.shape) { y in
      x.withPointer { z in
        a.withPointer { a in
          lines.withPointers(rowSlopes: rowSlopes[index]) { ps, pt, ns, nt in
            let perRow = rowSlopes[index] != nil
            for group in groups.groups {
              let o = group.owner * n
              for r in group.first..<(group.first + group.count) {
                let f = r * n
                let slopes = perRow ? ps + f : ps + o
                for j in 0..<n {
                  let isBelow = a[f + j] >= 0
                  let slope = isBelow ? slopes[j] : ns[o + j]
                  let intercept = isBelow ? pt[o + j] : nt[o + j]
                  y[f + j] = slope * z[f + j] + intercept
                }
              }
            }
          }
        }
      }
    }
  }

  func product(_ form: any BilinearForm, _ a: Tensor<Double>, _ b: Tensor<Double>, at node: Node) throws
    -> Tensor<Double>
  { throw UnsupportedOperator(node, reason: "branching over it is not supported") }

  func selection(_ s: Selection, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    throw UnsupportedOperator(node, reason: "branching over it is not supported")
  }

  func discrete(_ f: any DiscreteFunction, _ x: [Tensor<Double>], at node: Node) throws -> Tensor<Double> {
    throw UnsupportedOperator(node, reason: "branching over it is not supported")
  }
}
