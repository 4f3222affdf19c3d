import FileFormats
import Foundation
import TestSupport
import Testing

/// Small stand-ins for what networks hold that people ship, with the outputs of onnxruntime beside them.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct ProductionNetworkTests {
  private func path(_ name: String) -> String { SharedData.path("field/" + name) }

  @Test(arguments: [
    ("r01-stft-two-axes", "net"), ("r02-dynamicquantizelstm", "net"),
    ("r03-dynamicquantizelinear-matmulinteger", "matmulinteger-only"), ("r04-convinteger", "net"),
    ("r05-inspect-needs-a-value", "net"), ("r06-inspect-needs-extents", "net"),
    ("r11-softmax-in-parts", "net"), ("r11-softmax-in-parts", "plain"), ("r11-softmax-in-parts", "expand"),
    ("r11-softmax-in-parts", "reshape"), ("r11-softmax-in-parts", "max-inf"),
    ("r12-flax-layernorm-in-parts", "net"), ("r18-parameters-in-constants", "net"),
  ])
  func runAgreesWithOnnxruntime(_ folder: String, _ name: String) throws {
    let input = path(folder + "/input.json")
    let outputs = try #require(json("run", path("\(folder)/\(name).onnx"), "--input", input)["outputs"])
    let values = try #require(outputs[0]?["values"]).results
    let expected = try flat(SharedData.json("field/\(folder)/ort.json"))
    #expect(values.count == expected.count)
    for (value, other) in zip(values, expected) {
      #expect(abs(value - other) <= 1e-5 * max(1, abs(other)), "\(folder)/\(name)")
    }
  }

  /// Extents and values that a file leaves open can be given to `inspect`.
  @Test func inspectWithValuesAndExtents() throws {
    let folder = "r05-inspect-needs-a-value"
    let fixed = try json("inspect", path(folder + "/net.onnx"), "--input", path(folder + "/input.json"))
    #expect(fixed["fixed_inputs"]?[0]?.stringValue == "sr")
    let network = path("r06-inspect-needs-extents/net.onnx")
    let shaped = try json("inspect", network, "--shape", "x=1,2,8,6")
    #expect(shaped["outputs"]?[0]?["shape"]?.ints == [1, 4, 8, 6])
    let refused = try nnverify("inspect", network)
    #expect(refused.status == 2 && refused.errors.contains("x axis 2 (height) = 1"))
    let unknown = try nnverify("inspect", network, "--shape", "z=1,2")
    #expect(unknown.status == 2 && unknown.errors.contains("its inputs are x"))
  }

  /// The value that was given does not fit, not the extents that would have been assumed.
  @Test func messagesSayWhatDoesNotFit() throws {
    let folder = "r17-misleading-extents"
    let result = try nnverify("run", path(folder + "/net.onnx"), "--input", path(folder + "/input.json"))
    #expect(result.status == 2 && !result.errors.contains("[1, 2, 1]"), "\(result.errors)")
  }

  /// All numbers of a document, in their order.
  private func flat(_ value: JSONValue) -> [Double] {
    if let number = value.doubleValue { return [number] }
    if let list = value.arrayValue { return list.flatMap(flat) }
    return value.objectValue?.keys.flatMap { flat(value[$0] ?? .null) } ?? []
  }
}
