import Domains
import IR
import Tensors

/// Whether the class that the network predicts at one point is the one it predicts on a whole region.
public struct Certification: Sendable {
  /// The element of the first output that is largest at the centre.
  public var label: Int
  /// The other element that may come closest.
  public var runnerUp: Int
  /// A lower bound of the label's value minus the runner-up's: the least over all others. The class is certified if it is
  /// above 0.
  public var margin: Double

  public var isCertified: Bool { margin > 0 }
}

extension Graph {
  /// The label of a classifier's output: the position of the largest value of the first output, if that is one vector
  /// of two or more numbers (extents of 1 aside).
  public func predictedLabel(_ value: Tensor<Double>) -> Int? {
    guard let output = outputs.first, self[output.node].elementType.isFloatingPoint,
      self[output.node].shape.dims.filter({ $0 != 1 }).count == 1, value.count >= 2,
      let best = value.elements.max()
    else { return nil }
    return value.elements.firstIndex(of: best)
  }

  /// The most labels whose margins get walks of their own: these take time quadratic in the number.
  private static var mostLabels: Int { 4096 }

  /// Bounds the margins of `label` over all other elements of the first output, with the method of `options`.
  ///
  /// - Parameter known: bounds of the first output; if they decide, or there are more than 4096 labels, nothing more is
  ///   computed.
  /// - Throws: as ``bounds(over:rows:_:)``.
  public func certification(label: Int, over region: Region, known: Interval? = nil, _ options: BoundOptions)
    throws -> Certification
  {
    let count = self[outputs[0].node].shape.count
    let others = (0..<count).filter { $0 != label }
    if let known {
      // The difference of the bounds, rounded down, is a margin, if not the best.
      let margins = others.map { (known.lower[flat: label] - known.upper[flat: $0]).nextDown }
      if let margin = margins.min(), margin > 0 || count > Self.mostLabels,
        let at = margins.firstIndex(of: margin)
      {
        return Certification(label: label, runnerUp: others[at], margin: margin)
      }
    }
    var options = options
    options.keepsCoefficients = false
    options.boundsEveryNode = false
    let rows = OutputRows.margins(label: label, count: count)
    let lower = try bounds(over: region, rows: rows, options).outputs[0].lower.elements
    // There is at least one other element: count >= 2 by the caller's predicted label.
    let margin = lower.min() ?? -.infinity
    return Certification(label: label, runnerUp: others[lower.firstIndex(of: margin) ?? 0], margin: margin)
  }
}

extension BoundResult {
  /// Widens bounds of rows by what the rows' true coefficients may differ from the doubles that stand for them.
  ///
  /// - Parameter error: `[rows, elements of the output]`, a bound of each coefficient's error with at least a factor of 2 to
  ///   spare: it covers the rounding of the products and sums here.
  public mutating func widen(byCoefficientErrors error: Tensor<Double>, output: Int = 0) {
    guard error.elements.contains(where: { $0 != 0 }) else { return }
    let n = error.shape[1]
    let count = error.shape[0]
    guard let interval = nodes[graph.outputs[output].node] else { return }
    let magnitude = interval.magnitude
    let batch = outputs[0].batch
    for b in 0..<batch {
      let start = magnitude.batch == 1 ? 0 : b * n
      for r in 0..<count {
        var slack = 0.0
        for i in 0..<n where error[flat: r * n + i] != 0 {
          slack += error[flat: r * n + i] * magnitude[flat: start + i]
        }
        guard slack != 0 else { continue }
        let at = b * count + r
        outputs[0].lower[flat: at] = (outputs[0].lower[flat: at] - slack).nextDown
        outputs[0].upper[flat: at] = (outputs[0].upper[flat: at] + slack).nextUp
        for c in coefficients.indices {
          coefficients[c].lowerConstant[flat: at] = (coefficients[c].lowerConstant[flat: at] - slack).nextDown
          coefficients[c].upperConstant[flat: at] = (coefficients[c].upperConstant[flat: at] + slack).nextUp
        }
      }
    }
  }
}
