import IR
import Tensors

extension Normalization {
  /// Bounds that treat numerator and denominator together, see `BlockEnclosure`.
  public func enclose(lower: [Tensor<Double>], upper: [Tensor<Double>]) -> (
    lower: Tensor<Double>, upper: Tensor<Double>
  ) {
    var (least, greatest) = (lower[0].elements, upper[0].elements)
    if isCentered { (least, greatest) = BlockEnclosure.centred(least, greatest, length: blockLength) }
    let block = BlockEnclosure(
      length: blockLength, epsilon: epsilon, isCentered: isCentered, least, greatest)
    var low = Tensor<Double>.zeros(shape)
    var high = Tensor<Double>.zeros(shape)
    for i in 0..<shape.count { (low[flat: i], high[flat: i]) = scaled(block.lower[i], block.upper[i], at: i) }
    for number in 0..<(shape.count / blockLength)
    where BlockEnclosure.mayBeNaN(
      length: blockLength, epsilon: epsilon, number, least, greatest, leastSquare: 0)
    {
      for i in (number * blockLength)..<((number + 1) * blockLength) {
        (low[flat: i], high[flat: i]) = (-.infinity, .infinity)
      }
    }
    return (low, high)
  }

  /// scale z + bias: two roundings.
  private func scaled(_ low: Double, _ high: Double, at index: Int) -> (Double, Double) {
    var (a, b) = (low, high)
    if let scale {
      let factor = scale.values[flat: index]
      let (p, q) = (a * factor, b * factor)
      a = min(p, q).nextDown
      b = max(p, q).nextUp
      if factor == 0 { (a, b) = (0, 0) }
    }
    if let bias {
      let offset = bias.values[flat: index]
      a = (a + offset).nextDown
      b = (b + offset).nextUp
    }
    return (a.isNaN ? -.infinity : a, b.isNaN ? .infinity : b)
  }
}
