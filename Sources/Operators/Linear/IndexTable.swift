import CKernels
import Tensors

/// Where each output element comes from: a flat index into the input, or -1 for none.
///
/// Tables with long contiguous stretches are walked run by run, the others element by element.
public struct IndexTable: Sendable {
  public let inputCount: Int
  public let index: [Int32]
  /// Whether every output has a source.
  public let isTotal: Bool
  private let runs: [ck_run]?

  public var outputCount: Int { index.count }

  /// Precondition: indices lie in -1..<inputCount.
  public init(_ index: [Int32], inputCount: Int) {
    self.index = index
    self.inputCount = inputCount
    var runs: [ck_run] = []
    var total = true
    var position = 0
    while position < index.count {
      let source = index[position]
      precondition(source >= -1 && Int(source) < inputCount, "index table out of range")
      if source < 0 {
        total = false
        position += 1
        continue
      }
      var length = 1
      while position + length < index.count, index[position + length] == source + Int32(length) {
        length += 1
      }
      runs.append(ck_run(destination: Int32(position), source: source, length: Int32(length)))
      position += length
    }
    isTotal = total
    let covered = runs.reduce(0) { $0 + Int($1.length) }
    self.runs = covered >= 3 * runs.count ? runs : nil
  }

  /// The largest number of outputs that one input feeds.
  public var multiplicity: Int {
    var counts = [Int32](repeating: 0, count: inputCount)
    for source in index where source >= 0 { counts[Int(source)] += 1 }
    return Int(counts.max() ?? 0)
  }

  /// y[r, o] = x[r, index[o]]; outputs without a source must already hold 0 if `clearing` is false.
  public func gather<T: Real>(
    rows: Int, _ x: UnsafePointer<T>, into y: UnsafeMutablePointer<T>, clearing: Bool = true
  ) {
    guard let runs else {
      index.withUnsafeBufferPointer { table in
        if let base = table.baseAddress {
          T.gather(rows: rows, nin: inputCount, nout: outputCount, index: base, x, into: y)
        }
      }
      return
    }
    if clearing && !isTotal { y.update(repeating: 0, count: rows * outputCount) }
    runs.withUnsafeBufferPointer {
      T.copyRuns(rows: rows, nin: inputCount, nout: outputCount, $0, x, into: y)
    }
  }

  /// x[r, index[o]] += y[r, o].
  public func scatterAdd<T: Real>(rows: Int, _ y: UnsafePointer<T>, into x: UnsafeMutablePointer<T>) {
    if let runs {
      runs.withUnsafeBufferPointer {
        T.addRuns(rows: rows, nin: inputCount, nout: outputCount, $0, y, into: x)
      }
    } else {
      index.withUnsafeBufferPointer { table in
        if let base = table.baseAddress {
          T.scatterAdd(rows: rows, nin: inputCount, nout: outputCount, index: base, y, into: x)
        }
      }
    }
  }

  /// For every input the outputs it feeds.
  public func sources(of output: Int) -> Int? { index[output] < 0 ? nil : Int(index[output]) }
}
