import IR
import Operators
import Rigor
import Tensors

/// Rows of neighbouring outputs of a convolution see only a box of earlier layers: they are kept and multiplied there.
///
/// Nothing but zeros is left out, so bounds differ from those of whole rows by rounding only, and every charge is taken
/// over the same coefficients.
extension CrownRule {
  /// The matrix rows of some outputs on the box they see; nil where whole rows are as good.
  func boxedRows(of map: any LinearMap, _ units: [Int], shape: Shape) -> Covector? {
    // Recorded arrivals are read as whole rows.
    guard !recording, let windowed = map as? any WindowedMap, let whole = GridWindow(whole: shape),
      let (window, rows) = windowed.windowRows(units), 2 * window.count < whole.count
    else { return nil }
    let all = batch == 1 ? rows : .concatenatingBatches((0..<batch).map { _ in rows })
    return Covector(form: .window(window, lower: all, upper: nil))
  }

  /// An affine node whose rows live on a box of its outputs.
  mutating func affine(
    _ map: Affine, _ window: GridWindow, of whole: GridWindow,
    _ c: (lower: Tensor<Double>, upper: Tensor<Double>?),
    charge costs: Tensor<Double>?, at node: Node
  ) -> [Covector?] {
    charge(c, costs.map { window.crop($0, from: whole) })
    if let bias = map.bias {
      let values = window.crop(bias.values.reshaped([1] + bias.shape), from: whole)
      addConstants(lower: dot(c.lower, values), upper: c.upper.map { dot($0, values) })
    }
    var spread: Covector?
    return zip(map.maps, node.inputs).map { linear, input in
      let forms = [c.lower] + (c.upper.map { [$0] } ?? [])
      if let windowed = linear as? any WindowedMap, GridWindow(whole: graph[input].shape) != nil,
        let (box, rows) = windowed.adjoint(forms, in: window)
      {
        return .window(box, rows[0], rows.count > 1 ? rows[1] : nil, of: graph[input].shape)
      }
      let dense = (spread ?? Covector(form: .window(window, lower: c.lower, upper: c.upper)))
        .dense(node.shape, batch: batch)
      spread = dense.upper.map { .pair(dense.lower, $0) } ?? .same(dense.lower)
      guard let upper = dense.upper else { return .same(linear.adjoint(dense.lower)) }
      return .pair(linear.adjoint(dense.lower), linear.adjoint(upper))
    }
  }

  /// The sum of two forms that both live on boxes; nil if one does not.
  mutating func mergeWindows(_ a: Covector, _ b: Covector, at node: Node) -> Covector? {
    guard case .window(let first, let x, let xUpper) = a.form,
      case .window(let second, let y, let yUpper) = b.form,
      let whole = GridWindow(whole: node.shape)
    else { return nil }
    let box = first.union(second)
    let lower = first.embed(x, into: box) + second.embed(y, into: box)
    var upper: Tensor<Double>?
    if xUpper != nil || yUpper != nil {
      upper = first.embed(xUpper ?? x, into: box) + second.embed(yUpper ?? y, into: box)
    }
    // One rounding of every coefficient, applied to the node's values.
    if let size = intervals[node.id]?.magnitude {
      charge((lower, upper), box.crop(size, from: whole).map { Rounding.unit * $0 })
    }
    return .window(box, lower, upper, of: node.shape)
  }
}

extension Lines {
  /// The lines of a box of a grid.
  func cropped(to window: GridWindow, of whole: GridWindow) -> Lines {
    Lines(
      belowSlope: window.crop(belowSlope, from: whole),
      belowIntercept: window.crop(belowIntercept, from: whole),
      aboveSlope: window.crop(aboveSlope, from: whole),
      aboveIntercept: window.crop(aboveIntercept, from: whole),
      charge: window.crop(charge, from: whole), isFinite: isFinite)
  }
}
