import FileFormats
import Foundation
import TestSupport
import Testing

let nnverify = Executable("nnverify")
let mlp = "networks/digits-mlp.onnx"
let methods = ["ibp", "forward", "crown-ibp", "crown", "forward+crown", "alpha-crown", "best"]

/// Runs a command that must succeed and print one JSON document.
func json(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> JSONValue {
  let result = try nnverify.run(arguments + ["--json"])
  #expect(result.status == 0, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
  return try JSONValue.parse(result.output)
}

extension JSONValue {
  /// Numbers, infinities as results spell them.
  var results: [Double] {
    (arrayValue ?? []).map { value in
      switch value.stringValue {
      case "inf"?: .infinity
      case "-inf"?: -.infinity
      default: value.doubleValue ?? .nan
      }
    }
  }
}

/// The bounds of one output in a `bounds` document.
struct OutputBounds {
  var name: String
  var shape: [Int]
  var center: [Double]
  var lower: [Double]
  var upper: [Double]

  init(_ document: JSONValue, _ index: Int = 0) throws {
    let output = try #require(document["outputs"]?[index])
    name = try #require(output["name"]?.stringValue)
    shape = try #require(output["shape"]?.ints)
    center = try #require(output["center"]).results
    lower = try #require(output["lower"]).results
    upper = try #require(output["upper"]).results
  }

  var width: Double { zip(lower, upper).map { $1 - $0 }.reduce(0, +) }
}

/// The sample of the digits network.
func sample() throws -> [Double] {
  try #require(
    JSONValue.parse(
      contentsOf: SharedData.project.appendingPathComponent("networks/digits-mlp.input.json").path)[
        "values"]?.doubles)
}

func text(_ values: [Double]) -> String { "[" + values.map { "\($0)" }.joined(separator: ",") + "]" }
