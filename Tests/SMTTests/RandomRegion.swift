import Rigor
import SMT
import TestSupport

/// Small random networks in the `.nnet` format, whose weights are short dyadic numbers, with their exact values.
struct RandomRegion {
  /// Rows of weights and biases, layer by layer; all but the last are followed by ReLUs.
  private(set) var layers: [(weights: [[Rational]], bias: [Rational])] = []
  private(set) var lower: [Rational] = []
  private(set) var upper: [Rational] = []
  var inputs: Int { lower.count }
  var outputs: Int { layers[layers.count - 1].bias.count }

  init(_ random: inout UnitGenerator) {
    let sizes =
      [1 + random.below(3)] + (0...random.below(2)).map { _ in 1 + random.below(5) } + [1 + random.below(2)]
    // Powers of two apart: rounding relative to the largest weight then shows.
    let spread = [0, 0, 0, 20].randomElement(&random)
    func number(_ random: inout UnitGenerator) -> Rational {
      let exponent = spread == 0 ? 0 : random.below(2 * spread) - spread
      return Rational(random.below(33) - 16, timesTwoTo: exponent - 3)
    }
    for (from, to) in zip(sizes, sizes.dropFirst()) {
      let weights = (0..<to).map { _ in (0..<from).map { _ in number(&random) } }
      layers.append((weights, (0..<to).map { _ in number(&random) }))
    }
    for _ in 0..<sizes[0] {
      let low = Rational(random.below(41) - 20, 7)
      lower.append(low)
      upper.append(low + [Rational(0), 1, Rational(1, 3), Rational(5, 2)].randomElement(&random))
    }
  }

  var networkText: String {
    let sizes = [inputs] + layers.map(\.bias.count)
    func line(_ values: [Rational]) -> String { values.map { ($0.decimalText ?? "0") + "," }.joined() }
    let zeros = [Rational](repeating: 0, count: inputs + 1)
    let ones = [Rational](repeating: 1, count: inputs + 1)
    var lines = [
      "\(layers.count),\(inputs),\(outputs),\(sizes.max() ?? 1),", sizes.map { "\($0)," }.joined(), "0,",
      line(zeros.dropLast()), line(ones.dropLast()), line(zeros), line(ones),
    ]
    for layer in layers {
      lines += layer.weights.map(line)
      lines += layer.bias.map { line([$0]) }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  func value(at x: [Rational]) -> [Rational] {
    var values = x
    for (index, layer) in layers.enumerated() {
      values = zip(layer.weights, layer.bias).map { row, bias in
        let sum = zip(row, values).reduce(bias) { $0 + $1.0 * $1.1 }
        return index < layers.count - 1 ? max(sum, 0) : sum
      }
    }
    return values
  }

  /// The least value of output 0 on a grid of the region, and a point that has it.
  var leastSample: (value: Rational, point: [Rational]) {
    var best: (value: Rational, point: [Rational])?
    var count = 1
    for _ in 0..<inputs { count *= 5 }
    for index in 0..<count {
      var rest = index
      let point = (0..<inputs).map { i -> Rational in
        defer { rest /= 5 }
        return lower[i] + (upper[i] - lower[i]) * Rational(rest % 5, 4)
      }
      let value = value(at: point)[0]
      if best.map({ value < $0.value }) ?? true { best = (value, point) }
    }
    return best ?? (0, lower)
  }

  /// A record that asks whether `coefficient * output 0 <= bound` is reached.
  func recordText(_ name: String, network: String, coefficient: Rational = 1, bound: Rational) -> String {
    func list(_ values: [Rational]) -> String { values.map { "\"\($0)\"" }.joined(separator: ",") }
    return """
      {"id":"\(name)","network":"\(network)","region":{"lower":[\(list(lower))],"upper":[\(list(upper))]},\
      "violation":[[{"coeffs":{"0":"\(coefficient)"},"op":"<=","rhs":"\(coefficient * bound)"}]]}
      """
  }
}

extension UnitGenerator {
  mutating func below(_ count: Int) -> Int { Int(unit() * Double(count)) }
}

extension Array {
  func randomElement(_ random: inout UnitGenerator) -> Element { self[random.below(count)] }
}
