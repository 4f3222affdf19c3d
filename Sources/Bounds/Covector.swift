import Operators
import Tensors

/// Rows of linear forms of one node's value: a lower and an upper form per row.
///
/// Rows are grouped by example: R = B * S rows, S per example of the region's batch. Until the first relaxation both
/// forms are the same and only one is stored; until the first linear map they may be unit vectors, which are not
/// stored at all.
struct Covector {
  enum Form {
    /// Row r of every example picks element `units[r]`.
    case units([Int])
    /// Both forms, `[R] + node shape`.
    case same(Tensor<Double>)
    case pair(lower: Tensor<Double>, upper: Tensor<Double>)
    /// Forms that vanish outside a box of the node's grid, `[R, 1, C] + extent`; without an upper form both are the
    /// same.
    case window(GridWindow, lower: Tensor<Double>, upper: Tensor<Double>?)
  }

  var form: Form

  static func units(_ rows: [Int]) -> Covector { Covector(form: .units(rows)) }
  static func same(_ rows: Tensor<Double>) -> Covector { Covector(form: .same(rows)) }
  static func pair(_ lower: Tensor<Double>, _ upper: Tensor<Double>) -> Covector {
    Covector(form: .pair(lower: lower, upper: upper))
  }

  /// Forms on a box of a node's grid; whole rows where the box is most of it.
  static func window(
    _ window: GridWindow, _ lower: Tensor<Double>, _ upper: Tensor<Double>?, of shape: Shape
  ) -> Covector {
    let boxed = Covector(form: .window(window, lower: lower, upper: upper))
    guard let whole = GridWindow(whole: shape), 4 * window.count > 3 * whole.count else { return boxed }
    let dense = boxed.dense(shape, batch: 1)
    return dense.upper.map { .pair(dense.lower, $0) } ?? .same(dense.lower)
  }

  /// The two forms as dense rows.
  func dense(_ shape: Shape, batch: Int) -> (lower: Tensor<Double>, upper: Tensor<Double>?) {
    switch form {
    case .same(let rows): return (rows, nil)
    case .pair(let lower, let upper): return (lower, upper)
    case .window(let window, let lower, let upper):
      // Only nodes whose shape is a grid get such forms.
      guard let whole = GridWindow(whole: shape) else { return (lower, upper) }
      return (window.embed(lower, into: whole), upper.map { window.embed($0, into: whole) })
    case .units(let units):
      let n = shape.count
      var rows = Tensor<Double>.zeros([batch * units.count] + shape)
      for b in 0..<batch {
        for (r, unit) in units.enumerated() { rows[flat: (b * units.count + r) * n + unit] = 1 }
      }
      return (rows, nil)
    }
  }
}

/// The positive and the negative part of every coefficient.
func signParts(_ a: Tensor<Double>) -> (positive: Tensor<Double>, negative: Tensor<Double>) {
  let count = a.count
  var negative = Tensor<Double>.zeros(a.shape)
  let positive = Tensor<Double>(writing: a.shape) { p in
    negative.withMutablePointer { m in
      a.withPointer { x in
        for i in 0..<count {
          p[i] = x[i] > 0 ? x[i] : 0
          m[i] = x[i] > 0 ? 0 : x[i]
        }
      }
    }
  }
  return (positive, negative)
}
