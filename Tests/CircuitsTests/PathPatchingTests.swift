import Circuits
import Foundation
import Operators
import Tensors
import TestSupport
import Testing

/// Path patching into one head, and the kernels of the activations.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment))) struct PathPatchingTests {
  /// Computed by a separate numpy implementation: the sender at its baseline, all other heads frozen, the receiver's
  /// inputs recomputed, then a free run with the receiver's new result. Senders 0.2.1, 0.14.3, 1.9.0, 0.4.3.
  static let receiver: [(inputs: Set<Ablator.HeadInput>, values: [Double])] = [
    (
      [.q, .k, .v],
      [0.3061896632620087, -0.006594683515283251, 1.3744707949570056e-06, -0.0030976949723484637]
    ),
    ([.q], [0, -0.0044105387901431925, 0, 0]),
    ([.k], [0.10857368861829286, -0.00195641640068267, 1.5643681194887904e-07, 0.006660491249091294]),
    ([.v], [0.1927025446015591, -4.714489921653353e-05, 1.229667518032329e-06, -0.006947075211392928]),
  ]

  @Test func intoOneHead() throws {
    let task = try CircuitReferenceTests.groups[4].task()
    let senders = [
      CircuitUnit(layer: 0, position: 2, head: 1), CircuitUnit(layer: 0, position: 14, head: 3),
      CircuitUnit(layer: 1, position: 9, head: 0), CircuitUnit(layer: 0, position: 4, head: 3),
    ]
    let head = CircuitUnit(layer: 2, position: 14, head: 2)
    for (inputs, values) in Self.receiver {
      let scores = try task.ablator().pathImportance(senders, to: head, inputs: inputs)
      for (x, y) in zip(scores, values) { #expect(abs(x - y) < 1e-12, "\(inputs)") }
    }
    let last = try task.ablator().pathImportance([head], to: CircuitUnit(layer: 3, position: 14, head: 0))
    #expect(abs(last[0] - 0.8755448202042242) < 1e-12)
    // Heads of the same or a later layer send nothing.
    let late = try task.ablator().pathImportance([CircuitUnit(layer: 2, position: 3, head: 0)], to: head)
    #expect(late == [0])
  }

  /// Elements are computed several at a time; where one stands must not matter.
  @Test func geluKernel() {
    let points = (0...4000).map { Double($0) * 0.01 - 20 } + [0, -0.0, 30, -30, -1e300, 1e300]
    let f = GeluTanh()
    let fast = f.apply(Tensor([points.count], points)).elements
    for (x, y) in zip(points, fast) {
      let true0 = f.value(x)
      #expect(abs(y - true0) <= 1e-13 * (1 + min(x * x, 2000)) * abs(true0) + 1e-300, "\(x)")
      #expect(f.apply(Tensor([1], [x])).elements[0] == y)
    }
    #expect(f.apply(Tensor([2], [-.infinity, .infinity])).elements == [0, .infinity])
    #expect(f.apply(Tensor([1], [Double.nan])).elements[0].isNaN)
  }
}
