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
  /// Extents that the file leaves open and that nothing settled.
  public var assumedExtents: [AssumedExtent]

  /// The number of parameters: the elements of the file's floating-point weights, or those of the graph's constants.
  public var parameterCount: Int { storedParameterCount ?? graph.parameterCount }

  public init(
    graph: Graph, file: String, format: String, operatorCounts: [String: Int] = [:],
    boundInputs: [String] = [], storedParameterCount: Int? = nil, assumedExtents: [AssumedExtent] = []
  ) {
    self.storedParameterCount = storedParameterCount
    self.assumedExtents = assumedExtents
    self.graph = graph
    self.file = file
    self.format = format
    self.operatorCounts = operatorCounts
    self.boundInputs = boundInputs
  }
}

/// An extent of an input that the file leaves open, and what it was taken to be.
public struct AssumedExtent: Sendable, Hashable {
  public var input: String
  public var axis: Int
  /// The dimension's name in the file; empty if it has none.
  public var name: String
  public var extent: Int

  public init(input: String, axis: Int, name: String, extent: Int) {
    self.input = input
    self.axis = axis
    self.name = name
    self.extent = extent
  }
}

/// What people are told of such extents.
public enum AssumedExtents {
  /// `the extents that the file leaves open were assumed: x axis 2 (width) = 1; ...`
  public static func text(_ extents: [AssumedExtent]) -> String {
    let list = extents.map { extent in
      "\(extent.input) axis \(extent.axis)\(extent.name.isEmpty ? "" : " (\(extent.name))") = \(extent.extent)"
    }
    return "extents that the file leaves open were assumed: \(list.joined(separator: ", ")) "
      + "(--shape NAME=1,2,3 or an input with its shape settles them)"
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
