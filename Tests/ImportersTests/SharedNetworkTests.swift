import Domains
import FileFormats
import Foundation
import IR
import Importers
import Tensors
import TestSupport
import Testing

/// Every network of the shared data imports and reproduces its stored outputs.
@Suite(
  "Stored outputs of the shared networks",
  .enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct SharedNetworkTests {
  static func tensor(_ value: JSONValue?) throws -> Tensor<Double> {
    let shape = try #require(value?["shape"]?.ints)
    return Tensor(Shape(shape), try #require(value?["data"]?.doubles))
  }

  /// The largest difference relative to max(1, |expected|).
  static func error(_ found: AnyTensor, _ expected: [Double]) -> Double {
    let values = found.float64.elements
    guard values.count == expected.count else { return .infinity }
    return zip(values, expected).map { a, b in
      a == b ? 0 : abs(a - b) / max(1, abs(b))
    }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
  }

  @Test("zoo", arguments: SharedData.names(in: "zoo").filter { !$0.hasSuffix(".md") })
  func zoo(_ name: String) throws {
    let network = try OnnxImporter.load(path: SharedData.path("zoo/\(name)/model.onnx"))
    let json = try SharedData.json("zoo/\(name)/cases.json")
    // Exporters folded some constants in float32 (batch normalisation into convolutions): such a file is not the
    // float64 network that the stored numbers come from, and differs from it as its float32 run does.
    let folded: Set = ["resnet_digits", "mobilenetv3_digits", "gin_ba2motifs", "nerf_view_experts"]
    let wide = folded.contains(name) ? 1e-6 : 1e-9
    for item in try #require(json["cases"]?.arrayValue) {
      let inputs = try network.graph.inputNodes.map { node in
        try Self.tensor(item["inputs"]?[node.name]).reshaped([1] + node.shape)
      }
      let float64 = try network.graph.run(inputs, .float64)
      let float32 = try network.graph.run(inputs, .deployed)
      for (index, output) in network.graph.outputs.enumerated() {
        let reference = try Self.tensor(item["torch_float64"]?[output.name])
        #expect(network.graph[output.node].shape.count == reference.count)
        #expect(Self.error(float64[index], reference.elements) <= wide)
        let deployed = try Self.tensor(item["onnxruntime_float32"]?[output.name])
        #expect(Self.error(float32[index], deployed.elements) <= 1e-4)
      }
    }
  }

  @Test("import torture files")
  func torture() throws {
    let path = SharedData.path("smt/import/onnx_expected.jsonl")
    for (_, item) in try JSONValue.parseLines(try Gzip.contents(ofFile: path), file: path) {
      let file = try #require(item["network"]?.stringValue)
      let tolerance = try #require(item["tolerance"]?.doubleValue)
      var values: [String: Tensor<Double>] = [:]
      for entry in try #require(item["inputs"]?.objectValue?.entries) {
        values[entry.key] = try Self.tensor(entry.value)
      }
      let options = ImportOptions(values: values)
      let network = try OnnxImporter.load(path: SharedData.path("smt/" + file), options: options)
      let inputs = try network.graph.inputNodes.map { try #require(values[$0.name]).reshaped([1] + $0.shape) }
      for precision in [ConcreteDomain.Precision.float64, .deployed] {
        let outputs = try network.graph.run(inputs, precision)
        for (index, output) in network.graph.outputs.enumerated() {
          let expected = try Self.tensor(item["outputs"]?[output.name])
          let problem = Comment(rawValue: "\(file) output \(output.name)")
          #expect(network.graph[output.node].shape == expected.shape, problem)
          #expect(Self.error(outputs[index], expected.elements) <= tolerance, problem)
        }
      }
    }
  }

  @Test("NNet networks, raw and normalised")
  func nnet() throws {
    let path = SharedData.path("smt/import/nnet_expected.jsonl")
    for (_, item) in try JSONValue.parseLines(try Gzip.contents(ofFile: path), file: path) {
      let file = try #require(item["network"]?.stringValue)
      let tolerance = try #require(item["tolerance"]?.doubleValue)
      for (key, normalised) in [("raw", false), ("normalised", true)] {
        guard let record = item[key], record["input"] != nil else { continue }
        let network = try Importer.load(
          SharedData.path("smt/" + file), ImportOptions(normalised: normalised))
        let x = try #require(record["input"]?.doubles)
        let expected = try #require(record["output"]?.doubles)
        let outputs = try network.graph.run([Tensor([1, 1, x.count], x)], .float64)
        #expect(Self.error(outputs[0], expected) <= tolerance, "\(file) \(key)")
      }
    }
  }

  @Test("DLV's networks: logits of the first images, plain and gzip-compressed pixels")
  func dlv() throws {
    let images = SharedData.path("smt/dlv/t10k-images-first500-idx3-ubyte.gz")
    let pixels = try Gzip.contents(ofFile: images)[16...].map { Double($0) / 255 }
    let json = try SharedData.json("smt/dlv/expected_outputs.json")
    for name in ["mnist", "mnist2"] {
      let network = try OnnxImporter.load(path: SharedData.path("smt/dlv/\(name).onnx"))
      let expected = try #require(json[name]?["logits_first10"]?.arrayValue)
      let index = try #require(network.graph.outputs.firstIndex { $0.name == "logits" })
      for (image, logits) in expected.enumerated() {
        let x = Array(pixels[(image * 784)..<((image + 1) * 784)])
        let input = Tensor([1] + network.graph.inputNodes[0].shape, x)
        let found = try network.graph.run([input], .deployed)[index]
        #expect(Self.error(found, try #require(logits.doubles)) <= 1e-4)
      }
    }
  }

  @Test("forward outputs beside the reference bounds")
  func boundsFiles() throws {
    for folder in ["verification/bounds", "verification/opzoo"] {
      for name in SharedData.names(in: folder, suffix: ".json") {
        let json = try SharedData.json("\(folder)/\(name)")
        guard let file = json["network"]?.stringValue, let forward = json["forward_output"]?.doubles,
          let shape = json["input_shape"]?.ints
        else { continue }
        let center: [Double]
        if let given = json["center"]?.doubles {
          center = given
        } else if let low = json["box_lower"]?.doubles, let high = json["box_upper"]?.doubles {
          center = zip(low, high).map { ($0 + $1) / 2 }
        } else {
          continue
        }
        let path = SharedData.path("verification/" + file)
        let network = try OnnxImporter.load(path: path)
        guard network.graph.inputs.count == 1 else { continue }
        let input = Tensor([1] + network.graph.inputNodes[0].shape, center)
        #expect(center.count == shape.reduce(1, *))
        let found = try network.graph.run([input], .float64)[0]
        // The exporter folded batch normalisation into the convolution in float32.
        let tolerance = name == "conv_bn_relu.json" ? 1e-8 : 1e-9
        #expect(Self.error(found, forward) <= tolerance, "\(name)")
      }
    }
  }

  @Test(
    "all other networks import",
    arguments: ["verification/benchmarks", "verification/traps", "smt/small", "fidelity/onnx"])
  func imports(_ folder: String) throws {
    let root = SharedData.path(folder)
    let files = try #require(FileManager.default.enumerator(atPath: root))
    for case let file as String in files where file.hasSuffix(".onnx") || file.hasSuffix(".onnx.gz") {
      // One look-up of self-loops decides shapes by the edges, which are an input.
      if file == "karate_gcn_exported.onnx" { continue }
      let network = try Importer.load(root + "/" + file)
      #expect(!network.graph.outputs.isEmpty, "\(file)")
    }
  }

  @Test("graph networks of a mainstream exporter with the edges built in")
  func karate() throws {
    let graph = try SharedData.json("fidelity/graphs/karate.json")
    let edges = (graph["edges"]?.arrayValue ?? []).compactMap(\.ints)
    let count = 34
    var sources: [Double] = []
    var targets: [Double] = []
    for edge in edges {
      sources += [Double(edge[0]), Double(edge[1])]
      targets += [Double(edge[1]), Double(edge[0])]
    }
    let features = (0..<(count * count)).map { $0 % (count + 1) == 0 ? 1.0 : 0.0 }
    let values: [String: Tensor<Double>] = [
      "x": Tensor([count, count], features), "edge_index": Tensor([2, sources.count], sources + targets),
    ]
    let logits = try SharedData.json("fidelity/reference/karate_logits.json")
    for model in ["gcn", "gin", "sage_mean", "sage_max"] {
      for fixed in [false, true] {
        let network = try OnnxImporter.load(
          path: SharedData.path("fidelity/onnx/karate_\(model)_exported.onnx"),
          options: ImportOptions(values: values, integersAreFixed: fixed))
        let inputs = try network.graph.inputNodes.map {
          try #require(values[$0.name]).reshaped([1] + $0.shape)
        }
        let found = try network.graph.run(inputs, .float64)[0]
        let expected = try #require(logits["models"]?[model]?["logits"]?.arrayValue).flatMap {
          $0.doubles ?? []
        }
        #expect(Self.error(found, expected) <= 1e-6, "\(model)")
        if fixed {
          // With the edges fixed nothing discrete is left.
          #expect(!network.graph.nodes.contains { $0.operation.kind == "discrete" }, "\(model)")
        }
      }
    }
  }
}
