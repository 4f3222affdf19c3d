import FileFormats
import Foundation
import TestSupport
import Testing

/// Limits hold, whatever the command does, and what is known by then is the answer.
@Suite(.serialized) struct LimitTests {
  /// Commands that take minutes, by name.
  static let long: [String: [String]] = [
    "bounds": [
      "bounds", "networks/digits-cnn.onnx", "0.1", "--method", "alpha-crown", "--iterations", "1000000",
    ],
    "explain": [
      "explain", "networks/gin-ba2motifs.onnx", "networks/gin-ba2motifs.graphs.json", "--method", "shapley",
      "--samples", "1000000000",
    ],
    "fidelity": [
      "fidelity", "networks/gin-ba2motifs.onnx", "networks/gin-ba2motifs.graphs.json", "--method", "naive",
      "--samples", "100000000",
    ],
    "fidelity-study": [
      "fidelity-study", "networks/gin-ba2motifs.onnx", "networks/gin-ba2motifs.graphs.json", "--draws",
      "10000",
      "--samples", "100000",
    ],
    "graph-certify": [
      "graph-certify", "networks/gin-ba2motifs.onnx", "networks/gin-ba2motifs.graphs.json", "--perturb",
      "edges:12", "--method", "bab",
    ],
    "smt": ["smt", "examples/digits-seven.json", "--method", "exact"],
  ]

  /// The limit is 0.4 s, and may be overrun by 0.5 s; the rest is for busy machines.
  @Test(arguments: long.keys.sorted()) func timeLimits(command: String) throws {
    let result = try nnverify.run(Self.long[command, default: []] + ["--timeout", "0.4", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.seconds < 5)
    let answer = try JSONValue.parse(result.output)
    if command == "smt" {
      #expect(answer["verdict"]?.stringValue == "unknown")
    } else {
      #expect(answer["partial"] == .bool(true))
      #expect(answer["reason"]?.stringValue == "the time limit was reached")
    }
  }

  @Test(arguments: long.keys.sorted()) func text(command: String) throws {
    let result = try nnverify.run(Self.long[command, default: []] + ["--timeout", "0.4"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("the time limit was reached") || result.output.contains("unknown"))
  }

  /// What `bounds` knows at a limit are bounds: those of the method, or the intervals that come first.
  @Test func partialBoundsAreIntervalsAtLeast() throws {
    let command = Self.long["bounds", default: []]
    let partial = try OutputBounds(
      JSONValue.parse(nnverify.run(command + ["--timeout", "0.6", "--json"]).output))
    let intervals = try OutputBounds(json("bounds", "networks/digits-cnn.onnx", "0.1", "--method", "ibp"))
    #expect(partial.center == intervals.center)
    // The intervals of `ibp` take the affine tail in one piece, which the partial answer need not have.
    for (i, value) in partial.center.enumerated() {
      #expect(partial.lower[i] <= value && value <= partial.upper[i])
      #expect(partial.lower[i].isFinite && partial.upper[i].isFinite)
    }
  }

  @Test func memoryLimits() throws {
    // Less than the network and its bounds take.
    let result = try nnverify.run([
      "bounds", "networks/digits-cnn.onnx", "0.1", "--method", "alpha-crown", "--iterations", "1000000",
      "--memory",
      "0.02", "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let answer = try JSONValue.parse(result.output)
    #expect(answer["partial"] == .bool(true))
    #expect(answer["reason"]?.stringValue == "the memory limit was reached")
  }

  @Test(arguments: [SIGINT, SIGTERM]) func signals(number: Int32) throws {
    let folder = try TemporaryFolder()
    let output = folder.path("out")
    for command in ["bounds", "graph-certify", "smt"] {
      _ = FileManager.default.createFile(atPath: output, contents: nil)
      let process = Process()
      process.executableURL = URL(fileURLWithPath: nnverify.path)
      process.currentDirectoryURL = SharedData.project
      process.arguments = Self.long[command, default: []] + ["--json"]
      process.standardInput = FileHandle.nullDevice
      process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
      try process.run()
      usleep(1_000_000)
      kill(process.processIdentifier, number)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 128 + number, "\(command)")
      let answer = try JSONValue.parse(contentsOf: output)
      #expect(answer["partial"] == .bool(true) || answer["verdict"]?.stringValue == "unknown", "\(command)")
    }
  }

  @Test(arguments: [
    ["run", mlp], ["inspect", mlp], ["supports", "--vnnlib-versions"],
    ["graphs", "generate", "ba-2motifs", "--count", "1"],
  ]) func everyCommandTakesLimits(_ arguments: [String]) throws {
    #expect(try nnverify.run(arguments + ["--timeout", "60", "--memory", "4"]).status == 0)
    #expect(try nnverify.run(arguments + ["--timeout", "-1"]).status == 1)
    #expect(try nnverify.run(arguments + ["--memory", "0"]).status == 1)
  }
}
