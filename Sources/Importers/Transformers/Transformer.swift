import IR
import Language
import Tensors

/// A transformer as a graph for sequences of one length, with the places that analyses address.
///
/// The graph's only input is the embedding of the sequence, `[positions, width]`: for GPT-2 the sum of token and
/// position embeddings, for BERT the sum of token, position and type embeddings after its LayerNorm.
public struct Transformer: Sendable {
  /// Where sign cleaning takes place (contextual decomposition).
  public enum Cleaning: Sendable, Hashable {
    /// In every setting.
    case always
    /// Only if the attention block is cleaned too.
    case attentionBlock
  }

  /// The nodes of one block.
  public struct Layer: Sendable {
    /// The residual stream that enters the block.
    public var input: NodeID
    /// `[positions, width]`, head h in columns `h * headWidth ..< (h + 1) * headWidth`.
    public var query: NodeID
    public var key: NodeID
    public var value: NodeID
    /// The heads' results before the output projection, laid out alike.
    public var z: NodeID
    /// The residual stream that leaves the block.
    public var output: NodeID
    /// The output projection, `[width, width]`, rows are z's columns.
    public var projection: Weight
  }

  public var configuration: ModelConfiguration
  public var graph: Graph
  public var positions: Int
  public var layers: [Layer]
  /// The last node before the output map: the final residual stream after its norm. `[rows, width]`.
  public var final: NodeID
  /// `[rows, vocabulary]` of a language model, `[1, classes]` of a classifier, else `final`.
  public var output: NodeID
  public var outputKind: OutputKind
  /// For nodes whose value is cleaned.
  public var cleaning: [NodeID: Cleaning]
  /// The unembedding `[width, vocabulary]` of a language model without output bias.
  public var unembedding: Weight?
  /// Whether it was found in a graph, whose values need not have one row per position.
  public var isRecognised = false

  public enum OutputKind: Sendable, Hashable {
    /// Scores of the next token.
    case tokens
    /// Scores of classes.
    case classes
    /// Hidden states; no output map.
    case hidden
  }

  /// Whether nothing before a source's position can change, and values have one row per position, so that a
  /// decomposition need not look there.
  public var skipsEarlierPositions: Bool { configuration.family == .gpt2 && !isRecognised }
  public var heads: Int { configuration.heads }
  public var headWidth: Int { configuration.headWidth }
  public var width: Int { configuration.width }

  /// Which layer's z a node is, if it is one.
  public func layer(ofZ node: NodeID) -> Int? { layers.firstIndex { $0.z == node } }
}
