import FileFormats
import Foundation
import TestSupport
import Testing

/// Small files whose bounds must not swell: every run has a limited address space and processor time.
@Suite(.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment)))
struct ResourceTests {
  /// Runs `nnverify` with at most so many gigabytes and seconds.
  private func limited(_ gigabytes: Double, _ seconds: Int, _ arguments: String...) throws
    -> Executable.Result
  {
    var shell = nnverify
    shell.path = "/bin/sh"
    let limits = "ulimit -v \(Int(gigabytes * 1_048_576)) && ulimit -t \(seconds) && exec \"$0\" \"$@\""
    return try shell.run(["-c", limits, nnverify.path] + arguments)
  }

  private func path(_ name: String) -> String { SharedData.path("field/" + name) }

  /// The bounds of Identity over a box are the box: 4 million elements.
  @Test(arguments: ["ibp", "crown", "best"]) func identityOfFourMillionElements(_ method: String) throws {
    let result = try limited(
      4, 60, "bounds", path("d28-identity-4m/os.onnx"), "0.5", "--method", method, "--threads", "1")
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("-0.500000"))
  }

  /// A softmax over 6625 classes takes memory linear in their number.
  @Test(arguments: ["ibp", "crown"]) func softmaxOfManyClasses(_ method: String) throws {
    let folder = "r10-softmax-many-classes/"
    let result = try limited(
      2, 120, "bounds", path(folder + "net.onnx"), "0.01", "--input", path(folder + "input.json"), "--method",
      method, "--threads", "1")
    #expect(result.status == 0, "\(result.errors)")
  }

  /// Nothing of the size of a table is kept per row of a walk, because the table does not vary.
  @Test func lookUpInALargeTable() throws {
    let folder = "r20-token-box-crown-memory/"
    let arguments = ["bounds", path(folder + "int8-table-2000.onnx"), "--box", path(folder + "box.json")]
    let plain = try JSONValue.parse(nnverify.run(arguments + ["--method", "ibp", "--json"]).output)
    let result = try limited(
      0.4, 60, "bounds", arguments[1], "--box", arguments[3], "--method", "crown", "--threads", "1", "--json")
    #expect(result.status == 0, "\(result.errors)")
    let intervals = try OutputBounds(plain)
    let bounds = try OutputBounds(JSONValue.parse(result.output))
    for (a, b) in zip(bounds.lower, intervals.lower) { #expect(a >= b) }
    for (a, b) in zip(bounds.upper, intervals.upper) { #expect(a <= b) }
  }

  /// A tile of 30,240 outputs copies what it tiles.
  @Test(arguments: ["ibp", "crown", "best"]) func manyOutputs(_ method: String) throws {
    let result = try limited(
      2, 20, "bounds", path("a21-bounds-quadratic-in-outputs/tile.onnx"), "0.25", "--method", method, "--json"
    )
    #expect(result.status == 0, "\(result.errors)")
    let bounds = try OutputBounds(JSONValue.parse(result.output))
    #expect(bounds.lower.count == 60480 || bounds.lower.count == 30240)
    #expect(Set(bounds.lower) == [-0.25] && Set(bounds.upper) == [0.25])
  }

  /// Quantised graphs: slopes of steps are not worth optimising.
  @Test(arguments: ["best", "alpha-crown"]) func quantisedGraphs(_ method: String) throws {
    let folder = "b12b-quant-slow/"
    let arguments = [path(folder + "qdq64.onnx"), "0.3", "--input", path(folder + "x64.npy")]
    let crown = try OutputBounds(
      json("bounds", arguments[0], "0.3", "--input", arguments[3], "--method", "crown"))
    let result = try limited(
      2, 10, "bounds", arguments[0], "0.3", "--input", arguments[3], "--method", method, "--json")
    #expect(result.status == 0, "\(result.errors)")
    let bounds = try OutputBounds(JSONValue.parse(result.output))
    for (a, b) in zip(bounds.lower, crown.lower) { #expect(a >= b) }
    for (a, b) in zip(bounds.upper, crown.upper) { #expect(a <= b) }
  }
}
