import Foundation
import IR
import Operators
import Rigor
import Tensors
import Testing

/// Enclosures and lines of composites against values to 40 digits, compared as exact rationals: the account of rounding
/// leaves no tolerance.
@Suite struct CompositeReferenceTests {
  struct Row {
    var kind: String
    var lower: [Double] = []
    var upper: [Double] = []
    var argument: [Double] = []
    var value: [Rational] = []
  }
  struct Malformed: Error {}

  static func rows() throws -> [Row] {
    guard
      let url = Bundle.module.url(forResource: "composites", withExtension: "csv", subdirectory: "Fixtures")
    else { throw Malformed() }
    return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map { line in
      let columns = line.split(separator: ",")
      var row = Row(kind: String(columns[0]))
      for column in columns.dropFirst(2) {
        let parts = column.split(separator: ":").map(String.init)
        guard parts.count == 4, let l = Double(parts[0]), let u = Double(parts[1]), let x = Double(parts[2]),
          let y = Rational(parts[3])
        else { throw Malformed() }
        row.lower.append(l)
        row.upper.append(u)
        row.argument.append(x)
        row.value.append(y)
      }
      return row
    }
  }

  @Test(arguments: ["Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization"])
  func exactly(_ kind: String) throws {
    let tableError = Rational(1e-39)
    for row in try Self.rows() where row.kind == kind {
      let n = row.lower.count
      let composite: any RelaxedComposite
      switch kind {
      case "Softmax": composite = try Softmax([n], axis: 0)
      case "LogSoftmax": composite = try LogSoftmax([n], axis: 0)
      case "LayerNormalization": composite = try Normalization.layer([n])
      default: composite = try Normalization.rootMeanSquare([n])
      }
      let lower = Tensor([n], row.lower)
      let upper = Tensor([n], row.upper)
      let range = composite.enclose(lower: [lower], upper: [upper])
      for k in 0..<n {
        let slack = tableError * row.value[k].magnitude
        if range.lower[flat: k].isFinite {
          #expect(Rational(range.lower[flat: k]) <= row.value[k] + slack, "\(kind) \(row.lower)")
        }
        if range.upper[flat: k].isFinite {
          #expect(Rational(range.upper[flat: k]) >= row.value[k] - slack, "\(kind) \(row.lower)")
        }
      }
      guard let group = composite.relax(lower: [lower], upper: [upper])?.groups.first else { continue }
      for k in 0..<n {
        let slack = tableError * row.value[k].magnitude
        func line(_ slopes: LineCoefficients, _ intercept: Double) -> Rational {
          var sum = Rational(intercept)
          for i in 0..<n { sum.addProduct(slopes.exact(k, i), Rational(row.argument[i])) }
          return sum
        }
        if group.belowIntercept[k].isFinite {
          #expect(line(group.below, group.belowIntercept[k]) <= row.value[k] + slack, "\(kind) \(row.lower)")
        }
        if group.aboveIntercept[k].isFinite {
          #expect(line(group.above, group.aboveIntercept[k]) >= row.value[k] - slack, "\(kind) \(row.lower)")
        }
      }
    }
  }
}

extension LineCoefficients {
  /// An element as the exact number it stands for.
  fileprivate func exact(_ row: Int, _ column: Int) -> Rational {
    guard case .outer(let scale, let vector, let diagonal) = self else { return Rational(self[row, column]) }
    var element = row == column ? Rational(diagonal[row]) : Rational(0)
    element.addProduct(Rational(scale[row]), Rational(vector[column]))
    return element
  }
}
