import IR
import Tensors

// What rounding cannot touch, in any arithmetic: sums and products of zeros, and integers.
extension IntervalDomain {
  /// An affine node's bounds, exact where every term is exactly 0 and where the value is an integer.
  func exactWhereKnown(_ y: Interval, _ map: Affine, _ x: [Interval], at node: Node) -> Interval {
    var y = y
    let outputs = node.shape.count
    let maps = zip(map.maps, x)
    // A deployed run rounds the bias to its own type.
    if arithmetic == .real || map.bias == nil, x.allSatisfy(\.isZero),
      (y.lower.elements + y.upper.elements).allSatisfy(\.isFinite)
    {
      var point = Tensor<Double>.zeros(y.shape)
      if let bias = map.bias { point.addToEveryExample(bias.values) }
      return Interval(point: point)
    }
    // A few terms each: only elements that have next to no width are looked at.
    if map.roundings <= 8, outputs > 0 {
      for i in 0..<y.lower.count where Self.isNothing(y.lower[flat: i], y.upper[flat: i]) {
        let (example, o) = (i / outputs, i % outputs)
        if let bias = map.bias, bias.values[flat: o] != 0 { continue }
        let isZero = maps.allSatisfy { linear, value in
          let start = (value.batch == 1 ? 0 : example) * linear.inputShape.count
          return linear.row(o).allSatisfy { $0.coefficient == 0 || value.isZero(at: start + $0.index) }
        }
        if isZero {
          y.lower[flat: i] = 0
          y.upper[flat: i] = 0
        }
      }
    }
    return integers(y, at: node)
  }

  /// The bounds of an elementwise product, exact where a factor is exactly 0 and the other one finite.
  func exactWhereKnown(
    _ y: Interval, _ form: any BilinearForm, _ a: Interval, _ b: Interval, at node: Node
  ) -> Interval {
    var y = y
    let outputs = node.shape.count
    if form.fanIn <= 1, a.batch == b.batch, outputs > 0 {
      for i in 0..<y.lower.count where Self.isNothing(y.lower[flat: i], y.upper[flat: i]) {
        let example = i / outputs
        let isZero = form.terms(i % outputs).allSatisfy { term in
          let left = example * form.leftShape.count + term.left
          let right = example * form.rightShape.count + term.right
          return (a.isZero(at: left) && b.isFinite(at: right))
            || (b.isZero(at: right) && a.isFinite(at: left))
        }
        if isZero {
          y.lower[flat: i] = 0
          y.upper[flat: i] = 0
        }
      }
    }
    return integers(y, at: node)
  }

  /// A node of integer type has integer values: its bounds are rounded inward.
  func integers(_ y: Interval, at node: Node) -> Interval {
    guard node.elementType.integerRange != nil else { return y }
    var y = y
    for i in 0..<y.lower.count {
      let (low, high) = (y.lower[flat: i].rounded(.up), y.upper[flat: i].rounded(.down))
      // Without an integer between the bounds they speak of something else, and stay.
      if low <= high {
        y.lower[flat: i] = low
        y.upper[flat: i] = high
      }
    }
    return y
  }

  /// What the account of underflow makes of an exact 0.
  private static func isNothing(_ lower: Double, _ upper: Double) -> Bool {
    lower < 0 && upper > 0 && upper - lower < 0x1p-900
  }
}

extension Interval {
  /// Whether every element is exactly 0.
  var isZero: Bool { lower.elements.allSatisfy { $0 == 0 } && upper.elements.allSatisfy { $0 == 0 } }

  func isZero(at place: Int) -> Bool { lower[flat: place] == 0 && upper[flat: place] == 0 }

  func isFinite(at place: Int) -> Bool { lower[flat: place].isFinite && upper[flat: place].isFinite }
}
