import Limits
import Tensors

/// What flows against the edges: gradients and linear bounds are the same walk with different covectors.
///
/// What leaves the flow for good (constants of linear forms, weight gradients) goes into the rule's own state, once.
/// It must not travel inside the covector: at a fan-out it would be counted once per branch.
public protocol AdjointRule {
  associatedtype Covector

  /// Whether the walk ends at this node, which then gets its covector through `leaf`. Inputs and constants always
  /// end it.
  func isLeaf(_ node: Node) -> Bool
  mutating func leaf(_ node: Node, _ c: Covector) throws

  /// The covectors on the inputs of a node, nil for an input that receives none.
  mutating func affine(_ map: Affine, _ c: Covector, at node: Node) throws -> [Covector?]
  mutating func elementwise(_ f: any ElementwiseFunction, _ c: Covector, at node: Node) throws -> Covector?
  mutating func product(_ form: any BilinearForm, _ c: Covector, at node: Node) throws -> [Covector?]
  mutating func selection(_ s: Selection, _ c: Covector, at node: Node) throws -> [Covector?]
  mutating func discrete(_ f: any DiscreteFunction, _ c: Covector, at node: Node) throws -> [Covector?]
  mutating func composite(_ composite: any Composite, _ c: Covector, at node: Node) throws -> [Covector?]

  /// How many numbers the step at this node may have to store for the covector; 0 where it is not known before.
  func numbersStored(_ c: Covector, at node: Node) -> Int

  /// The sum of two covectors on one node.
  mutating func merge(_ a: Covector, _ b: Covector, at node: Node) throws -> Covector
}

extension AdjointRule {
  public func isLeaf(_ node: Node) -> Bool { false }
  public func numbersStored(_ c: Covector, at node: Node) -> Int { 0 }
}

extension Graph {
  /// Walks the graph backward from seeds on some nodes. Every node is visited once, after all its users, so shared
  /// subgraphs cost nothing extra.
  ///
  /// - Throws: `Stopped` when `Cancellation.current` says so, and what the rule throws.
  public func pullBack<A: AdjointRule>(_ seeds: [(node: NodeID, covector: A.Covector)], rule: inout A) throws
  {
    guard let last = seeds.map(\.node).max() else { return }
    var pending = [A.Covector?](repeating: nil, count: last + 1)
    func deposit(_ c: A.Covector, _ id: NodeID, _ rule: inout A) throws {
      if let present = pending[id] {
        pending[id] = nil
        pending[id] = try rule.merge(present, c, at: nodes[id])
      } else {
        pending[id] = c
      }
    }
    let cancellation = Cancellation.current
    for seed in seeds { try deposit(seed.covector, seed.node, &rule) }
    for id in stride(from: last, through: 0, by: -1) {
      guard let covector = pending[id] else { continue }
      pending[id] = nil
      let node = nodes[id]
      try cancellation?.check(storing: rule.numbersStored(covector, at: node))
      let results: [A.Covector?]
      switch node.operation {
      case .input, .constant:
        try rule.leaf(node, covector)
        continue
      case _ where rule.isLeaf(node):
        try rule.leaf(node, covector)
        continue
      case .affine(let map): results = try rule.affine(map, covector, at: node)
      case .elementwise(let f): results = [try rule.elementwise(f, covector, at: node)]
      case .product(let form): results = try rule.product(form, covector, at: node)
      case .selection(let s): results = try rule.selection(s, covector, at: node)
      case .discrete(let f): results = try rule.discrete(f, covector, at: node)
      case .composite(let c): results = try rule.composite(c, covector, at: node)
      }
      for (input, result) in zip(node.inputs, results) {
        if let result { try deposit(result, input, &rule) }
      }
    }
  }
}
