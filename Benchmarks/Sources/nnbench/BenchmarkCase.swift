import Domains
import FileFormats
import Foundation
import IR
import Importers
import Inputs
import Tensors

/// A network and a region to bound it on.
struct BenchmarkCase {
  var name: String
  var graph: Graph
  var region: Region

  /// The cases, as far as their files are there.
  static func all(shared: URL, networks: URL) throws -> [BenchmarkCase] {
    let benchmarks = shared.appendingPathComponent("verification/benchmarks")
    let constant = { (value: Double) in { (count: Int) in [Double](repeating: value, count: count) } }
    var cases: [BenchmarkCase] = []
    func add(_ name: String, _ file: URL, radius: Double, _ center: (Int) -> [Double]) throws {
      guard let path = [file.path, file.path + ".gz"].first(where: FileManager.default.fileExists) else {
        FileHandle.standardError.write(Data("nnbench: \(file.path) is not there, \(name) is skipped\n".utf8))
        return
      }
      let graph = try Importer.load(path).graph
      let shape = [1] + graph.inputNodes[0].shape
      let set = Region.infinityBall(Tensor(shape, center(shape.count)), radius: radius)
      cases.append(BenchmarkCase(name: name, graph: graph, region: Region([set])))
    }
    func onnx(_ path: String) -> URL { benchmarks.appendingPathComponent(path) }

    // The reference's figures were taken at these inputs: its own case file for ACAS Xu, 0.1 for the images.
    let acas = try? JSONValue.parse(
      contentsOf: shared.appendingPathComponent("verification/bounds/acasxu_1_1_linf_0.02.json").path)
    let point = acas?["center"]?.doubles ?? [Double](repeating: 0, count: 5)
    try add("ACAS Xu 1_1", onnx("acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx"), radius: 0.02) { _ in point }
    try add("MNIST 256x2", onnx("mnist_fc/onnx/mnist-net_256x2.onnx"), radius: 0.02, constant(0.1))
    try add("MNIST 256x4", onnx("mnist_fc/onnx/mnist-net_256x4.onnx"), radius: 0.02, constant(0.1))
    try add("oval deep", onnx("oval21/onnx/cifar_deep_kw.onnx"), radius: 0.004, constant(0.1))
    try add("resnet_2b", onnx("cifar10_resnet/onnx/resnet_2b.onnx"), radius: 0.002, constant(0.1))
    let digits = networks.appendingPathComponent("digits-mlp.onnx")
    let sample = try InputDocument(contentsOf: networks.appendingPathComponent("digits-mlp.input.json").path)
    if case .single(let values) = sample.values {
      try add("digits-mlp", digits, radius: 0.02) { _ in values.nearest }
    }
    return cases
  }
}
