import Bounds
import Inputs
import Tensors

/// What `bounds` bounds instead of the outputs: linear functions of the first one.
struct BoundsTarget {
  var rows: OutputRows
  /// One per row, for people.
  var labels: [String]
  /// A bound of what each coefficient differs from the number that was written; nil if it does not.
  var coefficientErrors: Tensor<Double>?

  static func margins(label: Int, count: Int) -> BoundsTarget {
    let others = (0..<count).filter { $0 != label }
    return BoundsTarget(
      rows: .margins(label: label, count: count), labels: others.map { "\(label) minus \($0)" })
  }

  static func rows(_ document: RowsDocument, columns: Int) throws -> BoundsTarget {
    let tensor = try document.tensor(columns: columns)
    var target = BoundsTarget(
      rows: OutputRows(rows: tensor), labels: (0..<tensor.shape[0]).map { "row \($0)" })
    if !document.rows.isExact {
      // The gap between the doubles around a number is at least twice the distance to the nearest.
      let gaps = zip(document.rows.lower, document.rows.upper).map { $1 - $0 }
      target.coefficientErrors = Tensor(tensor.shape, gaps)
    }
    return target
  }
}
