import Domains
import FileFormats
import IR
import Rigor
import Specifications
import Tensors

/// The norm of a perturbation.
public enum PerturbationNorm: String, Sendable, Hashable, CaseIterable {
  case linf = "inf"
  case l2 = "2"
  case l1 = "1"
}

/// A region of inputs as a user describes it, with the point that stands for it.
///
/// The region contains every point of what was written, decimals taken as the numbers they are.
public struct PerturbedRegion: Sendable {
  public var region: Region
  /// The centre: the given point, or the midpoint of a box. `[1] + shape` each.
  public var center: [Tensor<Double>]

  /// All points whose perturbed inputs lie within `radius` of the given values, each in the norm of its own elements.
  ///
  /// - Parameters:
  ///   - perturbed: names of the inputs that change; by default every floating-point input. The others keep the double
  ///     nearest to their value.
  /// - Throws: `GraphError` for a name that is no floating-point input, a radius that is negative or not finite, or a
  ///   network without an input to perturb.
  public init(
    around inputs: NetworkInputs, radius: DecimalNumber, norm: PerturbationNorm, perturbed: [String]? = nil,
    in graph: Graph
  ) throws {
    guard radius.lower >= 0, radius.upper.isFinite else {
      throw GraphError(node: "inputs", reason: "the radius must be at least 0 and finite")
    }
    let floating = graph.inputNodes.filter(\.elementType.isFloatingPoint).map(\.name)
    for name in perturbed ?? [] where !floating.contains(name) {
      let isInput = graph.inputNodes.contains { $0.name == name }
      throw GraphError(
        node: name,
        reason: (isInput
          ? "holds integers, which no radius perturbs (--box FILE gives their ranges)"
          : "is no input of the network")
          + "; inputs that can be: \(floating.isEmpty ? "none" : floating.joined(separator: ", "))")
    }
    let names = Set(perturbed ?? floating)
    guard !names.isEmpty else {
      throw GraphError(
        node: "inputs",
        reason:
          "the network has no floating-point input to perturb; give the ranges of its integers with --box FILE"
      )
    }
    center = inputs.nearest(for: graph)
    var sets: [InputSet] = []
    for ((node, values), center) in zip(zip(graph.inputNodes, inputs.values), center) {
      if radius.upper == 0 || !names.contains(node.name) {
        sets.append(.fixed(center))
      } else {
        sets.append(values.ball(node.shape, radius: radius.upper, norm: norm))
      }
    }
    region = Region(sets)
  }

  /// The box of a document.
  ///
  /// An input whose lower bounds all equal its upper bounds is fixed at the double nearest to them.
  /// - Throws: `FileError` for inputs that are missing or do not fit.
  public init(_ document: BoxDocument, for graph: Graph) throws {
    let found = try document.boxes.ordered(by: graph.inputNodes.map(\.name), file: document.file)
    var sets: [InputSet] = []
    for (node, box) in zip(graph.inputNodes, found) {
      guard let box else {
        throw FileError(file: document.file, reason: "input '\(node.name)' is missing")
      }
      let lower = try box.lower.fitted(to: node, file: document.file)
      let upper = try box.upper.fitted(to: node, file: document.file)
      let shape = [1] + node.shape
      if lower.nearest == upper.nearest, lower.lower == upper.lower {
        sets.append(.fixed(Tensor(shape, lower.nearest)))
      } else {
        sets.append(.box(lower: Tensor(shape, lower.lower), upper: Tensor(shape, upper.upper)))
      }
    }
    region = Region(sets)
    center = region.center
  }
}

extension BoxDocument {
  /// The box by input, row-major, never larger than what was written: decimals that are no doubles are rounded inward.
  ///
  /// - Throws: `FileError` for inputs that are missing or do not fit.
  public func innerBounds(_ nodes: [Node]) throws -> [[VariableBounds]] {
    let found = try boxes.ordered(by: nodes.map(\.name), file: file)
    return try zip(nodes, found).map { node, box in
      guard let box else { throw FileError(file: file, reason: "input '\(node.name)' is missing") }
      let lower = try box.lower.fitted(to: node, file: file)
      let upper = try box.upper.fitted(to: node, file: file)
      return (0..<node.shape.count).map {
        VariableBounds(lower: Rational(lower.upper[$0]), upper: Rational(upper.lower[$0]))
      }
    }
  }
}

extension DecimalTensor {
  /// A set that contains every x with ||x - c|| <= radius, c being the written numbers.
  fileprivate func ball(_ shape: Shape, radius: Double, norm: PerturbationNorm) -> InputSet {
    let full = [1] + shape
    switch norm {
    case .linf:
      var low = lower
      var high = upper
      for i in 0..<count {
        low[i] = sumRoundedDown(lower[i], -radius)
        high[i] = -sumRoundedDown(-upper[i], -radius)
      }
      return .box(lower: Tensor(full, low), upper: Tensor(full, high))
    case .l2, .l1:
      // The double nearest to c is off by at most half the gap between the doubles around c. The sum of the gaps, which
      // bounds both norms of the vector of offsets twice over, absorbs the rounding of the sum.
      var gaps = 0.0
      for i in 0..<count { gaps += upper[i] - lower[i] }
      let grown = gaps == 0 ? radius : -sumRoundedDown(-radius, -gaps)
      return .ball(center: Tensor(full, nearest), radius: grown, norm: norm == .l2 ? .l2 : .l1)
    }
  }
}

/// The greatest double not above a + b.
///
/// Knuth's two-sum gives the rounding error of a + b exactly (round to nearest, no overflow), and its sign tells on
/// which side of the sum the rounded value lies. An overflow gives an infinity, which validation refuses.
func sumRoundedDown(_ a: Double, _ b: Double) -> Double {
  let sum = a + b
  guard sum.isFinite else { return sum }
  let part = sum - a
  let error = (a - (sum - part)) + (b - part)
  return error < 0 ? sum.nextDown : sum
}
