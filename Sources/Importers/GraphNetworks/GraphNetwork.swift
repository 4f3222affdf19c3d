import IR
import Operators
import Tensors

/// A graph network: layers that can be bound to any graph.
///
/// Node and arc counts are open until `bind` specialises the layers to a graph and yields an IR graph with static
/// shapes, on which every analysis runs.
public struct GraphNetwork: Sendable {
  public enum Task: String, Sendable { case graph, node }

  public enum Pool: String, Sendable { case max, mean, sum }

  public enum Aggregator: Sendable { case mean, maximum }

  /// Affine parameters: weight `[out, in]` (or `[in, out]` with `isInputMajor`) and bias `[out]`.
  public struct Linear: Sendable {
    public var weight: Weight
    public var isInputMajor: Bool
    public var bias: Weight?

    public init(weight: Weight, isInputMajor: Bool = false, bias: Weight? = nil) {
      self.weight = weight
      self.isInputMajor = isInputMajor
      self.bias = bias
    }

    public var inputWidth: Int { weight.shape[isInputMajor ? 0 : 1] }
    public var outputWidth: Int { weight.shape[isInputMajor ? 1 : 0] }
  }

  public struct Attention: Sendable {
    /// Shared projection, `[heads * channels, in]`, without bias.
    public var projection: Linear
    /// `[heads, channels]`.
    public var source: Weight
    public var target: Weight
    public var bias: Weight?
    public var negativeSlope: Double
    /// Whether heads are concatenated rather than averaged.
    public var concatenates: Bool
    public var heads: Int { source.shape[0] }
    public var channels: Int { source.shape[1] }
  }

  public struct Normalization: Sendable {
    public var scale: Weight?
    public var shift: Weight?
    /// Running statistics; nil normalises by the statistics of the current forward pass.
    public var running: (mean: Weight, variance: Weight)?
    public var eps: Double
  }

  public indirect enum Layer: Sendable {
    /// H' = D^-1/2 A D^-1/2 (H W) + b.
    case gcn(Linear)
    /// H' = mlp(s H + A H).
    case gin(selfFactor: Double, mlp: [Layer])
    /// H' = L(aggregate of neighbours) + R(H).
    case sage(Aggregator, neighbours: Linear, own: Linear?)
    /// Graph attention over neighbours and the node itself.
    case gat(Attention)
    case linear(Linear)
    case activation(any ElementwiseFunction)
    /// Rows divided by their Euclidean norm.
    case normalizeRows(eps: Double)
    case batchNorm(Normalization)
    /// Remembers the current value for `concatenateStacked`.
    case stack
    case concatenateStacked
    /// Pools over nodes, side by side.
    case pool([Pool])
  }

  public var name: String
  public var task: Task
  public var featureCount: Int
  public var classCount: Int
  public var layers: [Layer]

  public init(name: String, task: Task, featureCount: Int, classCount: Int, layers: [Layer]) {
    self.name = name
    self.task = task
    self.featureCount = featureCount
    self.classCount = classCount
    self.layers = layers
  }

  /// The number of message-passing layers: how far the output of a node sees.
  public var depth: Int { layers.filter(\.aggregates).count }

  /// Whether a node's output depends on every node of the graph (batch statistics or a pool), so that slicing a
  /// neighbourhood changes it.
  public var isGlobal: Bool {
    layers.contains { layer in
      switch layer {
      case .batchNorm(let norm): return norm.running == nil
      case .pool: return true
      default: return false
      }
    }
  }

  /// Whether arcs change the normalisation of the messages at a node (degrees, counts, attention), so that an
  /// arc one hop further out still matters.
  public var normalizesByNeighbourhood: Bool {
    layers.contains { layer in
      switch layer {
      case .gcn, .sage, .gat: return true
      default: return false
      }
    }
  }

  /// Whether a zero weight equals a deleted arc: true for sums and degree normalisation, false for means, maxima and
  /// attention.
  public var weightZeroIsDeletion: Bool {
    !layers.contains { layer in
      switch layer {
      case .sage, .gat: return true
      default: return false
      }
    }
  }
}

extension GraphNetwork.Layer {
  /// Whether the layer passes messages along arcs.
  public var aggregates: Bool {
    switch self {
    case .gcn, .gin, .sage, .gat: return true
    default: return false
    }
  }

  /// Whether the layer needs all nodes to compute one.
  var needsAllNodes: Bool {
    if aggregates { return true }
    switch self {
    case .batchNorm(let norm): return norm.running == nil
    case .pool: return true
    default: return false
    }
  }
}
