import IR
import Importers
import Tensors

/// A change of some heads' results in a forward pass.
public struct Patch: Sendable {
  /// Nodes whose z becomes the baseline's.
  public var ablated: [HeadNode]
  /// Nodes whose z becomes given numbers, `[prompts, d]` each.
  var replaced: [(node: HeadNode, values: [Double])]

  public init(ablated: [HeadNode]) {
    self.ablated = ablated
    replaced = []
  }

  init(replaced: [(node: HeadNode, values: [Double])]) {
    ablated = []
    self.replaced = replaced
  }

  var nodes: [HeadNode] { ablated + replaced.map(\.node) }
}

/// Which heads take what the changed network computes for them.
enum Propagation: Sendable {
  /// All: an ablation.
  case everywhere
  /// None: every head keeps its clean z, so that a change travels through MLPs and norms only.
  case frozenHeads
}
