import Domains
import IR
import Tensors

/// What an importer makes of a file.
public struct ImportedNetwork: Sendable {
  /// The network. Shapes are static; no node computes shapes.
  public var graph: Graph
  /// The file it came from, as the user named it.
  public var file: String
  /// The format and its version, for people: `ONNX, opset 17, IR 8`.
  public var format: String
  /// How often each operator of the file's vocabulary occurs, subgraphs and functions included.
  public var operatorCounts: [String: Int]
  /// Inputs whose values were built into the graph, because shapes depend on them (see ``ImportOptions/values``).
  /// They still are inputs of the graph, which no longer reads them.
  public var boundInputs: [String]
  /// The number of elements of the file's floating-point weights; nil if the importer does not count them.
  public var storedParameterCount: Int?

  /// The number of parameters: the elements of the file's floating-point weights, or those of the graph's constants.
  public var parameterCount: Int { storedParameterCount ?? graph.parameterCount }

  public init(
    graph: Graph, file: String, format: String, operatorCounts: [String: Int] = [:],
    boundInputs: [String] = [], storedParameterCount: Int? = nil
  ) {
    self.storedParameterCount = storedParameterCount
    self.graph = graph
    self.file = file
    self.format = format
    self.operatorCounts = operatorCounts
    self.boundInputs = boundInputs
  }
}

/// What a file may leave open.
public struct ImportOptions: Sendable {
  /// The extent of a dynamic leading dimension, and of every dimension of the same name; 1 if nil.
  public var batch: Int?
  /// Extents of other named dimensions; those not listed are 1.
  public var dimensions: [String: Int]
  /// Shapes of inputs with dynamic dimensions, by name. They must agree with the extents the file fixes.
  public var shapes: [String: Shape]
  /// Values of inputs. They are used only where a shape depends on one; the input is then built in as a constant
  /// and named in ``ImportedNetwork/boundInputs``.
  public var values: [String: Tensor<Double>]
  /// Whether every integer or boolean input that has a value is built in, too. What such inputs index or choose is
  /// then fixed, so that look-ups and aggregation along given edges are linear; the inputs cannot be perturbed.
  public var integersAreFixed: Bool
  /// What the network is read for. Real arithmetic folds constants and recognises units that exporters write out in
  /// parts; float32 keeps every operation of the file, and attributes as the float32 numbers they are stored as.
  public var arithmetic: Arithmetic
  /// Whether a `.nnet` network includes the normalisation of inputs and outputs that its header gives.
  public var normalised: Bool

  public init(
    batch: Int? = nil, dimensions: [String: Int] = [:], shapes: [String: Shape] = [:],
    values: [String: Tensor<Double>] = [:], integersAreFixed: Bool = false, normalised: Bool = true,
    arithmetic: Arithmetic = .real
  ) {
    self.arithmetic = arithmetic
    self.batch = batch
    self.dimensions = dimensions
    self.shapes = shapes
    self.values = values
    self.integersAreFixed = integersAreFixed
    self.normalised = normalised
  }
}
