import FileFormats
import IR
import Operators
import Tensors

/// Reads `.nnet` networks (K. Julian, Stanford 2016): fully connected layers with ReLU between them.
///
/// The input has shape `[1, inputs]`, the output `[1, outputs]`.
public enum NNetImporter {
  /// Imports a file.
  ///
  /// With `options.normalised` the network is the whole that the header describes: inputs are clamped to their range
  /// and normalised, outputs scaled back. Otherwise it is the chain of layers alone, on normalised inputs.
  ///
  /// - Throws: `FileError` for files that cannot be read or are wrong.
  public static func load(path: String, options: ImportOptions = ImportOptions()) throws -> ImportedNetwork {
    let network = try NNetFile(contentsOf: path)
    let stored = network.layers.reduce(0) { $0 + $1.weights.count }
    let l = Lowering(file: path, storedElements: stored)
    do {
      l.builder.origin = "Input"
      let count = network.layerSizes.first ?? 0
      let input = l.builder.input("X", [1, count], type: .float32)
      var x = Value(input, [1, count], .float32)
      if options.normalised { x = try normalise(x, network, l) }
      for (index, layer) in network.layers.enumerated() {
        l.builder.scope = "layer\(index + 1)/"
        l.builder.origin = "Gemm"
        let weight = Weight(Tensor([layer.outputs, layer.inputs], layer.weights.map { Double($0) }))
        let bias = Weight(Tensor([1, layer.outputs], layer.biases.map { Double($0) }))
        x = try l.linear(Dense(weight, inputShape: x.shape, transposed: true), x, bias: bias)
        l.builder.origin = "Relu"
        if index + 1 < network.layers.count { x = try l.elementwise(Relu(), x) }
      }
      if options.normalised {
        l.builder.origin = "Normalise"
        l.builder.scope = "output/"
        x = try l.add(try l.scale(x, network.outputRange), network.outputMean)
      }
      l.builder.output(try l.node(x), name: "Y")
    } catch let error as GraphError {
      throw FileError(file: path, place: error.node, reason: error.reason)
    }
    let hidden = max(0, network.layers.count - 1)
    return ImportedNetwork(
      graph: l.builder.build().prunedToOutputs(), file: path,
      format: "NNet, \(network.layerSizes.map(String.init).joined(separator: "-"))",
      operatorCounts: ["Gemm": network.layers.count, "Relu": hidden])
  }

  /// (clamp(x) - mean) / range.
  private static func normalise(_ x: Value, _ network: NNetFile, _ l: Lowering) throws -> Value {
    l.builder.origin = "Normalise"
    l.builder.scope = "input/"
    func constant(_ numbers: [Double]) -> Value { Value(numbers, [1, numbers.count], .float32) }
    var result = x
    result = try l.extremum(.maximum, [result, constant(network.inputMinima)])
    result = try l.extremum(.minimum, [result, constant(network.inputMaxima)])
    result = try l.sub(result, constant(network.inputMeans))
    return try l.div(result, constant(network.inputRanges))
  }
}
