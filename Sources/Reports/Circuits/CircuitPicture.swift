/// What a picture of a circuit shows: nodes on a grid of layers and positions, edges between them, and the
/// faithfulness curve beside it.
public struct CircuitPicture: Sendable {
  /// A head at a position; `position` nil draws the head over all positions in one column.
  public struct Node: Sendable {
    public var layer: Int
    public var position: Int?
    public var head: Int
    public var score: Double
    public init(layer: Int, position: Int?, head: Int, score: Double) {
      self.layer = layer
      self.position = position
      self.head = head
      self.score = score
    }
    /// `layer.position.head`, or `layer.head` without a position.
    public var name: String {
      if let position { return "\(layer).\(position).\(head)" }
      return "\(layer).\(head)"
    }
  }

  /// An edge between two nodes by their places in `nodes`; `to` nil leads to the output.
  public struct Edge: Sendable {
    public var from: Int
    public var to: Int?
    public var score: Double
    public init(from: Int, to: Int?, score: Double) {
      self.from = from
      self.to = to
      self.score = score
    }
  }

  public var title: String
  /// One line under the title: method, metric, prompts.
  public var subtitle: String
  public var layers: Int
  /// The words along the bottom, one per position.
  public var tokens: [String]
  /// Names of positions (`IO`, `END`), shown under the words.
  public var positionNames: [Int: String]
  public var nodes: [Node]
  public var edges: [Edge]
  /// What the output row is called.
  public var outputName: String
  /// (size, F) of the method's own ranking.
  public var curve: [(size: Int, faithfulness: Double)]
  /// Mean and 95 % interval of the same curve for random orders, if they were run.
  public var randomCurve: [(size: Int, mean: Double, low: Double, high: Double)]
  /// The faithfulness of the circuit, nil if undefined.
  public var faithfulness: Double?
  /// Further lines of text: figures of merit.
  public var notes: [String]

  public init(
    title: String, subtitle: String, layers: Int, tokens: [String], positionNames: [Int: String] = [:],
    nodes: [Node], edges: [Edge] = [], outputName: String = "logits",
    curve: [(size: Int, faithfulness: Double)] = [],
    randomCurve: [(size: Int, mean: Double, low: Double, high: Double)] = [], faithfulness: Double? = nil,
    notes: [String] = []
  ) {
    self.title = title
    self.subtitle = subtitle
    self.layers = layers
    self.tokens = tokens
    self.positionNames = positionNames
    self.nodes = nodes
    self.edges = edges
    self.outputName = outputName
    self.curve = curve
    self.randomCurve = randomCurve
    self.faithfulness = faithfulness
    self.notes = notes
  }

  /// The largest magnitude among node scores; 1 if all are zero.
  var largestScore: Double {
    let largest = nodes.map(\.score.magnitude).filter(\.isFinite).max() ?? 0
    return largest > 0 ? largest : 1
  }

  /// The largest magnitude among scores of edges of one kind (to nodes, or to the output): shares of a node and
  /// units of the metric do not compare.
  func largestEdge(toOutput: Bool) -> Double {
    let scores = edges.filter { ($0.to == nil) == toOutput }.map(\.score.magnitude)
    let largest = scores.filter(\.isFinite).max() ?? 0
    return largest > 0 ? largest : 1
  }
}
