// Loads a network, bounds it around an input and prints the linear functions that bound one output.
//
//   cd examples
//   swift run -c release bound-and-explain                                 the shipped digits network
//   swift run -c release bound-and-explain ../networks/digits-cnn.onnx 0.01

import Bounds
import Domains
import Foundation
import IR
import Inputs

let arguments = CommandLine.arguments.dropFirst()
let path = arguments.first ?? "../networks/digits-mlp.onnx"
let radiusText = arguments.dropFirst().first ?? "0.02"

do {
  guard let radius = DecimalNumber(radiusText) else {
    print("usage: bound-and-explain [NETWORK [RADIUS]]")
    exit(1)
  }
  // The network with the sample stored beside it, and every input within the radius of that sample.
  let loaded = try LoadedNetwork(network: path)
  let graph = loaded.graph
  let region = try PerturbedRegion(around: loaded.inputs, radius: radius, norm: .linf, in: graph)

  // CROWN's bounds of the outputs, with the linear functions of the input they come from.
  var options = BoundOptions(method: .crown)
  options.keepsCoefficients = true
  let result = try graph.bounds(over: region.region, options)
  let center = try graph.values(at: region.center)[0]
  let bounds = result.outputs[0]
  print("\(path), every input element within \(radiusText) of the sample")
  for i in 0..<center.count {
    print(
      String(
        format: "y[%d] = %9.4f  in [%9.4f, %9.4f]", i, center[flat: i], bounds.lower[flat: i],
        bounds.upper[flat: i]))
  }

  // Which inputs does the lower bound of the predicted class depend on most?
  guard let label = graph.predictedLabel(center), let linear = result.coefficients.first,
    let coefficients = linear.lowerCoefficients[0]
  else { exit(0) }
  let n = graph.inputNodes[0].shape.count
  let row = (0..<n).map { (index: $0, value: coefficients[flat: label * n + $0]) }
  print("\ny[\(label)] >= \(String(format: "%.4f", linear.lowerConstant[flat: label])) + the sum of")
  for term in row.sorted(by: { abs($0.value) > abs($1.value) }).prefix(8) {
    print(String(format: "  %8.4f x[%d]", term.value, term.index))
  }
  print("  ... \(max(n - 8, 0)) smaller terms")
} catch {
  print("error: \(error)")
  exit(2)
}
