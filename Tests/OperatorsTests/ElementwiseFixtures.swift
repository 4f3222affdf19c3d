import Foundation
import IR
import Operators
import Rigor

/// The functions under test by the names that the table of reference values uses.
let tabulated: [(name: String, function: any ElementwiseFunction)] = [
  ("Sigmoid", Sigmoid()), ("Tanh", Tanh()), ("Atan", Atan()), ("Softsign", Softsign()), ("Erf", Erf()),
  ("Exp", Exp()), ("Log", Log()), ("Sqrt", Sqrt()), ("Reciprocal+", Reciprocal()),
  ("Reciprocal-", Reciprocal()),
  ("Softplus", Softplus()), ("Pow3", Pow(3)), ("Pow4", Pow(4)), ("Pow1.7", Pow(1.7)), ("Pow0.3", Pow(0.3)),
  ("Pow-2", Pow(-2)), ("Pow-3", Pow(-3)), ("Pow-0.5", Pow(-0.5)), ("Square", Square()), ("Gelu", Gelu()),
  ("GeluTanh", GeluTanh()), ("Silu", Silu()), ("Swish1.5", Silu(alpha: 1.5)),
  ("Swish-0.7", Silu(alpha: -0.7)),
  ("Mish", Mish()), ("HardSwish", HardSwish()), ("Elu", Elu.elu()), ("Elu2", Elu.elu(alpha: 2)),
  ("Celu0.3", Elu.celu(alpha: 0.3)), ("Selu", Elu.selu()), ("Sin", Sin()), ("Cos", Cos()), ("Tan", Tan()),
  ("Asin", Asin()), ("Acos", Acos()), ("Sinh", Sinh()), ("Cosh", Cosh()), ("Asinh", Asinh()),
  ("Acosh", Acosh()),
  ("Atanh", Atanh()), ("HardSigmoid", HardSigmoid()),
]

/// Functions made of straight pieces, which sampling and exact arithmetic check.
let straight: [(name: String, function: any ElementwiseFunction)] = [
  ("Abs", Abs()), ("Clip", Clip(-1, 1)), ("Clip above", Clip(-.infinity, 0.5)),
  ("Clip below", Clip(0, .infinity)),
  ("Clip constant", Clip(2, 2)), ("Identity", Identity()), ("ThresholdedRelu", ThresholdedRelu(alpha: 1)),
  ("Shrink", Shrink(lambda: 0.5, bias: 0.25)), ("Sign", Sign()), ("NonZero", NonZero()), ("IsNaN", IsNaN()),
  ("IsInf", IsInf()), ("Floor", Floor()), ("Ceil", Ceil()), ("Round", Round()), ("Truncate", Truncate()),
  ("Relu", Relu()), ("LeakyRelu", Relu(negativeSlope: 0.1)),
]

struct TablePoint {
  var x: Double
  /// The value to 40 digits.
  var value: Rational
}

/// Reference values by function, computed to 40 digits by make_elementwise_table.py.
func referenceTable() throws -> [String: [TablePoint]] {
  struct Missing: Error {}
  guard
    let url = Bundle.module.url(forResource: "elementwise", withExtension: "csv", subdirectory: "Fixtures")
  else { throw Missing() }
  var table: [String: [TablePoint]] = [:]
  for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n") {
    let columns = line.split(separator: ",").map(String.init)
    guard columns.count == 3, let x = Double(columns[1]), let value = Rational(columns[2]) else {
      throw Missing()
    }
    table[columns[0], default: []].append(TablePoint(x: x, value: value))
  }
  return table
}

/// A small reproducible generator (SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
