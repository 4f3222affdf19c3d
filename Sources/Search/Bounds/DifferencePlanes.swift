import Operators
import Rigor
import Tensors

/// The planes below and above one difference node (`SplitContext.DifferenceNode`) for every subproblem.
struct DifferencePlanes: Sendable {
  let count: Int
  /// `owners * count`.
  private(set) var below: [DifferencePlane]
  private(set) var above: [DifferencePlane]
  /// Cost of rounding per unit of coefficient.
  private var charge: [Double]

  init(owners: Int, count: Int) {
    self.count = count
    let zero = DifferencePlane(value: 0, difference: 0, intercept: 0)
    below = Array(repeating: zero, count: owners * count)
    above = below
    charge = Array(repeating: 0, count: owners * count)
  }

  /// Sets the exact plane where both runs of a ReLU are on known sides.
  @inline(__always)
  mutating func set(_ place: Int, first: NeuronState, second: NeuronState) {
    let s: Double = first == .active ? 1 : 0
    let t: Double = second == .active ? 1 : 0
    let plane = DifferencePlane(value: t - s, difference: t, intercept: 0)
    below[place] = plane
    above[place] = plane
  }

  mutating func set(_ place: Int, _ box: DifferenceBox, _ relaxation: DifferenceRelaxation) {
    let (low, high) = relaxation.lines(box)
    below[place] = low
    above[place] = high
    // Each product of a coefficient with a slope rounds once, the intercepts join a sum over all neurons.
    let z = max(abs(box.lower), abs(box.upper)) * max(abs(low.value), abs(high.value))
    let d = max(abs(box.least), abs(box.most)) * max(abs(low.difference), abs(high.difference))
    charge[place] =
      2 * Rounding.unit * (z + d) + Rounding.gamma(count + 3) * max(abs(low.intercept), abs(high.intercept))
  }

  /// Covectors on the node to covectors on value and difference of its argument, for lower bounds.
  func pull(
    _ c: Tensor<Double>, groups: RowGroups, constant: inout [Double], slack: inout [Double]
  ) -> (value: Tensor<Double>, difference: Tensor<Double>) {
    let n = count
    var values = Tensor<Double>.zeros(c.shape)
    var differences = values
    values.withMutablePointer { v in
      differences.withMutablePointer { d in
        c.withPointer { a in
          for group in groups.groups {
            let o = group.owner * n
            for r in group.first..<(group.first + group.count) {
              var sum = 0.0
              var cost = 0.0
              for j in 0..<n {
                let x = a[r * n + j]
                if x == 0 { continue }
                let plane = x > 0 ? below[o + j] : above[o + j]
                v[r * n + j] = x * plane.value
                d[r * n + j] = x * plane.difference
                sum += x * plane.intercept
                cost += abs(x) * charge[o + j]
              }
              constant[r] += sum
              slack[r] += cost
            }
          }
        }
      }
    }
    return (values, differences)
  }
}
