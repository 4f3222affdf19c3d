import FileFormats
import Foundation
import TestSupport
import Testing

@Suite struct RunAndInspectTests {
  @Test func runPrintsTheOutputs() throws {
    let document = try json("run", mlp)
    #expect(document.objectValue?.keys == ["outputs"])
    let output = try #require(document["outputs"]?[0])
    #expect(output.objectValue?.keys == ["name", "shape", "values"])
    #expect(output["name"] == "y" && output["shape"]?.ints == [1, 10])
    let values = try #require(output["values"]).results
    #expect(values.count == 10 && values.firstIndex(of: values.max() ?? 0) == 7)
    // float32 is the default: every value is a float.
    #expect(values.allSatisfy { Double(Float($0)) == $0 })
    let double = try #require(json("run", mlp, "--precision", "float64")["outputs"]?[0]?["values"]).results
    #expect(!double.allSatisfy { Double(Float($0)) == $0 })
    for (a, b) in zip(values, double) { #expect(abs(a - b) < 1e-4) }
  }

  @Test func everyFormOfInputIsTheSame() throws {
    let folder = try TemporaryFolder()
    let point = try sample()
    var bytes: [UInt8] = []
    for value in point { withUnsafeBytes(of: Float(value).bitPattern.littleEndian) { bytes += $0 } }
    var big: [UInt8] = []
    for value in point { withUnsafeBytes(of: value.bitPattern.bigEndian) { big += $0 } }
    func npy(_ descr: String, _ shape: String, _ data: [UInt8]) -> [UInt8] {
      let text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }\n".utf8)
      return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count), 0] + text + data
    }
    let nested =
      "[" + (0..<8).map { r in text(Array(point[(r * 8)..<(r * 8 + 8)])) }.joined(separator: ",") + "]"
    let files = [
      try folder.write("flat.json", text(point)),
      try folder.write("shaped.json", "{\"shape\":[1,64],\"values\":\(text(point))}"),
      try folder.write("squeezed.json", "{\"shape\":[64],\"values\":\(text(point))}"),
      try folder.write("list.json", "[\(text(point))]"),
      try folder.write("named.json", "{\"inputs\":{\"x\":{\"shape\":[1,64],\"values\":\(text(point))}}}"),
      try folder.write("array.npy", npy("<f4", "(1, 64)", bytes)),
      try folder.write("flat.npy", npy(">f8", "(64,)", big)),
    ]
    let expected = try json("run", mlp)
    for file in files { #expect(try json("run", mlp, "--input", file) == expected, "\(file)") }
    let square = try folder.write("square.json", nested)
    #expect(
      try json("run", "networks/digits-cnn.onnx", "--input", square)
        == json("run", "networks/digits-cnn.onnx"))
  }

  @Test(arguments: ["digits-mlp", "digits-cnn", "digits-transformer", "digits-deep"])
  func shippedNetworksPredictTheirSample(name: String) throws {
    let network = "networks/\(name).onnx"
    let values = try #require(json("run", network)["outputs"]?[0]?["values"]).results
    #expect(values.firstIndex(of: values.max() ?? 0) == 7)
    let bounds = try OutputBounds(json("bounds", network, "0.001"))
    for (value, (lower, upper)) in zip(values, zip(bounds.lower, bounds.upper)) {
      #expect(lower - 1e-4 <= value && value <= upper + 1e-4)
    }
    #expect(try nnverify("run", network).output.contains("y[7]"))
  }

  @Test func inspectCountsWhatIsThere() throws {
    let document = try json("inspect", mlp)
    #expect(document["inputs"]?[0]?["name"] == "x" && document["inputs"]?[0]?["shape"]?.ints == [1, 64])
    #expect(document["inputs"]?[0]?["type"] == "float32")
    #expect(document["outputs"]?[0]?["shape"]?.ints == [1, 10])
    #expect(document["operators"]?["Gemm"] == 3 && document["operators"]?["Relu"] == 2)
    #expect(document["parameters"] == 3466)
    let covered = try #require(document["methods"]?["Gemm"]?.arrayValue).compactMap(\.stringValue)
    #expect(Set(covered) == Set(methods))
    let text = try nnverify("inspect", mlp).output
    #expect(text.contains("3,466") && text.contains("Gemm"))
  }
}
