import FileFormats
import Foundation
import TestSupport
import Testing

/// Nothing that a file holds acts on terminals, browsers and spreadsheets, and no output destroys.
@Suite struct HostileTextTests {
  /// A copy of the shipped graphs whose ids are meant to act.
  private func graphs(_ folder: TemporaryFolder) throws -> String {
    let source = try JSONValue.parse(
      contentsOf: SharedData.project.appendingPathComponent("networks/gin-ba2motifs.graphs.json").path)
    guard case .object(var document) = source, case .array(var graphs)? = document["graphs"],
      case .object(var first)? = graphs.first
    else { return "" }
    first["id"] = .string("=cmd|' /C calc'!A0 \u{1B}[31m<script>\u{202E}")
    graphs = [.object(first)]
    document["graphs"] = .array(graphs)
    return try folder.write("graphs.json", JSONValue.object(document).text())
  }

  @Test func idsOfGraphs() throws {
    let folder = try TemporaryFolder()
    let graphs = try graphs(folder)
    let csv = folder.path("f.csv")
    let html = folder.path("f.html")
    let svg = folder.path("f.svg")
    let fidelity = try nnverify(
      "fidelity", "networks/gin-ba2motifs.onnx", graphs, "--csv", csv, "--html", html)
    #expect(fidelity.status == 0, "\(fidelity.errors)")
    let explain = try nnverify(
      "explain", "networks/gin-ba2motifs.onnx", graphs, "--method", "gradient", "--picture", svg)
    #expect(explain.status == 0, "\(explain.errors)")
    for output in [fidelity.output, explain.output] {
      #expect(!output.contains("\u{1B}") && !output.contains("\u{202E}"))
    }
    #expect(fidelity.output.contains("\\u{1b}[31m"))
    let row = try #require(
      String(contentsOfFile: csv, encoding: .utf8).split(separator: "\n").dropFirst().first)
    #expect(row.hasPrefix("\"'=cmd|"))
    for file in [html, svg] {
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(!text.contains("<script>") && !text.contains("\u{1B}"))
      #expect(text.contains("&lt;script&gt;"))
    }
  }

  @Test func messages() throws {
    let folder = try TemporaryFolder()
    let result = try nnverify("run", folder.path("a\u{1B}[31m\n.onnx"))
    #expect(result.status == 2)
    #expect(result.errors.split(separator: "\n").count == 1)
    #expect(!result.errors.contains("\u{1B}") && result.errors.contains("\\u{1b}[31m\\u{a}.onnx"))
  }

  /// Paths of one character, and those that name no file, end in one message.
  @Test(arguments: ["m", "./", ".", "/", "", "..", "é"]) func shortPaths(_ path: String) throws {
    for arguments in [["run", path], ["bounds", path, "0.1"], ["inspect", path]] {
      let result = try nnverify.run(arguments)
      #expect(result.status == 2 && !result.crashed, "\(arguments): \(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
    }
  }

  /// A network of one character in the working folder runs.
  @Test func oneCharacterNetworks() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      at: SharedData.project.appendingPathComponent(mlp), to: folder.url.appendingPathComponent("m"))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: nnverify.path)
    process.currentDirectoryURL = folder.url
    process.arguments = ["bounds", "m", "0.01"]
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
  }

  @Test func outputsThatAreInputs() throws {
    let folder = try TemporaryFolder()
    let network = folder.path("net.onnx")
    try FileManager.default.copyItem(
      at: SharedData.project.appendingPathComponent(mlp), to: URL(fileURLWithPath: network))
    let before = try Data(contentsOf: URL(fileURLWithPath: network))
    let query = "examples/digits-seven-0.02.vnnlib"
    try #require(symlink(network, folder.path("link")) == 0)
    for output in [network, folder.path("link")] {
      let result = try nnverify("verify", query, "--network", network, "--result", output)
      #expect(result.status == 2 && result.output.isEmpty, "\(result.errors)")
      #expect(result.errors.contains("input"))
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: network)) == before)
  }

  /// The verdict is printed although its file cannot be written: a node of one's own that is always full, which only root
  /// can make.
  @Test func verdictsSurviveTheirFiles() throws {
    let folder = try TemporaryFolder()
    let full = folder.path("full")
    guard mknod(full, S_IFCHR | 0o666, dev_t(1 << 8 | 7)) == 0,
      let device = FileHandle(forWritingAtPath: full)
    else { return }
    try device.close()
    let result = try nnverify(
      "verify", "examples/digits-seven-0.02.vnnlib", "--network", mlp, "--result", full)
    #expect(result.output == "unsat\n")
    #expect(result.status == 2)
    #expect(result.errors.contains("full: cannot be written: No space left on device"))
    var status = stat()
    #expect(lstat(full, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }
}
