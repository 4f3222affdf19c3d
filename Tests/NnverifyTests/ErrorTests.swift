import Foundation
import TestSupport
import Testing

/// Every mistake ends in one clear message, the status that says what kind it was, and nothing on standard output.
@Suite struct ErrorTests {
  /// Expects a failure.
  func expect(
    _ status: Int32, _ arguments: [String], mentioning parts: String...,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try nnverify.run(arguments)
    #expect(
      !result.crashed && result.status == status, "\(arguments): \(result)", sourceLocation: sourceLocation)
    #expect(result.output.isEmpty, sourceLocation: sourceLocation)
    #expect(result.seconds < 5, "\(arguments) took \(result.seconds) s", sourceLocation: sourceLocation)
    for part in parts {
      #expect(
        result.errors.contains(part), "\(part) not in: \(result.errors)", sourceLocation: sourceLocation)
    }
  }

  @Test func usageErrorsExitWith1() throws {
    try expect(1, ["bounds"], mentioning: "model")
    try expect(1, ["bounds", mlp], mentioning: "EPSILON")
    try expect(1, ["bounds", mlp, "wide"], mentioning: "wide")
    try expect(1, ["bounds", mlp, "nan"])
    try expect(1, ["bounds", mlp, "inf"])
    try expect(1, ["bounds", mlp, "1e999"])
    try expect(1, ["bounds", mlp, "--", "-0.1"])
    try expect(1, ["bounds", mlp, "0.1", "--method", "magic"], mentioning: "magic")
    try expect(1, ["bounds", mlp, "0.1", "--norm", "3"])
    try expect(1, ["bounds", mlp, "0.1", "--slope", "two"])
    try expect(1, ["bounds", mlp, "0.1", "--arithmetic", "decimal"])
    try expect(1, ["bounds", mlp, "0.1", "--margins", "10"], mentioning: "10 elements")
    try expect(1, ["bounds", mlp, "0.1", "--margins", "-1"])
    try expect(1, ["bounds", mlp, "0.1", "--margins", "99999999999999999999"])
    try expect(1, ["bounds", mlp, "0.1", "--threads", "0"], mentioning: "--threads")
    try expect(1, ["bounds", mlp, "0.1", "--threads", "100000"])
    try expect(1, ["bounds", mlp, "0.1", "--batch", "0"], mentioning: "--batch")
    try expect(1, ["bounds", mlp, "0.1", "--iterations", "-3"])
    try expect(1, ["bounds", mlp, "0.1", "--learning-rate", "0"])
    try expect(1, ["bounds", mlp, "0.1", "--perturb", "z"], mentioning: "z", "x")
    try expect(1, ["bounds", mlp, "0.1", "--input", "a.json", "--box", "b.json"], mentioning: "--box")
    try expect(1, ["bounds", mlp, "0.1", "--margins", "1", "--rows", "r.json"])
    try expect(1, ["bounds", mlp, "0.1", "--unheard-of"])
    try expect(1, ["run"])
    try expect(1, ["run", mlp, "--precision", "float128"])
    try expect(1, ["inspect"])
    try expect(1, ["dance"])
  }

  @Test func helpAndVersionAreNoErrors() throws {
    for arguments in [["--help"], ["bounds", "--help"], ["--version"], ["help", "run"]] {
      let result = try nnverify.run(arguments)
      #expect(result.status == 0 && !result.output.isEmpty && result.errors.isEmpty)
    }
  }

  @Test func missingAndForeignFilesExitWith2() throws {
    let folder = try TemporaryFolder()
    try expect(2, ["bounds", "no-such.onnx", "0.1"], mentioning: "no-such.onnx")
    try expect(2, ["run", "no-such.onnx"], mentioning: "no-such.onnx")
    try expect(2, ["inspect", folder.url.path], mentioning: "regular file")
    try expect(2, ["bounds", mlp, "0.1", "--input", "none.json"], mentioning: "none.json")
    try expect(2, ["bounds", mlp, "--box", "none.json"], mentioning: "none.json")
    try expect(2, ["bounds", mlp, "0.1", "--rows", "none.json"], mentioning: "none.json")
    try expect(2, ["inspect", folder.write("text.onnx", "this is no network")])
    try expect(2, ["inspect", folder.write("empty.onnx", "")])
    try expect(
      2,
      ["inspect", folder.write("random.onnx", (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ 7) })])
  }

  @Test func truncatedNetworksExitWith2() throws {
    let folder = try TemporaryFolder()
    let bytes = try [UInt8](Data(contentsOf: SharedData.project.appendingPathComponent(mlp)))
    for part in [1, 10, 100, 1000, 5000, bytes.count - 1] {
      let file = try folder.write("cut-\(part).onnx", Array(bytes[..<part]))
      try expect(2, ["bounds", file, "0.1"], mentioning: "cut-\(part).onnx")
    }
  }

  @Test func inputsThatDoNotFitExitWith2() throws {
    let folder = try TemporaryFolder()
    let ones = { (n: Int) in text(Array(repeating: 1, count: n)) }
    let cases: [(String, String)] = [
      ("[1,2,3]", "3 values"),
      ("[]", "0 values"),
      ("{\"values\":[1,2]}", "2 values"),
      ("{\"shape\":[1,64]}", "values"),
      ("{\"shape\":[8,8],\"values\":\(ones(64))}", "shape"),
      ("{\"shape\":[2,64],\"values\":\(ones(64))}", "shape"),
      ("{\"shape\":[-1,-64],\"values\":\(ones(64))}", "negative"),
      ("{\"shape\":[1000000000000,1000000000000],\"values\":\(ones(64))}", "shape"),
      ("{\"inputs\":{\"z\":{\"values\":\(ones(64))}}}", "no such input"),
      ("{\"inputs\":{}}", "missing"),
      ("{\"inputs\":3}", "expected"),
      ("[1,\"a\"]", "expected a number"),
      ("[1,[2]]", "expected"),
      ("[[1,2],[3]]", "elements"),
      ("[1,2", "line 1"),
      ("[1e999]", "range"),
      ("{\"values\":", "line 1"),
      ("null", "expected"),
      ("", "line 1"),
    ]
    for (index, (content, part)) in cases.enumerated() {
      let file = try folder.write("input-\(index).json", content)
      try expect(2, ["run", mlp, "--input", file], mentioning: "input-\(index).json", part)
      try expect(2, ["bounds", mlp, "0.1", "--input", file], mentioning: "input-\(index).json", part)
    }
    let deep = try folder.write("deep.json", String(repeating: "[", count: 100_000))
    try expect(2, ["run", mlp, "--input", deep])
  }

  @Test func boxesAndRowsThatDoNotFitExitWith2() throws {
    let folder = try TemporaryFolder()
    let zeros = text(Array(repeating: 0, count: 64))
    let ones = text(Array(repeating: 1, count: 64))
    for (index, content) in [
      "{\"lower\":\(ones),\"upper\":\(zeros)}", "{\"lower\":\(zeros)}", "{\"lower\":[0],\"upper\":[1]}",
      "{\"lower\":\(zeros),\"upper\":[1]}", "[0,1]",
      "{\"inputs\":{\"y\":{\"lower\":\(zeros),\"upper\":\(ones)}}}",
    ].enumerated() {
      let file = try folder.write("box-\(index).json", content)
      try expect(2, ["bounds", mlp, "--box", file], mentioning: "box-\(index).json")
    }
    for (index, content) in [
      "{\"rows\":[[1,2]]}", "{\"rows\":[]}", "{\"rows\":[1,2]}", "{\"rows\":[[]]}", "{}", "[[1]]",
      "{\"rows\":[[1,2],[3]]}",
    ].enumerated() {
      let file = try folder.write("rows-\(index).json", content)
      try expect(2, ["bounds", mlp, "0.1", "--rows", file], mentioning: "rows-\(index).json")
    }
  }

  @Test func damagedArraysExitWith2() throws {
    let folder = try TemporaryFolder()
    func npy(_ header: String, _ data: [UInt8]) -> [UInt8] {
      let text = Array(header.utf8)
      return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 255), UInt8(text.count >> 8)] + text
        + data
    }
    for (index, bytes) in [
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 64), }", [0, 0, 0]),
      npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", [0]),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }", []),
      npy("{'descr': '<f4'}", []),
      npy("", []),
      [0x93] + Array("NUMPY".utf8),
      [0x93] + Array("NUMPY".utf8) + [9, 0, 0, 0],
    ].enumerated() {
      let file = try folder.write("array-\(index).npy", bytes)
      try expect(2, ["run", mlp, "--input", file], mentioning: "array-\(index).npy")
    }
  }

  @Test func absurdValuesAreRefusedOrBounded() throws {
    let folder = try TemporaryFolder()
    let huge = try folder.write("huge.json", text(Array(repeating: 1e308, count: 64)))
    let result = try nnverify("bounds", mlp, "1e308", "--input", huge)
    #expect(!result.crashed && (result.status == 0 || result.status == 2), "\(result)")
    let wide = try nnverify("bounds", mlp, "1e300", "--json")
    #expect(wide.status == 0, "\(wide)")
  }
}
