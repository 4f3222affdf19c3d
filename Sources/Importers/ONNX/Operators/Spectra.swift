import Foundation
import IR
import Operators
import Tensors

// Discrete Fourier transforms as constant matrices; complex numbers are pairs on the last axis.
extension OnnxOperators {
  static let spectra: [String: Lower] = [
    "DFT": { node, l in
      let x = try node.input(0)
      let inverse = try node.bool("inverse", default: false)
      let onesided = try node.bool("onesided", default: false)
      let axis: Int
      if node.version < 20 {
        axis = try l.axis(try node.int("axis", default: 1), x.rank, node)
      } else {
        axis = try l.axis(try node.optional(2).map { try l.int($0, "the axis") } ?? -2, x.rank, node)
      }
      guard x.rank >= 2, axis < x.rank - 1, x.shape[x.rank - 1] <= 2, x.shape[axis] > 0 else {
        throw node.malformed(
          "needs numbers or pairs on the last axis and another axis to transform, not \(x.shape)")
      }
      let natural = inverse && onesided ? 2 * (x.shape[axis] - 1) : x.shape[axis]
      let length = try node.optional(1).map { try l.int($0, "the DFT length") } ?? natural
      guard length > 0, length <= 1 << 12 else {
        throw node.unsupported("DFTs of length \(length) are not supported, up to 4096 are")
      }
      return [try transform(x, axis, length, inverse: inverse, onesided: onesided, l)]
    },
    "STFT": { node, l in
      let signal = try node.input(0)
      // A real signal may come without its last axis.
      let x = signal.rank == 2 ? try l.unsqueeze(signal, axis: 2) : signal
      let step = try l.int(try node.input(1), "the frame step")
      let window = node.optional(2)
      let onesided = try node.bool("onesided", default: true)
      guard x.rank == 3, step > 0 else {
        throw node.malformed("needs `[batch, length]` or `[batch, length, 1 or 2]`, not \(signal.shape)")
      }
      let given = try node.optional(3).map { try l.int($0, "the frame length") }
      let length = given ?? window?.shape.count ?? x.shape[1]
      guard length > 0, length <= x.shape[1], length <= 1 << 12, (window?.shape.count ?? length) == length
      else {
        throw node.malformed("frames of length \(length) do not fit \(x.shape)")
      }
      let frames = 1 + (x.shape[1] - length) / step
      let starts = (0..<frames).map { $0 * step }
      // [batch, frames, length, 1 or 2]
      let cut = try l.take(x, axis: 1, starts.flatMap { start in (0..<length).map { start + $0 } })
      var framed = try l.reshape(cut, [x.shape[0], frames, length, x.shape[2]])
      if let window { framed = try l.mul(framed, try l.reshape(window, [length, 1])) }
      return [try transform(framed, 2, length, inverse: false, onesided: onesided, l)]
    },
  ]

  /// The transform along `axis` with the input cut or padded to `length`; with `onesided` a forward transform keeps
  /// the first half, and an inverse one takes it and gives real numbers.
  private static func transform(
    _ x: Value, _ axis: Int, _ length: Int, inverse: Bool, onesided: Bool, _ l: Lowering
  ) throws -> Value {
    let half = length / 2 + 1
    let used = min(x.shape[axis], inverse && onesided ? half : length)
    let cut = try l.slice(x, axis: axis, 0..<used)
    let real = try l.slice(cut, axis: x.rank - 1, 0..<1)
    let imaginary = x.shape[x.rank - 1] == 2 ? try l.slice(cut, axis: x.rank - 1, 1..<2) : nil
    let outputs = onesided && !inverse ? half : length
    func matrix(_ function: (Int, Int) -> Double, _ sign: Double) -> [[SparseEntry]] {
      (0..<outputs).map { m in
        (0..<used).map { n in
          // A half spectrum stands for its mirror image, too; the ends have none.
          let mirrored = inverse && onesided && n > 0 && (2 * n != length)
          return SparseEntry(n, sign * (mirrored ? 2 : 1) * function(m * n, length))
        }
      }
    }
    let direction = inverse ? 1.0 : -1.0
    func apply(_ part: Value, _ rows: [[SparseEntry]]) throws -> Value {
      // Angle, function and scaling err by less than eight roundings: see `cosine`.
      let sums = try alongAxis(part, axis, rows, roundings: 8, l)
      return inverse ? try l.div(sums, Value(scalar: Double(length), x.type)) : sums
    }
    var re = try apply(real, matrix(cosine, 1))
    if let imaginary { re = try l.sub(re, try apply(imaginary, matrix(sine, direction))) }
    if inverse && onesided { return re }
    var im = try apply(real, matrix(sine, direction))
    if let imaginary { im = try l.add(im, try apply(imaginary, matrix(cosine, 1))) }
    return try l.concat([re, im], axis: x.rank - 1)
  }

  /// cos(2 pi k / n). The angle is brought to at most an eighth of a turn in integers, where the relative error of
  /// the cosine is no larger than the angle's: two roundings, and one of the library.
  private static func cosine(_ k: Int, _ n: Int) -> Double {
    // The angle is pi p / n.
    var p = 2 * (k % n)
    if p > n { p = 2 * n - p }
    if 2 * p > n { return -firstQuarterCosine(n - p, n) }
    return firstQuarterCosine(p, n)
  }

  static func sine(_ k: Int, _ n: Int) -> Double {
    var p = 2 * (k % n)
    let sign: Double = p > n ? -1 : 1
    if p > n { p = 2 * n - p }
    if 2 * p > n { p = n - p }
    // sin(x) = cos(pi / 2 - x)
    return sign * firstQuarterCosine(n - 2 * p, 2 * n)
  }

  /// cos(pi p / n) for 0 <= 2 p <= n.
  private static func firstQuarterCosine(_ p: Int, _ n: Int) -> Double {
    if 2 * p == n { return 0 }
    if 4 * p > n { return sin(.pi * Double(n - 2 * p) / Double(2 * n)) }
    return cos(.pi * Double(p) / Double(n))
  }
}
